"""Airflow's objects in a process of their own: importing Airflow configures the process for good.

One process imports what all scripts need and forks for each of them, which saves every script seconds.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
FORKING = """
import json, os, sys, traceback
import airflow.dag_processing.dagbag
import airflow.sdk

def run(script, argument, variables, said):
    os.environ.update(variables)
    sys.argv[1:] = [argument]
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        exec(compile(script, "script", "exec"), {"__name__": "__main__"})
    except BaseException:
        traceback.print_exc()
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        run(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
"""Runs a script for each line that it reads, and answers with the script's exit code."""


@cache
def _forking() -> subprocess.Popen[str]:
    """The process that has imported Airflow; with it ends its folder of Airflow's own files."""
    home = tempfile.TemporaryDirectory(prefix="airflow-")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": home.name,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://nobody@127.0.0.1:1/none",
        # none of these objects needs one
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'plugins'}",
    }
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING], env=environment, cwd=PROJECT, stdin=pipe, stdout=pipe, text=True
    )

    def end() -> None:
        process.communicate()
        home.cleanup()

    atexit.register(end)
    return process


def answer(script: str, home: Path, argument: Any, **variables: str) -> Any:
    """What a script prints last, as JSON; it finds the argument as JSON in `sys.argv[1]`.

    home: folder for what the script prints.   variables: of the script's environment beside this process's own.
    """
    process, said = _forking(), home / "said"
    assert process.stdin and process.stdout
    home.mkdir(parents=True, exist_ok=True)
    process.stdin.write(json.dumps([script, json.dumps(argument), variables, str(said)]) + "\n")
    process.stdin.flush()
    code, text = process.stdout.readline().strip(), said.read_text()
    assert code == "0", text[-2000:]
    return json.loads(text.strip().splitlines()[-1])
