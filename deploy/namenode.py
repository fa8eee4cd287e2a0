"""Become the NameNode, after formatting its folder the first time: `python -m deploy.namenode`."""

from __future__ import annotations

import os

from deploy.servers import namenode
from deploy.stack import Stack


def main() -> None:
    """Format once, then become the NameNode.

    Raises:
        CalledProcessError: formatting fails; the log says why.
    """
    command = namenode(Stack.from_environment().home, "256m")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
