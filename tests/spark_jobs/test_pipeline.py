"""The stage table is whole: every stage has its script, and reads what another one writes before it."""

from __future__ import annotations

import importlib
from dataclasses import fields

import pytest

from spark_jobs.pipeline import STAGES, Stage, report_uri, session_id, stages_of
from spark_jobs.running.command_line import Attempt, NoOptions
from spark_jobs.settings import REPOSITORY, Settings, static_spark_conf


def test_every_stage_has_its_script() -> None:
    missing = [stage.name for stage in STAGES.values() if not (REPOSITORY / stage.script).is_file()]
    assert missing == []


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_what_a_dag_run_may_set_is_an_option_of_the_job(stage: Stage) -> None:
    options = getattr(importlib.import_module(stage.module), "Options", NoOptions)
    assert set(stage.options) <= {field.name for kind in (Attempt, options) for field in fields(kind)}


def test_what_a_stage_reads_is_written_by_one_before_it() -> None:
    written: set[str] = set()
    for stage in STAGES.values():
        assert set(stage.reads) <= written, stage.name
        written |= {stage.writes} if stage.writes else set()


def test_an_unknown_dag_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"got DAG 'sales', expected one of .*image_pipeline"):
        stages_of("sales")


def test_a_run_has_one_session_and_one_report_a_stage() -> None:
    assert session_id("image_pipeline", "a") != session_id("similar_images", "a")
    assert report_uri("file:///r/", "find_duplicates", None, "a/b") == "file:///r/all_days/find_duplicates/a%2Fb.json"


@pytest.mark.parametrize(("stage", "day"), [("..", None), ("read_images", ".."), ("read_images", "2026-11-02/..")])
def test_a_report_lies_nowhere_but_among_the_reports(stage: str, day: str | None) -> None:
    with pytest.raises(ValueError, match=r"expected one of read_images.* and a day like 2026-11-02"):
        report_uri("file:///r", stage, day, "run")


def test_an_empty_variable_counts_as_unset() -> None:
    settings = Settings.from_environment({"PIPELINE_HOME": "/srv/p", "PIPELINE_CONNECT_TOKEN": ""})
    assert settings.connect_token is None
    assert settings.table("features") == "lake.pipeline.features"


def test_another_set_of_codes_lies_beside_the_first() -> None:
    first = Settings.from_environment({"PIPELINE_HOME": "/srv/p"})
    second = Settings.from_environment({"PIPELINE_HOME": "/srv/p", "PIPELINE_CODES": "v2"})
    assert second == first.with_codes("v2") == first.with_codes("v1").with_codes("v2")
    assert second.index == "file:///srv/p/index-v2"
    tables = {name: second.table(name) for name in ("crops", "features", "duplicates")}
    assert tables == {
        "crops": "lake.pipeline.crops",
        "features": "lake.pipeline.features_v2",
        "duplicates": "lake.pipeline.duplicates_v2",
    }


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PIPELINE_SALT_BUCKETS": "four"}, "PIPELINE_SALT_BUCKETS: got 'four', expected a whole number"),
        ({"PIPELINE_CODES": "v2; DROP TABLE"}, "PIPELINE_CODES: got 'v2; DROP TABLE', expected small letters"),
        ({"PIPELINE_HBASE_GATEWAYS": "thrift-1"}, "PIPELINE_HBASE_GATEWAYS: got 'thrift-1', expected host:port"),
    ],
)
def test_a_wrong_setting_is_named(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.from_environment(variables).gateways()


def test_sessions_read_the_warehouse_of_the_settings() -> None:
    conf = static_spark_conf(Settings.from_environment({"PIPELINE_WAREHOUSE": "hdfs://name:8020/lake"}))
    assert conf["spark.sql.catalog.lake.warehouse"] == "hdfs://name:8020/lake"
    assert "spark.jars" not in conf
