"""Run the NameNode in this process's place, formatting its folder the first time: `python -m deploy.namenode`."""

from __future__ import annotations

import os
import subprocess

from deploy.java import java_command
from deploy.stack import Stack

_MAIN = "org.apache.hadoop.hdfs.server.namenode.NameNode"


def main() -> None:
    """Format once, then become the NameNode.

    Raises CalledProcessError when formatting fails; the log says why.
    """
    stack = Stack.from_environment()
    command = java_command(stack.home, "hdfs", "256m", _MAIN)
    if not (stack.home / "hdfs" / "name" / "current" / "VERSION").exists():
        subprocess.run([*command, "-format", "-nonInteractive", "-force"], check=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
