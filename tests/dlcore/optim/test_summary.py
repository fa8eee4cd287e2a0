"""Summaries as TensorBoard's own reader sees them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlcore.data.sample import Sample
from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.nn.layer import Linear, LogSoftMax, Sequential
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.metric import Loss, Top1Accuracy
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import EveryEpoch, MaxEpoch, SeveralIteration
from dlcore.rng import RNG

ROWS = np.random.default_rng(5)
X = ROWS.standard_normal((24, 3)).astype(np.float32)
Y = 1.0 + (X[:, 0] > 0)


def read(folder):
    """What TensorBoard finds there, all of it."""
    found = EventAccumulator(str(folder), {"scalars": 0, "histograms": 0})
    found.Reload()
    return found


def trained(folder, workers=1):
    train, validation = TrainSummary(folder, "app"), ValidationSummary(folder, "app")
    train.set_summary_trigger("Parameters", SeveralIteration(3)).set_summary_trigger("LearningRate", EveryEpoch())
    RNG.set_seed(1)
    model = Sequential().add(Linear(3, 4).set_name("first")).add(Linear(4, 2)).add(LogSoftMax())
    samples = [Sample.from_ndarray(x, y) for x, y in zip(X, Y, strict=True)]
    optimizer = Optimizer(model, samples, ClassNLLCriterion(), MaxEpoch(2), 8, SGD(0.1), workers=workers, is_quiet=True)
    optimizer.set_validation(8, samples, EveryEpoch(), [Top1Accuracy(), Loss(ClassNLLCriterion())])
    return optimizer.set_train_summary(train).set_val_summary(validation), train, validation


@pytest.mark.parametrize("workers", [1, 2])
def test_tensorboard_reads_what_training_wrote(tmp_path, workers):
    optimizer, train, validation = trained(tmp_path, workers)
    model = optimizer.optimize()
    seen = read(tmp_path / "app" / "train")
    assert sorted(seen.Tags()["scalars"]) == ["LearningRate", "Loss", "Throughput"]
    for tag, steps in (("Loss", [1, 2, 3, 4, 5, 6]), ("LearningRate", [3, 6])):
        events = seen.Scalars(tag)
        assert [event.step for event in events] == steps
        assert [(e.step, e.value, e.wall_time) for e in events] == train.read_scalar(tag)
    names = ["1/bias", "1/gradBias", "1/gradWeight", "1/weight"]
    names += ["first/bias", "first/gradBias", "first/gradWeight", "first/weight"]
    assert sorted(seen.Tags()["histograms"]) == names
    last = seen.Histograms("first/weight")[-1]
    weights = model.get_weights()[0].astype(np.float64)
    assert last.step == 6
    value = last.histogram_value
    np.testing.assert_allclose(
        [value.min, value.max, value.num, value.sum, value.sum_squares],
        [weights.min(), weights.max(), weights.size, weights.sum(), np.square(weights).sum()],
        rtol=1e-6,
    )
    limits = [-math.inf, *value.bucket_limit]
    expected = [int(((weights > low) & (weights <= high)).sum()) for low, high in pairwise(limits)]
    assert sum(value.bucket) == weights.size
    assert np.abs(np.cumsum(value.bucket) - np.cumsum(expected)).max() <= 1  # numpy's buckets are open above
    scores = read(tmp_path / "app" / "validation")
    assert sorted(scores.Tags()["scalars"]) == ["Loss", "Top1Accuracy"]
    assert [value for _, value, _ in validation.read_scalar("Top1Accuracy")] == [
        event.value for event in scores.Scalars("Top1Accuracy")
    ]


def test_the_gradient_is_the_one_that_changed_the_weights(tmp_path):
    optimizer, _, _ = trained(tmp_path)
    before = optimizer.model.get_weights()[0]
    optimizer.set_train_summary(TrainSummary(tmp_path, "one").set_summary_trigger("Parameters", SeveralIteration(1)))
    optimizer.set_end_when(SeveralIteration(1)).optimize()
    change = (before - optimizer.model.get_weights()[0]) / 0.1
    histogram = read(tmp_path / "one" / "train").Histograms("first/gradWeight")[0].histogram_value
    np.testing.assert_allclose([histogram.min, histogram.max], [change.min(), change.max()], rtol=1e-4)


def test_numbers_without_end_are_left_out_of_a_histogram(tmp_path):
    summary = TrainSummary(tmp_path, "app")
    for values in ([], [math.nan], [math.inf, 1.0, -2.0], np.zeros((2, 2))):
        summary.add_histogram("values", np.array(values), 1)
    summary.close()
    found = read(summary.folder).Histograms("values")
    assert [(event.histogram_value.num, event.histogram_value.max) for event in found] == [(2, 1), (4, 0)]


def test_a_killed_run_is_read_as_far_as_it_was_written(tmp_path):
    summary = TrainSummary(tmp_path, "app")
    for step in range(1, 6):
        summary.add_scalar("Loss", 1 / step, step)
    summary.close()
    path = next(summary.folder.glob("events.*"))
    content = path.read_bytes()
    for kept, steps in ((len(content) - 1, 4), (len(content) - 60, 3), (20, 0), (0, 0)):
        path.write_bytes(content[:kept])
        assert len(TrainSummary(tmp_path, "app").read_scalar("Loss")) == steps
    path.write_bytes(content)
    for step in range(6, 18):  # more than nine files within a second, which TensorBoard numbers
        again = TrainSummary(tmp_path, "app").add_scalar("Loss", 0.5, step)
        again.close()
    assert [step for step, _, _ in again.read_scalar("Loss")] == list(range(1, 18))
    assert again.read_scalar("Other") == []
    with pytest.raises(ValueError, match="got summary name 'Rate', expected one of LearningRate"):
        again.set_summary_trigger("Rate", EveryEpoch())
