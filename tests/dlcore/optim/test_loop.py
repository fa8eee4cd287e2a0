"""The training loop, with one worker in this process and with forked ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcore.errors import CheckpointError, TrainingDivergedError
from dlcore.nn.criterion import ClassNLLCriterion, MSECriterion
from dlcore.nn.layer import (
    Linear,
    LogSoftMax,
    Reshape,
    Sequential,
    SpatialBatchNormalization,
)
from dlcore.optim.adaptive import Adam
from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.loop import LocalOptimizer, Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.metric import Loss, MeanAveragePrecision, Top1Accuracy
from dlcore.optim.schedule import Plateau, SequentialSchedule
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import EveryEpoch, MaxIteration, SeveralIteration
from dlcore.rng import RNG
from tests.dlcore.optim.small_training import X, Y, network, same, trained

RECORDED = Path(__file__).parents[2] / "golden" / "checkpoints"


@pytest.mark.parametrize("workers", [1, 2])
def test_it_learns_and_a_resumed_training_is_the_same_to_the_bit(workers, tmp_path):
    folder = tmp_path / "checkpoints"
    first = trained(
        workers,
        set_checkpoint=(SeveralIteration(7), folder, False),
        set_validation=(30, (X, Y), EveryEpoch(), [Top1Accuracy(), Loss(), MeanAveragePrecision(-1, 2)]),
    )
    assert first.state.score > 0.7
    assert first.state.history["MeanAveragePrecision"][-1][1] > 0.7
    assert first.state.iteration == 20
    assert [iteration for iteration, _ in first.state.history["Loss"]] == [5, 10, 15, 20]
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-14.npz", "checkpoint-7.npz"]
    second = trained(workers, resume=(folder / "checkpoint-7.npz",))
    assert same(first.model, second.model)
    assert not first.model.is_training()


def test_workers_give_the_gradient_of_the_whole_batch():
    models = []
    for workers in (1, 3):
        RNG.set_seed(5)
        model = Sequential().add(Reshape([36], True)).add(Linear(36, 2)).add(LogSoftMax())
        models.append(trained(workers, model=model).model)
    for one, three in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, three, atol=1e-5)


def test_frozen_layers_stay_and_the_rest_learns():
    model = network()
    model.modules[0].set_name("first").freeze()
    before = [weight.copy() for weight in model.get_weights()]
    trained(2, MaxIteration(5), model)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True, True, True]


def test_running_means_are_those_of_all_workers():
    shift = np.array([0.0, 10.0], np.float32)

    def source(request):
        return np.full((4, 2, 3, 3), shift[request.worker], np.float32), np.zeros((4, 2, 3, 3))

    model = Sequential().add(SpatialBatchNormalization(2))
    Optimizer(model, source, MSECriterion(), MaxIteration(1), 8, workers=2, is_quiet=True).optimize()
    np.testing.assert_allclose(model.modules[0].running_mean.value, [0.5, 0.5], rtol=1e-6)


def test_a_loss_that_is_not_a_number_stops_training():
    with pytest.raises(TrainingDivergedError, match="lower the learning rate"):
        Optimizer(
            Linear(3, 1), (np.full((4, 3), np.inf), np.ones((4, 1))), MSECriterion(), batch_size=4, is_quiet=True
        ).optimize()


def first_step(*clips):
    """By how much weights and bias change in a first step of rate 1, with these clips set."""
    RNG.set_seed(6)
    model = Linear(3, 1, init_weight=np.zeros((1, 3)), init_bias=np.ones(1))
    x = np.array([[300.0, -40.0, 0.5]] * 4)
    optimizer = Optimizer(model, (x, np.zeros((4, 1))), MSECriterion(), MaxIteration(1), 4, SGD(1.0), is_quiet=True)
    for name, limits in clips:
        getattr(optimizer, name)(*limits)
    return np.array([0.0, 0.0, 0.0, 1.0]) - np.concatenate([w.reshape(-1) for w in optimizer.optimize().get_weights()])


GRADIENT = 2 * np.array([300.0, -40.0, 0.5, 1.0])
CONSTANT, NORM = ("set_gradclip_const", (-50.0, 60.0)), ("set_gradclip_l2norm", (7.0,))


@pytest.mark.parametrize("clips", [(), (CONSTANT,), (NORM,), (CONSTANT, NORM), (NORM, CONSTANT)])
def test_gradients_are_clipped_by_value_then_by_norm(clips):
    expected = np.clip(GRADIENT, -50, 60) if CONSTANT in clips else GRADIENT
    expected = expected * 7.0 / np.linalg.norm(expected) if NORM in clips else expected
    np.testing.assert_allclose(first_step(*clips), expected, rtol=1e-5)
    np.testing.assert_allclose(first_step(*clips, ("disable_gradclip", ())), GRADIENT, rtol=1e-6)


def named_network():
    model = network()
    for layer, name in zip(model.modules, ["features", "norm", "act", "flat", "drop", "head", "soft"], strict=True):
        layer.set_name(name)
    return model


def by_layer():
    """Methods for the layers, not in their order."""
    return {
        "head": Adam(0.01),
        "features": SGD(0.05, momentum=0.9, dampening=0.0, leaningrate_schedule=Plateau("Loss", 0.5, 1)),
        "norm": SGD(0.02),
    }


def test_layers_with_methods_of_their_own_and_a_resumed_training_is_the_same_to_the_bit(tmp_path):
    first = trained(
        2, MaxIteration(9), named_network(), by_layer(), set_checkpoint=(SeveralIteration(4), tmp_path, False)
    )
    second = trained(2, MaxIteration(9), named_network(), by_layer(), resume=(tmp_path / "checkpoint-4.npz",))
    assert same(first.model, second.model)
    with pytest.raises(CheckpointError, match="methods for the same layers"):
        trained(2, model=named_network(), resume=(tmp_path / "checkpoint-4.npz",))


def test_each_layer_has_its_own_rate(tmp_path):
    model, summary = named_network(), TrainSummary(str(tmp_path), "app")
    summary.set_summary_trigger("LearningRate", SeveralIteration(1))
    before = [weight.copy() for weight in model.get_weights()]
    methods = {"features": SGD(0.0), "norm": SGD(0.0), "head": SGD(0.1)}
    trained(1, MaxIteration(2), model, methods, set_train_summary=(summary,))
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * 4 + [True] * 2
    assert [value for _, value, _ in summary.read_scalar("LearningRate/head")] == [pytest.approx(0.1)] * 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["features", "head"], r"no method for \['norm.bias', 'norm.weight'\]"),
        (["", "head"], "a second method, 'head'"),
    ],
)
def test_all_that_learns_has_one_method(names, message):
    with pytest.raises(ValueError, match=message):
        trained(1, MaxIteration(1), named_network(), {name: SGD(0.1) for name in names})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_method_may_evaluate_again_within_a_step(workers):
    x = np.random.default_rng(3).standard_normal((40, 5))
    target = x @ np.arange(1.0, 6.0)[:, None] + 2
    RNG.set_seed(2)
    model = Linear(5, 1)
    method = LBFGS(max_iter=25)
    Optimizer(
        model, (x, target), MSECriterion(), MaxIteration(1), 40, method, workers=workers, is_quiet=True
    ).optimize()
    solved = np.linalg.lstsq(np.hstack([x, np.ones((40, 1))]), target, rcond=None)[0]
    np.testing.assert_allclose(np.concatenate([w.reshape(-1) for w in model.get_weights()]), solved[:, 0], atol=1e-3)


def test_a_resumed_search_goes_on(tmp_path):
    def method():
        return {"features": SGD(0.05), "norm": SGD(0.05), "head": LBFGS(max_iter=3, learningrate=0.1)}

    first = trained(1, MaxIteration(6), named_network(), method(), set_checkpoint=(SeveralIteration(4), tmp_path))
    second = trained(1, MaxIteration(6), named_network(), method(), resume=(tmp_path / "checkpoint.npz",))
    assert same(first.model, second.model)


def test_a_checkpoint_of_format_1_goes_on():
    """Written by the version before several methods: momentum and a plateau after 7 of 20 steps, and the weights at the
    end."""
    method = SGD(0.05, momentum=0.9, dampening=0.0, leaningrate_schedule=Plateau("Loss", 0.5, 1))
    resumed = trained(1, method=method, resume=(RECORDED / "format_1.npz",))
    assert resumed.state.iteration == 20
    with np.load(RECORDED / "format_1_end.npz") as recorded:
        for weight, expected in zip(resumed.model.get_weights(), recorded.values(), strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-5)


def test_summaries_can_be_read_again(tmp_path):
    train, validation = TrainSummary(str(tmp_path), "app"), ValidationSummary(str(tmp_path), "app")
    train.set_summary_trigger("LearningRate", SeveralIteration(2)).set_summary_trigger("Parameters", EveryEpoch())
    trained(
        1,
        MaxIteration(5),
        set_train_summary=(train,),
        set_val_summary=(validation,),
        set_validation=(30, (X, Y), EveryEpoch(), [Top1Accuracy()]),
    )
    assert [step for step, _, _ in train.read_scalar("Loss")] == [1, 2, 3, 4, 5]
    assert [(step, pytest.approx(0.05)) for step in (2, 4)] == [
        entry[:2] for entry in train.read_scalar("LearningRate")
    ]
    assert len(validation.read_scalar("Top1Accuracy")) == 1
    assert list((tmp_path / "app" / "train").glob("events.out.tfevents.*"))


def test_checkpoints_of_other_trainings_are_refused(tmp_path):
    trained(1, MaxIteration(2), set_checkpoint=(SeveralIteration(2), tmp_path))
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(CheckpointError, match="another model"):
        trained(1, model=Sequential().add(Reshape([36], True)).add(Linear(36, 2)), resume=(path,))
    with pytest.raises(CheckpointError, match="resume with as many workers"):
        trained(2, resume=(path,))
    with pytest.raises(
        CheckpointError, match=r"with nothing frozen, expected \['5.bias', '5.weight'\]; freeze the same"
    ):
        trained(1, model=network().freeze("5"), resume=(path,))
    for settings, message in (
        ({"seed": 2}, "of seed 1, expected 2"),
        ({"batch_size": 6}, "of batch_size 12, expected 6"),
    ):
        other = Optimizer(network(), (X, Y), ClassNLLCriterion(), **{"batch_size": 12, "is_quiet": True} | settings)
        with pytest.raises(CheckpointError, match=message):
            other.set_optim_methods(SGD(0.05, momentum=0.9, dampening=0.0)).resume(path).optimize()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        trained(1, resume=(path,))


def test_a_plateau_within_a_sequence_goes_on(tmp_path):
    def method():
        schedule = SequentialSchedule(5).add(Plateau("Loss", 0.5, 1, epsilon=10.0), 100)
        return SGD(0.05, leaningrate_schedule=schedule)

    first = trained(1, method=method(), set_checkpoint=(SeveralIteration(14), tmp_path))
    second = trained(1, method=method(), resume=(tmp_path / "checkpoint.npz",))
    assert first.methods[""].current_rate == pytest.approx(0.05 * 0.5**2)
    assert same(first.model, second.model)


def test_a_method_object_is_for_one_layer_and_one_set_of_weights():
    shared = Adam(0.1)
    with pytest.raises(ValueError, match="got one method object for several"):
        trained(1, MaxIteration(1), named_network(), by_layer() | {"features": shared, "head": shared})
    model, method = network(), Adam(0.1)
    trained(1, MaxIteration(1), model, method)
    with pytest.raises(ValueError, match="got 48 weights and first for 178, expected as many; build a new method"):
        trained(1, MaxIteration(1), model.freeze("5"), method)


def test_names_may_begin_with_the_name_of_another_layer_and_a_slash(tmp_path):
    def made():
        model = network(0.0).add(Linear(2, 2).set_name("head/last")).add(LogSoftMax())
        model[5].set_name("head")
        return model, {"0": SGD(0.05), "1": SGD(0.05), "head": Adam(0.01), "head/last": Adam(0.02)}

    first = trained(1, MaxIteration(6), *made(), set_checkpoint=(SeveralIteration(4), tmp_path))
    second = trained(1, MaxIteration(6), *made(), resume=(tmp_path / "checkpoint.npz",))
    assert second.methods["head"].slots.keys() == {"first", "second"}
    assert same(first.model, second.model)


def test_what_is_set_later_is_what_is_trained():
    """Model, criterion and data given anew: the same weights as from an optimizer built with them."""
    expected = trained(1, MaxIteration(3)).model
    other = Optimizer(Linear(2, 2), (X[:5], Y[:5]), MSECriterion(), MaxIteration(3), 5, is_quiet=True)
    other.set_optim_methods(SGD(0.05, momentum=0.9, dampening=0.0)).set_model(network()).set_criterion(
        ClassNLLCriterion()
    )
    model = other.set_traindata((X, Y), 12).prepare_input().optimize()
    for got, wanted in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    method = SGD(0.05, momentum=0.9, dampening=0.0)
    local = LocalOptimizer(X, Y, network(), ClassNLLCriterion(), MaxIteration(3), 12, method).optimize()
    for got, wanted in zip(local.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    with pytest.raises(ValueError, match="got batch_size 0 and 1 workers"):
        other.set_traindata((X, Y), 0)
