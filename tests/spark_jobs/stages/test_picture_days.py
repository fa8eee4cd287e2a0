"""Lists of days and their blocks beside an index: what is kept, what is believed, what is tidied."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from dlcore.search.manifest import remove_old
from dlcore.search.store import Store
from spark_jobs.stages.pairs import Limits
from spark_jobs.stages.picture_blocks import KEPT, folder_of_run, open_block, remove_folder
from spark_jobs.stages.picture_days import Kind, PictureDay, PictureDays, lists, newest, remove_left_behind, usual_size

DAY_S = 24 * 3600
KIND = Kind("model-1", 256, True, 3)
LIMITS = Limits(28, 51, 0.8, "v")


def made_old(path: Path, age_days: float) -> None:
    """Change when a file, or a folder and all in it, was changed."""
    for each in (*path.rglob("*"), path):
        os.utime(each, (time.time() - age_days * DAY_S,) * 2)


def with_block(index: Path, name: str) -> PictureDays:
    """A list of a day of one block, which is there."""
    (index / KEPT).mkdir(parents=True, exist_ok=True)
    (index / KEPT / name).write_text("pictures")
    return PictureDays(256, LIMITS, {"2026-11-01": PictureDay("f", "c", 4, (KIND,), ((f"{KEPT}/{name}", 3),))})


def test_a_list_is_read_as_it_was_written_and_a_damaged_or_incomplete_one_is_none(tmp_path: Path) -> None:
    index = f"file://{tmp_path}"
    days = with_block(tmp_path, "a.arrow")
    name = days.write(index)
    assert PictureDays.read(index, name) == newest(index) == days
    assert days.blocks()[0].day == date(2026, 11, 1) and days.model_versions() == ["model-1"]
    of_later = json.dumps({**json.loads((tmp_path / name).read_text()), "format": 2})
    for damage in ("", "{", '{"days": {}}', "[]", of_later):
        (tmp_path / KEPT / "29990101T000000-x.json").write_text(damage)
        assert PictureDays.read(index, f"{KEPT}/29990101T000000-x.json") is None
        assert newest(index) == days
    two = replace(days, days={**days.days, "2026-11-02": PictureDay("g", "d", 1, (), ((f"{KEPT}/b.arrow", 1),))})
    with_block(tmp_path, "b.arrow")
    (tmp_path / two.write(index)).rename(tmp_path / KEPT / "29980101T000000-later.json")
    assert newest(index) == two
    (tmp_path / KEPT / "b.arrow").unlink()
    assert newest(index) == days
    (tmp_path / KEPT / "a.arrow").unlink()
    assert newest(index) == replace(days, days={})
    assert PictureDays.read(index, f"{KEPT}/gone.json") is None


@pytest.mark.parametrize("damage", [b"", b"pictures", None])
def test_a_damaged_block_is_refused_with_its_name_and_what_to_do(tmp_path: Path, damage: bytes | None) -> None:
    if damage is not None:
        (tmp_path / "a.arrow").write_bytes(damage)
    with pytest.raises(
        ValueError, match=r"a\.arrow: got no block of pictures .* remove the file and run similar_images"
    ):
        open_block(f"file://{tmp_path}", "a.arrow")


@pytest.mark.parametrize(
    ("change", "added"),
    [
        ({"2026-11-03": "new"}, ["2026-11-03"]),
        ({}, []),
        ({"2026-11-03": "new", "2026-11-04": "new"}, ["2026-11-03", "2026-11-04"]),
        ({"2026-10-31": "new"}, None),
        ({"2026-11-02": "other"}, None),
        ({"2026-11-02": None}, None),
    ],
)
def test_only_days_after_all_others_are_added(change: dict[str, str | None], added: list[str] | None) -> None:
    before = {"2026-11-01": "one", "2026-11-02": "two"}
    now = {day: content for day, content in (before | change).items() if content}
    first, second = (
        PictureDays(256, LIMITS, {day: PictureDay("", content, 1) for day, content in days.items()})
        for days in (before, now)
    )
    assert second.added_to(first) == added
    assert second.added_to(PictureDays(256, Limits(29, 51, 0.8, "v"), first.days)) is None
    assert second.added_to(PictureDays(128, LIMITS, first.days)) is None


def test_rows_that_cannot_be_compared_are_counted() -> None:
    kinds = (KIND, Kind("model-1", 128, True, 2), Kind("model-1", 256, False, 1), Kind("model-1", None, False, 1))
    assert usual_size(kinds) == 256
    days = PictureDays(256, None, {"2026-11-01": PictureDay("", "", 7, kinds)})
    assert days.left_out() == 4
    assert usual_size([]) == 0
    with pytest.raises(ValueError, match="without descriptors"):
        usual_size([Kind("model-1", None, False, 1)])


def test_what_is_named_or_young_stays_and_what_killed_runs_left_goes(tmp_path: Path) -> None:
    index = tmp_path / "index"
    uri = f"file://{index}"
    for n in range(10):
        with_block(index, f"{n}.arrow").write(uri)
    (index / KEPT / "left.arrow").write_text("of a killed run")
    folders = [index / folder_of_run() for _ in range(2)]
    for folder in folders:
        folder.mkdir()
        (folder / "part.arrow").write_text("pictures")
    made_old(index, 8)
    (index / KEPT / "young.arrow").write_text("of a run under way")
    made_old(folders[0], 3)
    assert remove_old(uri, 1) == []
    gone = remove_left_behind(uri)
    assert folders[1].name in gone and f"{KEPT}/left.arrow" in gone
    assert not folders[1].exists() and folders[0].exists()
    assert len(lists(uri)) == 8
    blocks = {path.name for path in (index / KEPT).glob("*.arrow")}
    named = {block.name for name in lists(uri) for block in PictureDays.read(uri, name).blocks()}
    assert {f"{KEPT}/{name}" for name in blocks} == named | {f"{KEPT}/young.arrow"}
    assert remove_left_behind(uri) == []
    assert not Store(uri).is_older("folder of a run that has just ended", 0)


def test_a_folder_of_a_run_that_cannot_be_removed_stays_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(store: Store, name: str) -> None:
        raise OSError("Directory not empty")

    index, folder = f"file://{tmp_path}", folder_of_run()
    remove_folder(index, folder)
    Store(index).write(f"{folder}/part.arrow", b"pictures")
    with monkeypatch.context() as patched:
        patched.setattr(Store, "remove", refused)
        remove_folder(index, folder)
    assert (tmp_path / folder).exists() and "Directory not empty" in caplog.text
    remove_folder(index, folder)
    assert not (tmp_path / folder).exists()
