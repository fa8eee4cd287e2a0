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
