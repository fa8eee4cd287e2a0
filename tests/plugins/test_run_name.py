"""Which run a job publishes as."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from dlcore_airflow.run_name import run_of

RUN = {"dag_id": "image_pipeline", "run_id": "backfill__2026-11-03", "clear_number": 0}
STARTED = datetime(2026, 11, 4, 1, 2, 3, 456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "backfill__2026-11-03.20261104T010203"),
        ({"clear_number": 2}, "backfill__2026-11-03.20261104T010203.2"),
        ({"dag_id": "feature_extraction"}, "feature_extraction__backfill__2026-11-03.20261104T010203"),
        ({"start_date": STARTED.astimezone(timezone(timedelta(hours=2)))}, "backfill__2026-11-03.20261104T010203"),
        ({"start_date": None}, "backfill__2026-11-03"),
    ],
)
def test_a_cleared_run_and_one_of_another_dag_are_other_runs(changed: dict[str, Any], expected: str) -> None:
    assert run_of(SimpleNamespace(**({**RUN, "start_date": STARTED} | changed))) == expected


def test_a_run_that_was_deleted_and_made_again_is_another_one() -> None:
    again = {**RUN, "start_date": STARTED + timedelta(minutes=1)}
    assert run_of(SimpleNamespace(**again)) != run_of(SimpleNamespace(**RUN, start_date=STARTED))
