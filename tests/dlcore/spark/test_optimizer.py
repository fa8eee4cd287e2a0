"""Training on Spark gives what one process gives, however the records are spread and whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dlcore.data.sample import Sample
from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.nn.layer import BatchNormalization, Dropout, Linear, LogSoftMax, Sequential, Tanh
from dlcore.nn.module import Module
from dlcore.optim.adaptive import (
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    LarsSGD,
    ParallelAdam,
    RMSprop,
)  # fmt: skip
from dlcore.optim.method import SGD
from dlcore.optim.metric import Loss, Top1Accuracy
from dlcore.optim.optimizer import (
    LBFGS,
    EveryEpoch,
    L2Regularizer,
    MaxIteration,
    Optimizer,
    SeveralIteration,
    Step,
    TrainSummary,
    ValidationSummary,
)  # fmt: skip
from dlcore.rng import RNG
from dlcore.spark import crew, slice_store

pytestmark = pytest.mark.spark
WIDTH, RECORDS, BATCH = 6, 97, 24
METHODS = {
    "sgd": lambda: SGD(0.1, momentum=0.9, dampening=0.0, weightdecay=1e-3, leaningrate_schedule=Step(7, 0.5)),
    "nesterov": lambda: SGD(0.05, momentum=0.9, nesterov=True, learningrate_decay=1e-2),
    "adam": lambda: Adam(0.01), "parallel": lambda: ParallelAdam(0.01), "adamw": lambda: AdamW(0.01),
    "adamax": lambda: Adamax(0.01), "adagrad": lambda: Adagrad(0.05), "adadelta": Adadelta,
    "rmsprop": lambda: RMSprop(0.01), "ftrl": lambda: Ftrl(0.1), "lars": lambda: LarsSGD(learningrate=0.05),
    "lamb": lambda: Lamb(0.01),
}  # fmt: skip


def samples() -> list[Sample]:
    rng = np.random.default_rng(1)
    points = rng.standard_normal((RECORDS, WIDTH))
    return [Sample.from_ndarray(x, 1 + int(x[0] > x[1]), "double") for x in points]


def network() -> Sequential:
    """A layer for each method, one that is frozen, dropout, a penalty."""
    RNG.set_seed(5)
    model = Sequential()
    for name in METHODS:
        model.add(Linear(WIDTH, WIDTH, wRegularizer=L2Regularizer(1e-3), bigdl_type="double").set_name(name))
        model.add(Tanh())
    model.add(Dropout(0.2)).add(Linear(WIDTH, 2, bigdl_type="double").set_name("head")).add(LogSoftMax())
    model.freeze(["head"])
    return model


def weights(model: Module) -> np.ndarray:
    return np.concatenate([parameter.value.reshape(-1) for parameter in model.named_parameters().values()])


def optimizer(model, data, steps=20, methods=None, batch=BATCH):
    made = methods or {name: make() for name, make in METHODS.items()}
    return Optimizer(model, data, ClassNLLCriterion(), MaxIteration(steps), batch, made, is_quiet=True)


@pytest.fixture(scope="module")
def expected(context):
    """The weights that one partition gives."""
    trained = trained_by_all_methods(context, 1)
    assert np.abs(trained - weights(network())).max() > 0.01
    return trained


def trained_by_all_methods(context, partitions):
    made = optimizer(network(), context.parallelize(samples(), partitions))
    return weights(made.set_gradclip_const(-0.2, 0.2).set_gradclip_l2norm(0.5).optimize())


@pytest.mark.parametrize(("partitions", "jobs"), [(2, 1), (3, 1), (3, 2), (4, 2)])
def test_any_number_of_partitions_gives_the_weights_of_one(context, expected, monkeypatch, partitions, jobs):
    monkeypatch.setattr(crew, "ONE_JOB_VALUES", 1 << 30 if jobs == 1 else 0)
    found = trained_by_all_methods(context, partitions)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@dataclass(eq=False)
class Dying(Module):
    """Passes its input through; kills its process at the third backward pass, in a step after the first, if there is no
    file at `path`."""

    path: str

    def __post_init__(self):
        super().__post_init__()
        self.passes = 0

    def apply(self, x):
        def pullback(grad):
            self.passes += 1
            if self.passes < 3:
                return grad
            try:
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return grad
            os.kill(os.getpid(), signal.SIGKILL)
            return grad

        return x, pullback


@dataclass(eq=False)
class Failing(Module):
    """Passes its input through; from the fourth backward pass on it fails in partition 0, four times, with which Spark
    gives up, and then makes a file at `path`."""

    path: str

    def __post_init__(self):
        super().__post_init__()
        self.passes = 0

    def apply(self, x):
        from pyspark import TaskContext

        def pullback(grad):
            self.passes += 1
            begun, failed = Path(f"{self.path}.begun"), Path(self.path)
            if TaskContext.get().partitionId() or failed.exists() or (self.passes < 4 and not begun.exists()):
                return grad
            begun.touch()  # the next try is in another process
            failures = len(begun.read_text())
            begun.write_text("x" * (failures + 1))
            if failures == 3:
                failed.touch()
            raise OSError("as asked")

        return x, pullback


def small(*layers: Module) -> Sequential:
    RNG.set_seed(6)
    model = Sequential().add(Linear(WIDTH, 5)).add(BatchNormalization(5)).add(Tanh())
    for layer in layers:
        model.add(layer)
    return model.add(Linear(5, 2)).add(LogSoftMax())


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_worker_changes_no_bit(context, monkeypatch, tmp_path, jobs):
    monkeypatch.setattr(crew, "ONE_JOB_VALUES", 1 << 30 if jobs == 1 else 0)
    found = []
    for is_dying in (False, True):
        place = tmp_path / "died"
        place.unlink(missing_ok=True)
        if not is_dying:
            place.touch()
        model = small(Dying(str(place)))
        optimizer(model, context.parallelize(samples(), 2), 6, Adam(0.01)).optimize()
        assert place.exists()
        found.append(np.concatenate([weights(model), *(b.value for b in model.buffers().values())]))
    np.testing.assert_array_equal(*found)


def test_a_resumed_training_goes_on_to_the_same_bits(context, tmp_path):
    rdd = context.parallelize(samples(), 2)
    methods = lambda: SGD(0.1, momentum=0.9, dampening=0.0)  # noqa: E731
    whole = small()
    optimizer(whole, rdd, 8, methods()).set_checkpoint(SeveralIteration(4), tmp_path, False).optimize()
    for step in (4, 8):
        resumed = small()
        optimizer(resumed, rdd, 8, methods()).resume(tmp_path / f"checkpoint-{step}.npz").optimize()
        np.testing.assert_array_equal(weights(resumed), weights(whole))
        for name, buffer in whole.buffers().items():
            np.testing.assert_array_equal(resumed.buffers()[name].value, buffer.value)


def test_a_partition_without_records_changes_nothing(context):
    rdd, found = context.parallelize(samples(), 2), []
    for data in (rdd, context.parallelize([], 1).union(rdd)):
        model = small()
        optimizer(model, data, 5, Adam(0.01)).optimize()
        found.append(np.concatenate([weights(model), *(buffer.value for buffer in model.buffers().values())]))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


def test_it_learns_validates_and_writes_summaries(context, tmp_path):
    rdd, model = context.parallelize(samples(), 2), small()
    made = Optimizer.create(model, rdd, ClassNLLCriterion(), MaxIteration(25), BATCH, Adam(0.05))
    train, score = TrainSummary(str(tmp_path), "app"), ValidationSummary(str(tmp_path), "app")
    made.set_validation(BATCH, rdd, EveryEpoch(), [Top1Accuracy(), Loss()])
    made.set_train_summary(train.set_summary_trigger("Parameters", EveryEpoch())).set_val_summary(score)
    made.optimize()
    accuracy = float(score.read_scalar("Top1Accuracy")[-1][1])
    right = model.predict_class(np.array([s.feature.to_ndarray() for s in samples()])) == np.array(
        [s.label[0] for s in samples()]
    )
    assert accuracy == pytest.approx(right.mean()) and accuracy > 0.9
    assert len(train.read_scalar("Loss")) == 25
    assert made.workers == 2


def test_samples_that_are_gone_are_written_again(context):
    found = []
    for is_lost in (False, True):
        made = optimizer(small(), context.parallelize(samples(), 2), 3, SGD(0.1))
        if is_lost:
            assert made.source.records == RECORDS
            for kept in made.source.kept.collect():
                Path(kept.path.removeprefix("|")).unlink()
        found.append(weights(made.optimize()))
    np.testing.assert_array_equal(*found)


def test_what_fails_goes_on_from_the_latest_checkpoint(context, tmp_path):
    rdd, found = context.parallelize(samples(), 2), []
    for case in ("whole", "failing", "resumed and failing"):
        place = tmp_path / case
        if case == "whole":
            place.touch()
        made = optimizer(small(Failing(str(place))), rdd, 8, Adam(0.01))
        if case == "resumed and failing":
            made.resume(tmp_path / "whole checkpoints/checkpoint-2.npz")
        else:
            made.set_checkpoint(SeveralIteration(2), tmp_path / f"{case} checkpoints", False)
        found.append(weights(made.optimize()))
        assert case == "whole" or Path(f"{place}.begun").read_text() == "xxxx"
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_a_batch_that_the_partitions_cannot_share_is_refused(context):
    rdd = context.parallelize(samples(), 3)
    with pytest.raises(ValueError, match="total batch size 32 should be divided by partitionNum 3"):
        optimizer(small(), rdd, batch=32)
    with pytest.raises(ValueError, match="LBFGS, which looks at the loss several times"):
        optimizer(small(), rdd, 1, LBFGS()).optimize()
    with pytest.raises(ValueError, match="without records"):
        optimizer(small(), context.parallelize([], 2), 1, SGD()).optimize()
    elsewhere = optimizer(small(), rdd)
    assert elsewhere.workers == 3 and elsewhere.set_traindata(samples(), 25).workers == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_little_is_held_in_memory_and_nothing_is_left(context, monkeypatch, tmp_path, jobs):
    monkeypatch.setattr(crew, "ONE_JOB_VALUES", 1 << 30 if jobs == 1 else 0)
    close, held, files = crew.SparkCrew.close, [], []

    def closing(self):
        folder = slice_store.MEMORY / slice_store.folder_of(self._run.sharing.token)
        held.extend(path.name for path in folder.iterdir() if path.name[0] != ".")
        files.extend(Path(kept.path.removeprefix("|")) for kept in self._source.kept.collect())
        assert all(path.exists() for path in files)
        close(self)
        files.append(folder)

    monkeypatch.setattr(crew.SparkCrew, "close", closing)
    rdd, each = context.parallelize(samples(), 2), SeveralIteration(1)
    made = optimizer(small(), rdd, 5, SGD()).set_validation(BATCH, rdd, each, [Loss()])
    made.set_checkpoint(each, tmp_path).optimize()
    kinds = ("state", "grads") if jobs == 1 else ("slice", "grads")
    expected = {f"{kind}.{step}.{partition}" for kind in kinds for step in (3, 4) for partition in range(2)}
    assert set(held) == expected | ({"shown"} if jobs == 1 else set())
    assert not [path for path in files if path.exists()]
