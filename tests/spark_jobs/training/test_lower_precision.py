"""Versions of the shipped models in fewer bits, calibrated and compared on pictures of noise and shapes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dlcore.errors import ModelFormatError
from dlcore.interop.artefact import load_artefact, promote, save_artefact, versions
from dlcore.vision.arithmetic import ARITHMETIC, plan_of
from dlcore.vision.detector import FoundObject
from dlcore.vision.extractor import load_extractor
from dlcore.vision.pixels import Pixels
from spark_jobs.lower_precision import main
from spark_jobs.pipeline import EXIT_MISTAKE
from spark_jobs.settings import REPOSITORY
from spark_jobs.training.lower_precision import _again, bring_lower

EXTRACTOR, DETECTOR = "deepbit-small", "detector-small"


def pictures(seed: int, side: int, count: int = 12) -> Pixels:
    """Gradients with a rectangle of another colour each."""
    rng = np.random.default_rng(seed)
    slopes = np.linspace(0, 1, side)[:, None, None] * rng.uniform(0, 200, (count, 1, 1, 3))
    found = np.broadcast_to(slopes, (count, side, side, 3)).astype(np.uint8).copy()
    for picture in found:
        top, left = rng.integers(0, side // 2, 2)
        picture[top : top + side // 3, left : left + side // 2] = rng.integers(0, 256, 3)
    return found


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in (EXTRACTOR, DETECTOR):
        shutil.copytree(REPOSITORY / "models" / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(("name", "side"), [(EXTRACTOR, 96), (DETECTOR, 192)])
def test_a_version_in_eight_bits_stands_beside_the_other(models: Path, name: str, side: int) -> None:
    uri = str(models / name)
    before = load_artefact(uri).version
    version, found = bring_lower(uri, "int8", pictures(1, side), pictures(2, side))
    assert load_artefact(uri).version == before
    assert set(versions(uri)) == {before, version}
    lower = load_artefact(f"{uri}@{version}")
    assert lower.metadata["agreement"] == found
    assert all(0.8 <= share <= 1 for share in found.values())
    size = lower.metadata["preprocessing"]["size"]
    kinds = plan_of(lower.model, lower.metadata, (1, 3, size, size)).explain(repeats=1)
    assert "int8" in kinds


def test_a_name_that_moves_gives_other_codes(models: Path) -> None:
    uri = str(models / EXTRACTOR)
    before = load_extractor(uri)
    version, found = bring_lower(uri, "bf16", pictures(1, 96), pictures(2, 96))
    assert found["same_bits"] > 0.97
    promote(uri, version)
    after = load_extractor(uri)
    assert (after.version, before.version) == (version, load_artefact(f"{uri}@{before.version}").version)


def test_arithmetic_of_another_model_is_refused(models: Path) -> None:
    uri = str(models / EXTRACTOR)
    version, _ = bring_lower(uri, "int8", pictures(1, 96), pictures(2, 96))
    lower = load_artefact(f"{uri}@{version}")
    for change in ({"precision": "int3"}, {"calibration": None}, {"calibration": {"ranges": []}}):
        metadata = {**lower.metadata, ARITHMETIC: {**lower.metadata[ARITHMETIC], **change}}
        save_artefact(models / json.dumps(change)[2:6], lower.model, metadata)
        with pytest.raises(ModelFormatError, match="an arithmetic that cannot be used"):
            load_extractor(str(models / json.dumps(change)[2:6]))


def test_things_are_found_again_by_label_and_place() -> None:
    first = [FoundObject("mug", 0.9, 0.1, 0.1, 0.5, 0.5), FoundObject("shoe", 0.9, 0.1, 0.1, 0.5, 0.5)]
    second = [FoundObject("mug", 0.4, 0.1, 0.12, 0.5, 0.5), FoundObject("shoe", 0.4, 0.6, 0.6, 0.9, 0.9)]
    assert _again(first, second) == [True, False]
    assert _again(first, []) == [False, False]


def test_what_is_no_lower_precision_is_a_mistake(models: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    wrong = CliRunner().invoke(app, [EXTRACTOR, "--precision", "fp32", "--models", f"file://{models}"])
    assert wrong.exit_code == EXIT_MISTAKE
