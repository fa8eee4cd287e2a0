"""What a session is when a stage gets it, on a real Spark Connect server."""

from __future__ import annotations

import pytest

from spark_jobs.pipeline import STAGES
from spark_jobs.running import sessions
from tests.spark_jobs.lake import Lake

pytestmark = pytest.mark.spark

SIZE = "spark.sql.adaptive.advisoryPartitionSizeInBytes"


@pytest.mark.parametrize("own", [None, "33m"])
def test_a_stage_leaves_the_servers_own_settings_to_the_next_one(lake: Lake, own: str | None) -> None:
    spark = lake.connect()
    remote = lake.remote(spark.session_id)
    if own:
        spark.conf.set(SIZE, own)
    before, seen = spark.conf.get(SIZE), []
    for stage in ("compare_pictures", "find_duplicates", "compare_pictures", "compare_pictures", "find_duplicates"):
        with sessions.opened(STAGES[stage], lake.settings, remote, is_last=False) as opened:
            seen.append(opened.conf.get(SIZE))
    assert seen == ["16m", before, "16m", "16m", before]
    spark.stop()
    assert STAGES["compare_pictures"].sql[SIZE] == "16m" != before


def test_shuffles_of_many_rows_have_more_tasks_and_the_next_stage_has_the_usual_number(lake: Lake) -> None:
    spark = lake.connect()
    remote, seen, usual = lake.remote(spark.session_id), [], lake.settings.partitions
    for rows in (0, 1000, 3 * usual * sessions.ROWS_OF_TASK + 1, 0):
        with sessions.opened(STAGES["find_duplicates"], lake.settings, remote, is_last=False) as opened:
            seen.append(int(opened.conf.get("spark.sql.shuffle.partitions")))
            sessions.divide_by_rows(opened, lake.settings, rows)
            seen.append(int(opened.conf.get("spark.sql.shuffle.partitions")))
    spark.stop()
    assert seen == [usual, usual, usual, usual, usual, 3 * usual + 1, usual, usual]
