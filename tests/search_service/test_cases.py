"""Reports out of CSV files: read as they were written, chosen from, and cut off where they are too long."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from search_service import cases
from search_service.cases import CaseFiles, shown, values_of
from spark_jobs.settings import Settings
from spark_jobs.stages.csv_file import write_csv

COLUMNS = ["group", "key", "currency", "title", "lowest_key"]


def files_in(folder: Path) -> CaseFiles:
    return CaseFiles(replace(Settings.from_environment({}), exports=f"file://{folder}"))


def write(folder: Path, rows: list[tuple[str, ...]]) -> None:
    batch = pa.RecordBatch.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    list(write_csv([batch], f"file://{folder}", "price_monitoring.csv", COLUMNS))


ROWS = [
    ("g1", "mug/0", "EUR", '=SUM("a, b")\nsecond line', "mug/1"),
    ("g2", "pan/0", "USD", "Fine pan, é", "pan/0"),
    ("g3", "pot/0", "EUR", "-5 % pot", "pot/9"),
]


def test_cases_are_what_was_written(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    report = files_in(tmp_path).report("price_monitoring")
    assert [tuple(case.values()) for case in report.cases] == ROWS and not report.has_more
    assert values_of(report, "currency") == ["EUR", "USD"]


@pytest.mark.parametrize(
    ("words", "withdrawn", "currency", "expected"),
    [
        ("", (), "", ["g1", "g2", "g3"]),
        ("PAN fine", (), "", ["g2"]),
        ("pan pot", (), "", []),
        ("", (), "EUR", ["g1", "g3"]),
        ("", {"mug/1", "pot/0"}, "", ["g2"]),
    ],
)
def test_cases_are_chosen(tmp_path: Path, words: str, withdrawn: set[str], currency: str, expected: list[str]) -> None:
    write(tmp_path, ROWS)
    report = files_in(tmp_path).report("price_monitoring")
    assert [case["group"] for case in shown(report, words, withdrawn, currency=currency)] == expected


def test_a_report_is_read_again_when_it_was_written_again(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.report("price_monitoring")
    write(tmp_path, ROWS)
    assert files.report("price_monitoring") is files.report("price_monitoring")
    write(tmp_path, ROWS[:2])
    os.utime(tmp_path / "price_monitoring.csv", (1, 1))
    assert len(files.report("price_monitoring").cases) == len(ROWS) - 1


@pytest.mark.parametrize(("limit", "most"), [("MOST_CASES", 2), ("MOST_BYTES", 120)])
def test_of_a_long_report_the_first_cases_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    write(tmp_path, ROWS)
    monkeypatch.setattr(cases, limit, most)
    report = files_in(tmp_path).report("price_monitoring")
    assert report.has_more and 0 < len(report.cases) < len(ROWS)
    assert [tuple(case.values()) for case in report.cases] == ROWS[: len(report.cases)]


def test_another_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "price_monitoring.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="run export_reports"):
        files_in(tmp_path).report("price_monitoring")
