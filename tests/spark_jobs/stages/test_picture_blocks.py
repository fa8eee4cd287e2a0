"""Blocks of pictures beside an index."""

from __future__ import annotations

import os
import time
from pathlib import Path

from dlcore.search.manifest import remove_old
from spark_jobs.stages.picture_blocks import folder_of_run, remove_left_behind

DAY_S = 24 * 3600


def test_the_blocks_of_a_comparison_that_takes_days_stay_and_what_a_killed_one_left_goes(tmp_path: Path) -> None:
    index = f"file://{tmp_path}/index"
    for age_days in (3, 8):
        folder = Path(folder_of_run(index).removeprefix("file://"))
        folder.mkdir(parents=True)
        (folder / "block.arrow").write_text("pictures")
        for path in (folder / "block.arrow", folder):
            os.utime(path, (time.time() - age_days * DAY_S,) * 2)
    assert remove_old(index, 1) == []
    assert remove_left_behind(index) == [folder.name]
    assert len(list((tmp_path / "index").iterdir())) == 1
