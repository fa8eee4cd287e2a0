"""Programs of all three generations of BigDL's API, as they were published but small, that need neither Spark nor an
importer.

They lie in programs/ and run unchanged; here stands what they must have found.
"""

from __future__ import annotations

import gzip
import runpy
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import dlcore.bigdl  # noqa: F401  (from here on bigdl, dl and zoo can be imported)
from dlcore.models.lenet import build_model
from dlcore.rng import RNG

PROGRAMS = Path(__file__).parent / "programs"


def run(program, *arguments):
    """The program's names when it has ended."""
    RNG.set_seed(1)
    before = sys.argv
    sys.argv = [program, *map(str, arguments)]
    try:
        return runpy.run_path(str(PROGRAMS / f"{program}.py"), run_name="__main__")
    finally:
        sys.argv = before


def idx(array):
    """An array of bytes as MNIST's files have it (LeCun's idx format)."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with the four files of MNIST, one of them not compressed: each digit is bars at its own places, with
    noise."""
    folder, draws = tmp_path_factory.mktemp("digits"), np.random.default_rng(0)
    for prefix, count in (("train", 400), ("t10k", 100)):
        labels = draws.integers(0, 10, count)
        images = draws.integers(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[2 + 2 * label : 7 + 2 * label, 4:24] += 180
            image[4:24, 20 - label] += 15
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            if name.startswith("t10k-labels"):
                (folder / name).write_bytes(idx(array))
            else:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array), 1))
    return folder


def test_the_first_generation(digits):
    found = run("first_generation", digits)
    assert found["results"][0].method == "Top1Accuracy"
    assert found["results"][0].result > 0.9
    assert found["optimizer"].state.score == found["results"][0].result
    assert (digits / "checkpoints/checkpoint.npz").exists()


def test_logistic_regression_and_its_predictions(digits):
    found = run("logistic_regression", digits)
    assert np.mean(found["right"]) > 0.95
    assert found["shown"][0].shape == (28, 28)


def test_lenet_with_summaries(digits):
    found = run("lenet_with_summaries", digits)
    assert found["loss"].shape == (30, 3)
    assert found["top1"][-1, 1] == pytest.approx(found["results"][0].result)
    assert found["top1"][-1, 1] > 0.9
    assert found["parameters"]["fc1"]["weight"].shape == (100, 192)
    assert (digits / "curves.png").stat().st_size > 5000


def test_graphs_and_layers():
    found = run("graphs")
    np.testing.assert_array_equal(found["one"], [[1], [1]])
    assert (found["two"].shape, found["both"].shape) == ((2, 2), (5, 4))
    assert found["pooled"].shape == (1, 2, 5, 4)  # steps of 1
    assert [each.shape for each in found["steps"]] == [(2, 5, 2), (2, 5, 3)]
    assert found["sgd"].weightdecay == 0.001
    assert found["looked_up"].shape == (1, 3, 4)


def test_by_hand():
    found = run("by_hand")
    assert found["losses"][-1] < found["losses"][0] / 10
    assert found["parameters"]["hidden"]["gradWeight"].shape == (8, 2)


def test_transfer_learning_of_analytics_zoo(tmp_path):
    RNG.set_seed(2)
    path = build_model(10).save(tmp_path / "lenet")
    found = run("transfer", path)
    assert found["scores"][1].result == 1
    changed = [not np.array_equal(a, b) for a, b in zip(found["before"], found["after"], strict=True)]
    assert changed == [False, False, True, True, False, False, False, False]  # frozen, learned, cut off


def test_keras_style(tmp_path):
    found = run("keras_style", tmp_path)
    assert found["results"][1].result > 0.9
    np.testing.assert_array_equal(found["loaded"].predict(found["x"]), found["predicted"])
