"""What `bench_training.py` trains, and how a contender takes its steps. Standard library alone: the peers' environments
read it too."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

RATE, MOMENTUM = 0.01, 0.9
THREADS = int(os.environ.get("DLCORE_THREADS", "2"))


@dataclass(frozen=True)
class Contest:
    """A batch of so many rows of this shape, and classes. words: above 0, inputs are whole numbers from 1 to it. adam:
    the method, in place of SGD with momentum. is_sequence: a class for each step."""

    batch: int
    row: tuple[int, ...]
    classes: int
    words: int = 0
    adam: bool = False
    is_sequence: bool = False


CONTESTS = {
    "lenet": Contest(128, (1, 28, 28), 10),
    "vgg16": Contest(8, (3, 224, 224), 1000),
    "resnet50": Contest(16, (3, 224, 224), 1000),
    "inception_v1": Contest(16, (3, 224, 224), 1000),
    "lstm_lm": Contest(20, (35,), 10000, words=10000, is_sequence=True),
    "ncf": Contest(1024, (2,), 5, words=3706, adam=True),
}
HIDDEN, LAYERS = 650, 2
"""Sizes of the language model."""
USERS, ITEMS, EMBEDDED, PERCEPTRON = 6040, 3706, 20, (40, 20, 10)
"""Sizes of the recommender."""
INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
"""Planes into each block; of its 1x1, of 3x3 before and behind, of 5x5 before and behind, behind the pooling (Szegedy
et al. 2014)."""


def serve(step: Callable[[], float]) -> None:
    """Take as many steps as each line of the standard input says; answer each with wall and CPU seconds a step, the
    last loss and the largest memory so far in MB."""
    for line in sys.stdin:
        count, start, used, loss = int(line), time.perf_counter(), time.process_time(), 0.0
        for _ in range(count):
            loss = float(step())
        wall, cpu = time.perf_counter() - start, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print("answer", wall / count, cpu / count, loss, peak, flush=True)
