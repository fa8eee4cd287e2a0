"""Our contender of `bench_training.py`: `training_dlcore.py MODEL BATCH`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.training_contests import CONTESTS, HIDDEN, ITEMS, LAYERS, MOMENTUM, RATE, THREADS, USERS, serve

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)

import numpy as np

from dlcore.models.inception import inception_v1_no_aux_classifier
from dlcore.models.language_model import lstm_language_model
from dlcore.models.lenet import build_model
from dlcore.models.ncf import neural_cf
from dlcore.models.resnet import resnet
from dlcore.models.vgg import vgg16
from dlcore.nn.criterion import ClassNLLCriterion, CrossEntropyCriterion, TimeDistributedCriterion
from dlcore.nn.module import Module
from dlcore.optim.adaptive import Adam
from dlcore.optim.crew import Assignment, LocalCrew
from dlcore.optim.method import SGD
from dlcore.optim.schedule import Progress
from dlcore.optim.update import Clipping, Update
from dlcore.rng import RNG

MODELS: dict[str, Callable[[], Module]] = {
    "lenet": lambda: build_model(10),
    "vgg16": vgg16,
    "resnet50": lambda: resnet(50),
    "inception_v1": lambda: inception_v1_no_aux_classifier(1000),
    "lstm_lm": lambda: lstm_language_model(10000, HIDDEN, 10000, LAYERS),
    "ncf": lambda: neural_cf(USERS, ITEMS, 5),
}
LOGARITHMS = ("lenet", "inception_v1", "ncf")
"""Models that end in a LogSoftMax."""


def main(name: str, batch: int) -> None:
    """Train by the loop's own crew, in this process."""
    RNG.set_seed(1)
    contest, model, rng = CONTESTS[name], MODELS[name]().training(), np.random.default_rng(0)
    shape = (batch, *contest.row)
    x = rng.integers(1, contest.words + 1, shape) if contest.words else rng.standard_normal(shape, dtype=np.float32)
    target = rng.integers(1, contest.classes + 1, shape if contest.is_sequence else (batch,)).astype(np.float32)
    criterion = ClassNLLCriterion() if name in LOGARITHMS else CrossEntropyCriterion()
    if contest.is_sequence:
        criterion = TimeDistributedCriterion(criterion, True)
    method = Adam(0.001) if contest.adam else SGD(RATE, momentum=MOMENTUM, dampening=0.0)
    given = x.astype(np.float32)
    update = Update.of(model, {"": method}, Clipping())
    crew = LocalCrew(Assignment(model, criterion, lambda request: (given, target), batch, 1, 1, update))
    steps = iter(range(10**9))
    serve(lambda: crew.step(next(steps), Progress()).loss)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
