"""A picture that an operator takes down over HTTP: by a real Spark job, until no answer has it."""

from __future__ import annotations

import pytest

from tests.search_service.serving import OPERATOR, publish_random, serving
from tests.waiting import wait_for

pytestmark = pytest.mark.spark


def test_what_an_operator_withdraws_is_in_the_lake_and_gone_from_answers(lake, connect_server, tmp_path):
    uri, key = f"file://{tmp_path}/index", "sku000005/0"
    publish_random(uri, 0, 100)
    given = {
        name.lower(): value for name, value in connect_server.environment().items() if name.startswith("PIPELINE_")
    }
    stack = {name: value for name, value in given.items() if "search" not in name and name != "pipeline_index"}
    with serving(uri, tmp_path, **stack) as served:
        headers = {"Authorization": f"Bearer {OPERATOR}"}

        def withdraw(**more):
            asked = {"keys": [key, "--undo"], "reason": "-- asked by the owner", **more}
            return served.client.post("/api/v1/withdraw", json=asked, headers=headers, timeout=1800)

        def is_found():
            return served.client.get(f"/api/v1/search?key={key}").status_code == 200

        assert is_found()
        answer = withdraw()
        assert answer.status_code == 200 and "2 keys are withdrawn" in answer.json()["said"], answer.text
        wait_for(lambda: not any(is_found() for _ in range(6)))
        spark = lake.connect()
        rows = spark.table(lake.settings.table("withdrawn")).collect()
        spark.stop()
        assert (key, "-- asked by the owner") in {(row["key"], row["why"]) for row in rows}
        assert withdraw(undo=True).status_code == 200
        wait_for(lambda: all(is_found() for _ in range(6)))
