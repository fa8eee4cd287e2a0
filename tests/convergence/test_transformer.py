"""A Transformer learns to turn sequences around, which every place needs every other for."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.models.transformer import transformer_translator
from dlcore.nn.criterion import CrossEntropyCriterion, TimeDistributedCriterion
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG

pytestmark = pytest.mark.convergence

LONGEST, WORDS, END, BATCH = 10, 12, 13, 64


def sequences(rng, count):
    """(source, target): 2 to LONGEST words, and the same turned around with END behind; filled up with 0."""
    source, target = np.zeros((count, LONGEST), np.int64), np.zeros((count, LONGEST + 1), np.int64)
    for row, length in enumerate(rng.integers(2, LONGEST + 1, count)):
        words = rng.integers(1, WORDS + 1, length)
        source[row, :length] = words
        target[row, : length + 1] = [*words[::-1], END]
    return source, target


def batches(request):
    source, target = sequences(request.rng, request.size)
    return [source, target], np.where(target == 0, -1, target)


def test_sequences_are_turned_around():
    RNG.set_seed(1)
    model = transformer_translator(END, LONGEST + 1, END, 64, 4, 128, 2, dropout=0.0)
    loss = TimeDistributedCriterion(CrossEntropyCriterion(), size_average=True)
    source, target = sequences(np.random.default_rng(0), 500)
    right, scores = {}, {}
    for steps in (200, 1000):
        end, method = MaxIteration(steps), Adam(1e-3)
        Optimizer(model.training(), batches, loss, end, BATCH, method, seed=steps, is_quiet=True).optimize()
        model.evaluate()
        for beams in (1, 4):
            model.beam_search.beam_size = beams
            words, likelihood = model.forward(source)
            right[steps, beams], scores[steps, beams] = (words == target).all(axis=1).mean(), likelihood.mean()
            print(
                f"after {steps} more steps, with {beams} beams: {right[steps, beams]:.1%} of 500 sequences right",
                end="",
            )
            print(f", mean score {scores[steps, beams]:.4f}")
    assert right[1000, 4] >= 0.99
    for steps in (200, 1000):
        assert right[steps, 4] >= right[steps, 1], "a wider search finds no fewer of the right sequences"
        assert scores[steps, 4] >= scores[steps, 1], "a wider search finds likelier sequences"
