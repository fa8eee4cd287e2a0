"""What cannot be is refused before anything runs, by the same words for a command and for a DAG run."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dlcore.interop.artefact import save_artefact
from dlcore.nn.layer import Linear
from spark_jobs import detect_objects, evaluate_models, extract_features, preprocess_images, read_images
from spark_jobs.hbase import contents
from spark_jobs.mistakes import Mistake
from spark_jobs.pipeline import EXIT_MISTAKE, STAGES
from spark_jobs.running import runner
from spark_jobs.running.command_line import Attempt, NoOptions
from spark_jobs.running.request import check_request
from spark_jobs.settings import Settings
from spark_jobs.stages import extractors

DAY = ("--day", "2026-11-02")
JOBS = {
    "detect_objects": detect_objects.Options,
    "extract_features": extract_features.Options,
    "preprocess_images": preprocess_images.Options,
    "evaluate_models": evaluate_models.Options,
    "read_images": NoOptions,
}
MISTAKES = {
    "a detector that is not there": (
        "detect_objects",
        (*DAY, "--detector", "detector-smal"),
        "there is no detector 'detector-smal' in {models}; did you mean detector-small?",
    ),
    "an extractor nowhere near": (
        "extract_features",
        (*DAY, "--extractor", "x"),
        "there is no extractor 'x' in {models}; expected one of deepbit-lite0, deepbit-small, detector-small",
    ),
    "a version that is not there": (
        "detect_objects",
        (*DAY, "--detector", f"detector-small@{'0' * 64}"),
        f"has no version {'0' * 64}; expected one of ",
    ),
    "models where there are none": ("extract_features", (*DAY, "--models", "file:///nowhere"), "; there is none"),
    "models of no known kind": ("extract_features", (*DAY, "--models", "nonsense://m"), "Protocol not known: nonsense"),
    "a list of placeholders that is not there": (
        "preprocess_images",
        (*DAY, "--placeholders", "file:///nowhere.txt"),
        "placeholders 'file:///nowhere.txt': ",
    ),
    "a name that no set of codes can have": ("extract_features", (*DAY, "--codes", "V 2"), "got 'V 2', expected small"),
    "a truth file that is not there": (
        "evaluate_models",
        ("--truth", "truht.jsonl"),
        "there is no truth file 'truht.jsonl'",
    ),
    "a param that is none": (
        "read_images",
        (*DAY, "--request", '{"detektor": "none"}'),
        "got the param 'detektor', did you mean detector?",
    ),
    "a param of a later job": (
        "read_images",
        (*DAY, "--request", '{"extractor": "deepbit-smal", "detector": null}'),
        "there is no extractor 'deepbit-smal' in {models}; did you mean deepbit-small?",
    ),
    "a param of another DAG's": (
        "extract_features",
        (*DAY, "--dag", "feature_extraction", "--request", '{"codes": "v2", "day": "2026-11-02", "margin": 0.1}'),
        "got the param 'margin', expected one of allow_empty, codes, day, extractor, models",
    ),
}


def never(job: Any) -> None:
    raise RuntimeError("the job has begun")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_before_anything_runs(mistake: str, tmp_path: Path) -> None:
    stage, line, expected = MISTAKES[mistake]
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path)})
    assert runner.execute(stage, never, JOBS[stage], ["--run", "r", *line], settings) == EXIT_MISTAKE
    (written,) = tmp_path.glob("reports/*/*/r.json")
    report = json.loads(written.read_text())
    assert report["status"] == "refused"
    assert expected.format(models=settings.models) in report["error"]


def test_a_version_may_be_asked_for_while_the_current_one_is_damaged(tmp_path: Path) -> None:
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path), "PIPELINE_MODELS": f"file://{tmp_path}"})
    for folder in (tmp_path / "net", tmp_path / "net" / "versions" / "older"):
        folder.mkdir(parents=True)
        (folder / "model.json").write_text("{")
    attempt = Attempt("r", "2026-11-02")
    check_request(STAGES["detect_objects"], attempt, detect_objects.Options(detector="net@older"), settings)
    for name, message in (("net", "'net' in "), ("net@newer", "has no version newer")):
        with pytest.raises(Mistake, match=message):
            check_request(STAGES["detect_objects"], attempt, detect_objects.Options(detector=name), settings)


def test_the_extractor_of_a_new_set_is_the_one_that_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path), "PIPELINE_MODELS": f"file://{tmp_path}"})
    for name in ("spare", "shipped"):
        monkeypatch.setattr(extractors, name.upper(), name)
    check = partial(check_request, STAGES["extract_features"], Attempt("r", "2026-11-02"), settings=settings)
    with pytest.raises(Mistake, match="there is no extractor 'spare'"):
        check(extract_features.Options())
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "model.json").write_text("{")
    with pytest.raises(Mistake, match="extractor 'shipped' in "):
        check(extract_features.Options())
    save_artefact(tmp_path / "shipped", Linear(2, 2), {})
    check(extract_features.Options())


def test_a_dag_of_somebody_elses_may_have_params_of_its_own(tmp_path: Path) -> None:
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path)})
    request = json.dumps({"region": "eu", "detector": "none"})
    attempt = Attempt("r", "2026-11-02", dag="shop_daily", request=request)
    check_request(STAGES["preprocess_images"], attempt, NoOptions(), settings)
    with pytest.raises(Mistake, match="got the param 'region'"):
        check_request(STAGES["preprocess_images"], replace(attempt, dag=None), NoOptions(), settings)


def test_a_table_may_be_named_with_the_namespace_that_hbase_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path)})
    monkeypatch.setattr(contents, "table_names", lambda _: ["photos", "shop:photos"])
    attempt = Attempt("r", "2026-11-02", allow_empty=True)
    for table in ("photos", "default:photos", "shop:photos"):
        check_request(STAGES["read_images"], attempt, read_images.Options(table), settings)
    with pytest.raises(Mistake, match="HBase has no table 'other:photos'"):
        check_request(STAGES["read_images"], attempt, read_images.Options("other:photos"), settings)


def test_the_mistake_is_the_first_line_of_the_log_and_has_no_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path)})
    runner.execute("detect_objects", never, detect_objects.Options, ["--run", "r", *DAY, "--detector", "x"], settings)
    first = caplog.records[0]
    assert first.getMessage().startswith("detect_objects: there is no detector 'x'") and not first.exc_info
