"""Which extractor is scored after a training."""

from __future__ import annotations

from pathlib import Path

from dlcore.interop.artefact import save_artefact
from dlcore.nn.layer import Linear
from spark_jobs.evaluate_models import Options, trained_extractor
from spark_jobs.pipeline import MODEL_TRAINING, STAGES
from spark_jobs.running.command_line import Attempt
from spark_jobs.running.run_report import RunReport
from spark_jobs.running.runner import Job
from spark_jobs.settings import Settings


def test_a_run_of_model_training_scores_what_it_has_trained(tmp_path: Path) -> None:
    variables = {"PIPELINE_HOME": str(tmp_path), "PIPELINE_MODELS": f"file://{tmp_path}/models"}
    settings = Settings.from_environment(variables)
    version = save_artefact(tmp_path / "models" / "trained", Linear(2, 2), {"name": "trained"})
    for run, extra in (("better", {"version": version}), ("no_better", {})):
        report = RunReport("train_features", run, 1, None, MODEL_TRAINING)
        report.status, report.extra = "published", extra
        report.finish()
        report.write(settings.reports)

    def scored(run: str, dag: str | None = MODEL_TRAINING) -> str:
        record = RunReport("evaluate_models", run, 1, None, dag)
        stage = STAGES["evaluate_models"]
        return trained_extractor(Job(None, stage, settings, Attempt(run, dag=dag), Options(), None, record))

    assert scored("better") == f"trained@{version}"
    assert [scored("no_better"), scored("another"), scored("better", dag=None)] == ["", "", ""]
