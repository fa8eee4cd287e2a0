"""Day sheets: what is written is read back, whole or not at all, and what is seen of a refused file stays within
limits."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from data_contracts.reasons import Reason
from sample_data.catalogue.bad_images import make_bad_image, sample_picture
from spark_jobs.stages.day_sheet import (
    DRAWN,
    SIDE,
    days_of,
    drawn_batches,
    glimpse,
    read_picture,
    read_rows,
    read_sheet,
    remove_sheets,
    sheet_batches,
    store_of,
)

PICTURE = sample_picture(np.random.default_rng(7), 640, 320)
DAYS = [date(2026, 11, 1), date(2026, 11, 2)]


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


def given() -> pa.RecordBatch:
    """Of each day a used picture, one that ends early and one that may not be shown."""
    about = json.dumps(
        {"key": "mug/0", "reason": "ok", "chosen": ["sample"], "objects": [{"label": "mug", "score": 0.5}]}
    )
    rows: list[dict[str, Any]] = []
    for day in DAYS:
        rows += [
            {"day": day, "key": "mug/0", "reason": "ok", "about": about, "image": jpeg(PICTURE), "raw": None},
            {"day": day, "key": "pan/0", "reason": "truncated", "about": about, "image": None,
            "raw": jpeg(PICTURE)[:9000]},
            {"day": day, "key": "pot/0", "reason": "withdrawn", "about": about, "image": None, "raw": jpeg(PICTURE)},
        ]  # fmt: skip
    return pa.RecordBatch.from_pylist(rows)


def write(index: str, state: str) -> list[dict[str, Any]]:
    drawn = list(drawn_batches([given()]))
    assert [batch.schema for batch in drawn] == [DRAWN]
    states, totals = {str(day): state for day in DAYS}, {str(DAYS[0]): {"ok": 7}}
    return [row for batch in sheet_batches(drawn, index, states, totals) for row in batch.to_pylist()]


def test_a_sheet_has_the_pictures_of_its_day(tmp_path: Path) -> None:
    index = f"file://{tmp_path}/index"
    written, store = write(index, "a"), store_of(index)
    assert [(row["day"], row["pictures"]) for row in written] == [(day, 3) for day in DAYS]
    assert days_of(store) == ["2026-11-02", "2026-11-01"]
    sheet = read_sheet(store, "2026-11-01")
    assert (sheet.day, sheet.state, sheet.totals, sheet.pictures) == ("2026-11-01", "a", {"ok": 7}, 3)
    rows = read_rows(store, sheet)
    assert list(sheet.faces) == [{"key": "mug/0", "place": row["place"]} for row in rows[:2]]
    assert rows[0]["objects"] == [{"label": "mug", "score": 0.5}]
    used, cut_off, hidden = (read_picture(store, sheet, row) for row in rows)
    assert hidden == b""
    for data in (used, cut_off):
        assert Image.open(io.BytesIO(data)).size == (SIDE, SIDE // 2)
    expected = np.asarray(PICTURE.convert("RGB").resize((SIDE, SIDE // 2)), float)
    assert np.abs(np.asarray(Image.open(io.BytesIO(used)), float) - expected).mean() < 6


def test_a_sheet_replaces_that_of_before_and_those_of_gone_days_go(tmp_path: Path) -> None:
    index = f"file://{tmp_path}/index"
    write(index, "a")
    before = read_sheet(store_of(index), "2026-11-01")
    write(index, "b")
    store = store_of(index)
    assert read_sheet(store, "2026-11-01").state == "b"
    assert read_picture(
        store, before, read_rows(store, before)[0]
    )  # whoever holds the older sheet still sees its pictures
    assert remove_sheets(store, ["2026-11-01"], 3600) == 1
    assert days_of(store) == ["2026-11-01"]
    assert remove_sheets(store, ["2026-11-01"], -1) == 6
    assert {name.rpartition(".")[0] for name in store.names("sheets")} == {read_sheet(store, "2026-11-01").files}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9}', '{"format": 1, "day": "2026-11-01"}'])
def test_a_damaged_sheet_says_what_to_do(tmp_path: Path, text: str) -> None:
    store = store_of(f"file://{tmp_path}")
    store.write("2026-11-01.json", text.encode())
    with pytest.raises(ValueError, match=r"2026-11-01.*run draw_days with --afresh"):
        read_sheet(store, "2026-11-01")


@pytest.mark.parametrize("day", ["2026-11-09", "../../secret", "pictures/x"])
def test_what_is_no_day_has_no_sheet(tmp_path: Path, day: str) -> None:
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises(FileNotFoundError):
        read_sheet(store_of(f"file://{tmp_path}/index"), day)


@pytest.mark.parametrize("data", [b"", b"<html>", jpeg(PICTURE)[:100]])
def test_nothing_is_seen_of_what_is_no_picture(data: bytes) -> None:
    assert glimpse(data) is None


def test_a_decompression_bomb_is_not_opened() -> None:
    bomb = make_bad_image("decompression_bomb", PICTURE, np.random.default_rng(3))
    assert glimpse(bomb) is None


def test_transparent_parts_are_white() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(buffer, "PNG")
    found = glimpse(buffer.getvalue())
    assert found is not None and np.asarray(Image.open(io.BytesIO(found))).min() > 250
    assert Reason.BLANK == "blank"
