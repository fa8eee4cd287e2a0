"""The demo's own stack: nothing of the user's servers and folders reaches it. No process starts."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.airflow_rest import Run
from deploy.demo import Site, _has_settled, _runs_of, demo_stack
from deploy.stack import Stack
from spark_jobs.settings import Settings

OF_THE_USER = {
    "PIPELINE_HBASE_GATEWAYS": "thrift.example:9090",
    "PIPELINE_HBASE_TABLE": "the_users_images",
    "PIPELINE_WAREHOUSE": "hdfs://lake.example:8020/lake",
    "PIPELINE_NAMESPACE": "the_users",
    "PIPELINE_CODES": "v2",
    "PIPELINE_ALERT_URL": "http://alerts.example/",
    "AIRFLOW_CONN_SPARK_CONNECT": "spark-connect://spark.example",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """That of a demo in a shell which points at servers and models of its user."""
    for name in [name for name in os.environ if name.startswith(("PIPELINE_", "AIRFLOW_"))]:
        monkeypatch.delenv(name)
    own = {"PIPELINE_HOME": str(tmp_path), "PIPELINE_MODELS": "file:///srv/models"}
    for name, value in {**own, **OF_THE_USER}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "of-an-earlier-one").touch()
    return demo_stack("local")


def test_its_servers_and_jobs_see_nothing_of_the_users_servers(stack: Stack, tmp_path: Path) -> None:
    of_a_job = {**os.environ, **Site.of_stack(stack).environment}
    for environment in (stack.full_environment(), of_a_job):
        assert not {name for name, value in OF_THE_USER.items() if environment.get(name) == value}
        settings = Settings.from_environment(environment)
        assert settings.warehouse == f"file://{tmp_path}/demo/lake"
        assert (settings.namespace, settings.codes, settings.hbase_table) == ("pipeline", "", "product_images")
        assert settings.models == "file:///srv/models"
        assert environment["PIPELINE_SCHEDULE"] == "off"


def test_it_begins_in_an_empty_folder_of_its_own(stack: Stack, tmp_path: Path) -> None:
    assert stack.home == tmp_path / "demo"
    assert not stack.home.exists()


def test_what_somebody_runs_by_hand_meanwhile_is_not_the_demos() -> None:
    dag = "image_pipeline"
    own = Run(dag, "backfill__2026-11-01", "backfill", "success", "2026-11-01")
    scheduled = Run(dag, "scheduled__2026-11-02", "scheduled", "running", "2026-11-02")
    earlier = Run(dag, "scheduled__2026-10-01", "scheduled", "failed", "2026-10-01")
    by_hand = Run(dag, "manual__1", "manual", "running", "2026-11-05")
    airflow = SimpleNamespace(runs=lambda name: [own, scheduled, earlier, by_hand] if name == dag else [])
    assert _runs_of(airflow, [date(2026, 11, 1)], {own.name, earlier.name}) == [own, scheduled]


def test_a_run_that_begins_while_it_looks_has_not_settled() -> None:
    runs = [Run("similar_images", "asset_triggered__1", "asset_triggered", "success", "2026-11-01")]

    def begin(dag: str) -> bool:
        """The scheduler takes up the waiting features just before the answer."""
        runs.append(Run(dag, "asset_triggered__2", "asset_triggered", "queued", "2026-11-01"))
        return False

    airflow = SimpleNamespace(runs=lambda dag: list(runs), awaits_assets=begin)
    assert not _has_settled(airflow)
