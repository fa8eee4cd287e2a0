"""What a page shows of a day of which its sheet has only a part: each order goes through the pictures that were chosen
for it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from search_service.day_sheets import DaySheets, Shown
from spark_jobs.stages.day_sheet import DRAWN, sheet_batches

DAY = date(2026, 11, 1)
ROWS = [
    {"key": "a", "reason": "ok", "chosen": ["sample"], "score": 0.9, "blur": 5.0, "objects": [{"label": "mug"}]},
    {"key": "b", "reason": "ok", "chosen": ["score", "blur"], "score": 0.1, "blur": 1.0, "objects": [{"label": "pan"}]},
    {"key": "c", "reason": "ok", "chosen": ["sample", "score"], "score": 0.2, "blur": 9.0, "is_member": True},
    {"key": "d", "reason": "ok", "chosen": ["missed"], "score": None, "blur": 2.0},
    {"key": "e", "reason": "blank", "chosen": ["refused"]},
    {"key": "f", "reason": "truncated", "chosen": ["refused"]},
    {"key": "g", "reason": "withdrawn", "chosen": ["refused"]},
]


def sheets(folder: Path, total: int) -> DaySheets:
    index = f"file://{folder}"
    rows = [{"day": DAY, "key": row["key"], "about": json.dumps(row), "picture": row["key"].encode()} for row in ROWS]
    batch = pa.RecordBatch.from_pylist(rows, DRAWN)
    list(sheet_batches([batch], index, {str(DAY): ""}, {str(DAY): {"ok": total}}))
    return DaySheets(index)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Shown(), "bc"),
        (Shown(order="blur"), "b"),
        (Shown(order="chance"), "ac"),
        (Shown("missed"), "d"),
        (Shown("members"), "c"),
        (Shown("refused"), "ef"),
        (Shown("refused", reason="blank"), "e"),
        (Shown(order="chance", label="mug"), "a"),
    ],
)
def test_of_a_large_day_an_order_shows_what_was_chosen_for_it(tmp_path: Path, asked: Shown, expected: str) -> None:
    held = sheets(tmp_path, 1_000_000)
    assert "".join(row["key"] for _, row in held.shown(held.sheet(str(DAY)), asked, ())) == expected


@pytest.mark.parametrize(("order", "expected"), [("score", "bca"), ("blur", "bac"), ("key", "abc")])
def test_a_small_day_is_shown_whole(tmp_path: Path, order: str, expected: str) -> None:
    held = sheets(tmp_path, len(ROWS))
    assert "".join(row["key"] for _, row in held.shown(held.sheet(str(DAY)), Shown(order=order), ())) == expected


def test_what_was_taken_down_is_not_shown(tmp_path: Path) -> None:
    held = sheets(tmp_path, len(ROWS))
    sheet = held.sheet(str(DAY))
    assert [row["key"] for _, row in held.shown(sheet, Shown(), {"b"})] == ["c", "a"]
    assert [held.picture(sheet, number, {"b"}) for number in (0, 1, 6, 7, -1)] == [b"a", b"", b"", b"", b""]
    assert [held.face(sheet, number, {"b"}) for number in range(5)] == [b"a", b"", b"c", b"d", b""]


def test_a_damaged_sheet_hides_no_other_day(tmp_path: Path) -> None:
    held = sheets(tmp_path, len(ROWS))
    (sheet,) = tmp_path.rglob(f"{DAY}.json")
    sheet.with_name("2026-11-05.json").write_text("{")
    assert held.days() == ["2026-11-05", str(DAY)]
    assert [each.day for each in held.newest(10)] == [str(DAY)]
