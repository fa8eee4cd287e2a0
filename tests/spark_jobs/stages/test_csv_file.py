"""CSV files as spreadsheets and the csv module read them."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from dlcore.search.store import Store
from spark_jobs.stages.csv_file import write_csv

ROWS = [
    {
        "key": "a,b/0",
        "title": '=HYPERLINK("http://x","y")',
        "price": 12.5,
        "day": date(2026, 11, 2),
        "shops": ["north", "süd"],
    },
    {"key": 'line\nand "quote"', "title": None, "price": -1.0, "day": None, "shops": []},
]
COLUMNS = ["key", "title", "price", "day", "shops"]


def written(folder: Path, rows: list[dict[str, object]]) -> list[list[str]]:
    batches = [pa.RecordBatch.from_pylist(rows[n : n + 1]) for n in range(len(rows))]
    (told,) = write_csv(batches, f"file://{folder}", "report.csv", COLUMNS)
    assert told.to_pylist() == [{"rows": len(rows)}]
    with (folder / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_rows_are_read_back_and_no_text_is_a_formula(tmp_path: Path) -> None:
    assert written(tmp_path, ROWS) == [
        COLUMNS,
        ["a,b/0", '\'=HYPERLINK("http://x","y")', "12.5", "2026-11-02", "north; süd"],
        ['line\nand "quote"', "", "-1.0", "", ""],
    ]
    assert written(tmp_path, []) == [COLUMNS], "a report without rows takes the place of the one before"


def test_a_moment_is_written_in_utc(tmp_path: Path) -> None:
    rows = [
        {"key": datetime(2026, 11, 2, 10, tzinfo=UTC), "title": "-5", "price": 0.1 + 0.2, "day": None, "shops": None}
    ]
    assert written(tmp_path, rows)[1] == ["2026-11-02 10:00:00", "'-5", "0.3", "", ""]


def test_a_writer_that_dies_leaves_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(tmp_path, ROWS)
    write = Store.write

    def die(self: Store, name: str, data: memoryview) -> None:
        write(self, name, data[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write", die)
    with pytest.raises(KeyboardInterrupt):
        list(write_csv([], f"file://{tmp_path}", "report.csv", COLUMNS))
    monkeypatch.undo()
    with (tmp_path / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == before
