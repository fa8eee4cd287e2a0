"""The stage table is whole: every stage has its script, and reads what another one writes before it."""

import pytest

from spark_jobs.pipeline import STAGES, report_uri, session_id, stages_of
from spark_jobs.settings import REPOSITORY, Settings, static_spark_conf


def test_every_stage_has_its_script() -> None:
    missing = [stage.name for stage in STAGES.values() if not (REPOSITORY / stage.script).is_file()]
    assert missing == []


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


def test_an_empty_variable_counts_as_unset() -> None:
    settings = Settings.from_environment({"PIPELINE_HOME": "/srv/p", "PIPELINE_CONNECT_TOKEN": ""})
    assert settings.connect_token is None
    assert settings.table("features") == "lake.pipeline.features"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PIPELINE_SALT_BUCKETS": "four"}, "PIPELINE_SALT_BUCKETS: got 'four', expected a whole number"),
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
