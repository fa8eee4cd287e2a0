"""Airflow's objects in a process of their own: importing Airflow configures the process for good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.waiting import LIMIT_S

PROJECT = Path(__file__).resolve().parents[2]


def answer(script: str, home: Path, argument: Any, **variables: str) -> Any:
    """What a script prints last, as JSON; it finds the argument as JSON in `sys.argv[1]`.

    home: folder of Airflow's own files.   variables: of the script's environment beside this process's own.
    """
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://nobody@127.0.0.1:1/none",  # none of these objects needs one
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'plugins'}",
        **variables,
    }
    command = [sys.executable, "-c", script, json.dumps(argument)]
    done = subprocess.run(
        command, env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
