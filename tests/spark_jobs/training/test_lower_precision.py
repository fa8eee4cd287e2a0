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
from dlcore.interop.artefact import backbone_of, load_artefact, promote, save_artefact, versions
from dlcore.interop.published import Backbone
from dlcore.models.deepbit_joint import BACKBONE, pooled_features
from dlcore.models.pretrained import LITE0_WEIGHTS, pretrained_efficientnet_lite0
from dlcore.nn.layer import ConcatTable, Identity, Linear, Sequential, View
from dlcore.vision.arithmetic import ARITHMETIC, plan_of
from dlcore.vision.detector import FoundObject
from dlcore.vision.extractor import load_extractor
from dlcore.vision.pixels import Pixels
from dlcore.vision.preprocessing import Preprocessing
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
    """A folder of the shipped models, at an address with a user in it."""
    folder = tmp_path / "spark@models"
    for name in (EXTRACTOR, DETECTOR):
        shutil.copytree(REPOSITORY / "models" / name, folder / name)
    return folder


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
    uri, shown = str(models / EXTRACTOR), pictures(2, 96)
    before = load_extractor(uri)
    version, found = bring_lower(uri, "int8", pictures(1, 96), shown)
    assert 0.95 < found["same_bits"] < 1
    promote(uri, version)
    codes = [load_extractor(each).outputs(shown)[0] for each in (uri, f"{uri}@{version}", f"{uri}@{before.version}")]
    np.testing.assert_array_equal(codes[0], codes[1])
    np.testing.assert_array_equal(codes[2], before.outputs(shown)[0])
    assert (codes[0] != codes[2]).any()
    with pytest.raises(ValueError, match=r"got a version in int8, expected one in fp32; name it as NAME@VERSION"):
        bring_lower(uri, "bf16", shown, shown)
    bring_lower(f"{uri}@{before.version}", "bf16", shown, shown)
    assert len(versions(uri)) == 3


def test_published_weights_stay_in_their_package(models: Path) -> None:
    network = pooled_features(pretrained_efficientnet_lite0()).set_name(BACKBONE)
    ends = ConcatTable().add(Linear(1280, 32)).add(Identity())
    about = {"kind": "deepbit", "preprocessing": Preprocessing(64).metadata(), "threshold": 0.0, "bits": 32}
    model = Sequential().add(network).add(View([1280], 3)).add(ends)
    uri = str(models / "published")
    save_artefact(uri, model, about, backbone=Backbone(BACKBONE, LITE0_WEIGHTS))
    version, _ = bring_lower(uri, "bf16", pictures(1, 64, 2), pictures(2, 64, 2))
    assert backbone_of(f"{uri}@{version}") == backbone_of(uri)
    assert Path(uri, "versions", version, "weights.npz").stat().st_size < 200_000


def test_arithmetic_of_another_model_is_refused(models: Path) -> None:
    uri = str(models / EXTRACTOR)
    version, _ = bring_lower(uri, "int8", pictures(1, 96), pictures(2, 96))
    lower = load_artefact(f"{uri}@{version}")
    other_cpu = {"effective": "int8 on another CPU"}
    for change in (other_cpu, {"precision": "int3"}, {"calibration": None}, {"calibration": {"ranges": []}}):
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
