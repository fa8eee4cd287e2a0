"""LeNet-5 learns digits and clothes: drawn digits with the other tests; pictures of people's handwriting and of goods
by hand."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dlcore.activity import Array
from dlcore.models.lenet import build_model
from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.nn.module import Module
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.source import BatchRequest
from dlcore.optim.trigger import MaxEpoch
from dlcore.rng import RNG
from sample_data.digits import digits

Labels = NDArray[np.int64]
CLOTHES = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Shifted:
    """Batches of pictures (N, H, W), each moved by up to two pixels, with labels from 1."""

    pictures: Array
    labels: Labels

    @property
    def records(self) -> int:
        return len(self.labels)

    def __call__(self, request: BatchRequest) -> tuple[Array, Labels]:
        rows = request.rng.integers(0, len(self.labels), request.size)
        moves = request.rng.integers(-2, 3, (request.size, 2))
        moved = [np.roll(self.pictures[row], move, (0, 1)) for row, move in zip(rows, moves, strict=True)]
        return np.stack(moved), self.labels[rows] + 1


def learned(source: Any, epochs: int, batch_size: int = 32) -> Module:
    RNG.set_seed(1)
    model = build_model(10)
    end, method = MaxEpoch(epochs), Adam(2e-3, 5e-4)
    return Optimizer(model, source, ClassNLLCriterion(), end, batch_size, method, is_quiet=True).optimize().evaluate()


def accuracy(model: Module, pictures: Array, labels: Labels) -> float:
    return float((model.forward(pictures).argmax(axis=1) == labels).mean())


def scaled(pictures: NDArray[np.uint8]) -> Array:
    return pictures / np.float32(255)


def test_drawn_digits() -> None:
    pictures, labels = digits(1500, 0)
    unseen, their_labels = digits(500, 1)
    model = learned((scaled(pictures), labels + 1), 8)
    assert accuracy(model, scaled(unseen), their_labels) >= 0.95


def handwriting() -> tuple[Array, Labels]:
    """The 1,797 digits of scikit-learn, 8 x 8 with 17 shades, enlarged to 28 x 28."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        pytest.skip("needs scikit-learn's digits: uv pip install scikit-learn")
    rows = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    small = (rows[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    large = [np.asarray(Image.fromarray(picture).resize((28, 28), Image.Resampling.BICUBIC)) for picture in small]
    return scaled(np.stack(large)), rows[:, 64].astype(np.int64)


@pytest.mark.convergence
def test_handwritten_digits_in_five_folds() -> None:
    pictures, labels = handwriting()
    order = np.random.default_rng(0).permutation(len(labels))
    scores = []
    for fold in np.array_split(order, 5):
        rest = np.setdiff1d(order, fold)
        model = learned(Shifted(pictures[rest], labels[rest]), 30)
        scores.append(accuracy(model, pictures[fold], labels[fold]))
    print(f"accuracy of five folds: {np.round(scores, 4)}, mean {np.mean(scores):.4f}")
    assert np.mean(scores) >= 0.985


def clothes(name: str) -> tuple[Array, Labels]:
    """Debian's dataset-fashion-mnist: `train`, 60,000 pictures, or `t10k`, 10,000."""
    files = [CLOTHES / f"{name}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    if not all(file.exists() for file in files):
        pytest.skip("needs Debian's pictures of clothes: apt-get install dataset-fashion-mnist")
    pictures, labels = (np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8) for file in files)
    return scaled(pictures[16:].reshape(-1, 28, 28)), labels[8:].astype(np.int64)


@pytest.mark.convergence
def test_clothes() -> None:
    pictures, labels = clothes("train")
    model = learned((pictures, labels + 1), 12, 64)
    score = accuracy(model, *clothes("t10k"))
    print(f"accuracy {score:.4f}")
    assert score >= 0.89
