"""Where the project lies, for the processes that Airflow starts."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def python_path() -> str:
    """PYTHONPATH of the jobs: the project, then what is set already."""
    return os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
