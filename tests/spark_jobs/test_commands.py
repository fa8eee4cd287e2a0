"""`python -m spark_jobs` lists what there is."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from spark_jobs import pipeline
from spark_jobs.pipeline import EXIT_CODES, EXIT_MISTAKE, EXIT_WRONG_LINE, STAGES
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


def test_the_documents_say_what_each_exit_code_means():
    text = (REPOSITORY / "docs" / "commands.md").read_text()
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in text


def test_the_list_fits_people_too():
    command = [sys.executable, "-m", "spark_jobs"]
    text = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    assert "load_images" in text and "65" in text


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (("serch", "mug/0"), EXIT_WRONG_LINE, "got command 'serch', did you mean search?"),
        (("search", "mug/0", "--index", "file:///nowhere"), EXIT_MISTAKE, "search: got no index at file:///nowhere"),
        (("load_images", ".", "--day", "yesterday"), EXIT_MISTAKE, "got --day 'yesterday', expected a date like"),
        (("load_images", "."), EXIT_MISTAKE, "expected --day 2026-11-02"),
        (("restore_day", "--day", "2.11.2026"), EXIT_MISTAKE, "got --day '2.11.2026', expected a date like"),
        (("estimate_backfill", "--from", "2026", "--to", "2026-11-02"), EXIT_MISTAKE, "got --from '2026', expected"),
        (
            ("detect_objects", "--run", "mine", "--day", "today"),
            EXIT_MISTAKE,
            "got --day 'today', expected a date like",
        ),
        (("detect_objects", "--run", "mine"), EXIT_MISTAKE, "detect_objects: got no day, expected --day"),
        (("detect_objects", "--run", "mine", "--dya", "today"), EXIT_WRONG_LINE, "No such option: --dya"),
    ],
)
def test_a_command_is_run_and_what_is_wrong_with_its_line_is_said_in_one(line, code, message):
    command = [sys.executable, "-m", "spark_jobs", *line]
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert message in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr


def in_a_terminal(home: Path, *line: str) -> str:
    """What a command writes to its standard output when that is a terminal."""
    ours, its = pty.openpty()
    environment = {**os.environ, "PIPELINE_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-m", *line], cwd=REPOSITORY, env=environment, stdout=its, stderr=subprocess.DEVNULL
    ) as process:
        os.close(its)
        said = b""
        with suppress(OSError):  # the other end is closed
            while part := os.read(ours, 65536):
                said += part
    os.close(ours)
    assert process.returncode == EXIT_MISTAKE
    return said.decode().strip()


def test_a_job_by_hand_ends_with_words_for_people_and_with_json_when_asked(tmp_path):
    line = ("spark_jobs.detect_objects", "--run", "mine", "--day", "2026-11-02", "--detector", "detector-smal")
    said = in_a_terminal(tmp_path, *line)
    assert said.startswith("detect_objects, day 2026-11-02, run mine: refused: there is no detector 'detector-smal'")
    assert json.loads(in_a_terminal(tmp_path, *line, "--json"))["status"] == "refused"
