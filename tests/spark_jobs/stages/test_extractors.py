"""Which extractor makes codes when nobody says: that of the codes in use, else the shipped one, else the spare one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlcore.interop.artefact import save_artefact
from dlcore.interop.published import Backbone
from dlcore.models.pretrained import LITE0_WEIGHTS
from dlcore.nn.layer import Linear
from spark_jobs.running.run_report import RunReport, Status
from spark_jobs.settings import Settings
from spark_jobs.stages import extractors
from spark_jobs.stages.extractors import extractor_in_use, extractor_of_version, usual_extractor


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a folder with the models `shipped` and `spare`."""
    monkeypatch.setattr(extractors, "SHIPPED", "shipped")
    monkeypatch.setattr(extractors, "SPARE", "spare")
    for name in ("shipped", "spare"):
        save_artefact(tmp_path / "models" / name, Linear(2, 2), {"name": name})
    return Settings.from_environment({"PIPELINE_HOME": str(tmp_path), "PIPELINE_MODELS": f"file://{tmp_path}/models"})


def publish(
    settings: Settings, day: str, artefacts: dict[str, str], codes: str = "", status: Status = "published"
) -> None:
    report = RunReport("extract_features", f"r-{day}", 1, day, "image_pipeline", "features", codes, False)
    report.status, report.extra = status, {"artefacts": artefacts} if artefacts else {}
    report.finish()
    report.write(settings.reports)


def test_a_set_of_codes_stays_with_its_extractor(settings: Settings) -> None:
    assert extractor_in_use(settings, settings.models) == ""
    publish(settings, "2026-11-01", {"shipped": "0" * 64})
    publish(settings, "2026-11-02", {f"spare@{'1' * 64}": "1" * 64})
    publish(settings, "2026-11-03", {"shipped": "0" * 64}, codes="v2")
    assert extractor_in_use(settings, settings.models) == "spare"
    assert extractor_in_use(settings.with_codes("v2"), settings.models) == "shipped"
    publish(settings, "2026-11-04", {"gone": "0" * 64})
    assert extractor_in_use(settings, settings.models) == ""


def test_days_that_name_no_extractor_do_not_begin_with_the_shipped_one(settings: Settings) -> None:
    publish(settings, "2026-11-01", {"spare": "0" * 64})
    publish(settings, "2026-11-02", {}, status="empty")
    publish(settings, "2026-11-03", {}, status="already_published")
    assert extractor_in_use(settings, settings.models) == "spare"


def test_the_spare_one_serves_without_the_published_weights(settings: Settings, tmp_path: Path) -> None:
    assert usual_extractor(settings.models) == ("shipped", None)
    file = tmp_path / "models" / "shipped" / "model.json"
    described = json.loads(file.read_text())
    absent = Backbone("backbone", LITE0_WEIGHTS, ("_fc.bias",)).metadata()
    absent["published"]["package"] = "efficientnet_lite7_pytorch_model"
    file.write_text(json.dumps(described | {"backbone": absent}))
    name, missing = usual_extractor(settings.models)
    assert name == "spare" and missing is not None and "lite7" in missing.remedy()
    assert usual_extractor(f"file://{tmp_path}/empty") == ("spare", None)


def test_codes_lead_to_the_extractor_of_their_version(settings: Settings, tmp_path: Path) -> None:
    version = save_artefact(tmp_path / "models" / "spare", Linear(3, 2), {"name": "newer"})
    assert extractor_of_version(settings.models, version) == f"spare@{version}"
    assert extractor_of_version(settings.models, "2" * 64) == f"shipped@{'2' * 64}"
    assert extractor_of_version(settings.models, "2" * 64, "mine") == f"mine@{'2' * 64}"
