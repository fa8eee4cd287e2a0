"""`python -m spark_jobs` lists what there is."""

from __future__ import annotations

import json
import subprocess
import sys

from spark_jobs import pipeline
from spark_jobs.pipeline import STAGES
from spark_jobs.settings import REPOSITORY


def test_every_script_is_listed_with_a_line_and_every_exit_code_with_a_meaning():
    command = [sys.executable, "-m", "spark_jobs", "--json"]
    said = json.loads(subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout)
    scripts = {
        path.stem
        for path in (REPOSITORY / "spark_jobs").glob("*.py")
        if "__main__" in path.read_text() and path.stem != "__main__"
    }
    assert set(said["commands"]) == scripts >= set(STAGES)
    assert all(10 < len(line) < 160 and not line.endswith(".") for line in said["commands"].values()), said["commands"]
    codes = {
        str(value) for name, value in vars(pipeline).items() if name.startswith("EXIT_") and isinstance(value, int)
    }
    assert set(said["exit_codes"]) == codes


def test_the_list_fits_people_too():
    command = [sys.executable, "-m", "spark_jobs"]
    text = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    assert "load_images" in text and "65" in text
