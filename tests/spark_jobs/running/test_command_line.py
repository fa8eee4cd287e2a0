"""Command lines become dataclasses; a wrong one says what was expected."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from spark_jobs.pipeline import STAGES
from spark_jobs.running.command_line import Attempt, NoOptions, check_day, parse

STAGE = STAGES["read_images"]


@dataclass(frozen=True)
class Options:
    table: str | None = field(default=None, metadata={"help": "the HBase table"})
    limit: int = 0
    margin: float = 0.1
    is_strict: bool = True


def test_fields_become_options() -> None:
    line = [
        "--run",
        "r",
        "--day",
        "2026-11-02",
        "--attempt",
        "3",
        "--allow-empty",
        "--table",
        "mine",
        "--margin",
        "0.5",
        "--no-is-strict",
    ]
    attempt, options = parse(STAGE, Options, line)
    assert attempt == Attempt(run="r", day="2026-11-02", attempt=3, allow_empty=True)
    assert options == Options(table="mine", margin=0.5, is_strict=False)


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(STAGE, Options, ["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for word in ("--run", "--day", "--allow-empty", "--table", "the HBase table", STAGE.title):
        assert word in text


@pytest.mark.parametrize("wrong", [("--limit", "many"), ("--nonsense", "1")])
def test_a_wrong_line_ends_with_2(wrong: tuple[str, str]) -> None:
    right = ["--run", "r", "--day", "2026-11-02"]
    assert parse(STAGE, Options, right)
    for line in ([*right, *wrong], []):
        with pytest.raises(SystemExit) as stop:
            parse(STAGE, Options, line)
        assert stop.value.code == 2


@pytest.mark.parametrize(
    ("stage", "day", "message"),
    [
        ("read_images", None, "got no day, expected --day"),
        ("read_images", "02.11.2026", "got --day '02.11.2026', expected a date"),
        ("read_images", "20261102", "got --day '20261102', expected a date"),
        ("find_duplicates", "2026-11-02", "works over all days"),
    ],
)
def test_the_day_fits_the_stage(stage: str, day: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_day(STAGES[stage], Attempt(run="r", day=day))


def test_a_job_without_options_takes_none() -> None:
    assert parse(STAGE, NoOptions, ["--run", "r", "--day", "2026-11-02"])[1] == NoOptions()
