"""Models that older versions saved and pickled, recorded in tests/golden/saved_models, give the outputs of then."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from dlcore.activity import leaves
from dlcore.interop.native import load_module

FOLDER = Path(__file__).parents[2] / "golden/saved_models"
RECORDED = np.load(FOLDER / "recorded.npz")
MODELS = ["images", "shared_graph", "words"]


def arrays(name, kind):
    """The recorded arrays, in order: a table when there are several."""
    found = [RECORDED[key] for key in sorted(RECORDED.files) if key.startswith(f"{name}.{kind}")]
    return found if len(found) > 1 else found[0]


def check(model, name):
    outputs = leaves(model.forward(arrays(name, "input")))
    for got, expected in zip(outputs, leaves(arrays(name, "output")), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_saved_models_load(name):
    check(load_module(FOLDER / name), name)


@pytest.mark.parametrize("name", MODELS)
def test_pickled_models_load(name):
    check(pickle.loads((FOLDER / f"{name}.pickle").read_bytes()), name)
