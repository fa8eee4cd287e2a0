"""Which run a job publishes as."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from dlcore_airflow.run_reports import run_of


@pytest.mark.parametrize(
    ("dag", "clearings", "expected"),
    [
        ("image_pipeline", 0, "backfill__2026-11-03"),
        ("image_pipeline", 2, "backfill__2026-11-03.2"),
        ("feature_extraction", 0, "feature_extraction__backfill__2026-11-03"),
    ],
)
def test_a_cleared_run_and_one_of_another_dag_are_other_runs(dag: str, clearings: int, expected: str) -> None:
    run = SimpleNamespace(dag_id=dag, run_id="backfill__2026-11-03", clear_number=clearings)
    assert run_of(run) == expected
