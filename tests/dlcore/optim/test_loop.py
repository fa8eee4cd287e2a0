"""The training loop, with one worker in this process and with forked ones."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from dlcore.errors import CheckpointError, TrainingDivergedError, WorkerError
from dlcore.nn.criterion import ClassNLLCriterion, MSECriterion
from dlcore.nn.layer import (
    Dropout,
    Linear,
    LogSoftMax,
    ReLU,
    Reshape,
    Sequential,
    SpatialBatchNormalization,
    SpatialConvolution,
)
from dlcore.optim.adaptive import Adam
from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.loop import LocalOptimizer, Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.metric import Loss, MeanAveragePrecision, Top1Accuracy
from dlcore.optim.schedule import Plateau, SequentialSchedule
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import EveryEpoch, MaxEpoch, MaxIteration, SeveralIteration, TriggerAnd, TriggerOr
from dlcore.rng import RNG
from tests.waiting import LIMIT_S, wait_for

RECORDED = Path(__file__).parents[2] / "golden" / "checkpoints"
DATA = np.random.default_rng(0)
X = DATA.standard_normal((60, 1, 6, 6)).astype(np.float32)
Y = 1.0 + (X[:, 0, :3].sum((1, 2)) > X[:, 0, 3:].sum((1, 2)))


def network(dropout=0.2):
    RNG.set_seed(3)
    model = Sequential().add(SpatialConvolution(1, 4, 3, 3)).add(SpatialBatchNormalization(4)).add(ReLU())
    return model.add(Reshape([64], True)).add(Dropout(dropout)).add(Linear(64, 2)).add(LogSoftMax())


def trained(workers, end=None, model=None, method=None, **settings):
    end = end or MaxEpoch(4)
    method = method or SGD(0.05, momentum=0.9, dampening=0.0)
    optimizer = Optimizer(
        model or network(), (X, Y), ClassNLLCriterion(), end, 12, method, workers=workers, is_quiet=True
    )
    for name, arguments in settings.items():
        getattr(optimizer, name)(*arguments)
    optimizer.optimize()
    return optimizer


def same(first, second):
    pairs = [*zip(first.get_weights(), second.get_weights(), strict=True)]
    pairs += [(a.value, b.value) for a, b in zip(first.buffers().values(), second.buffers().values(), strict=True)]
    return all(np.array_equal(a, b) for a, b in pairs)


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


def failing(request):
    if (request.worker, request.iteration) == (1, 3):
        raise ValueError("no such picture")
    return X[:4], Y[:4]


def dying(request):
    if (request.worker, request.iteration) == (1, 3):
        os.kill(os.getpid(), signal.SIGKILL)
    return X[:4], Y[:4]


@pytest.mark.parametrize(
    ("source", "message"), [(failing, "no such picture"), (dying, "worker 1 died: killed by signal 9")]
)
def test_a_lost_worker_is_an_error_at_once(source, message):
    optimizer = Optimizer(network(), source, ClassNLLCriterion(), MaxIteration(10), 8, workers=2, is_quiet=True)
    with pytest.raises(WorkerError, match=message):
        optimizer.optimize()
    assert not multiprocessing.active_children()
    assert optimizer.state.iteration == 3


def test_ctrl_c_ends_the_workers():
    started = threading.Event()

    def interrupt():
        started.wait(LIMIT_S)
        os.kill(os.getpid(), signal.SIGINT)

    def score(_):
        started.set()
        return {"score": 0.0}

    optimizer = Optimizer(network(), (X, Y), ClassNLLCriterion(), MaxIteration(10**6), 12, workers=2, is_quiet=True)
    optimizer.set_evaluation(SeveralIteration(1), score)
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        optimizer.optimize()
    assert not multiprocessing.active_children()


def test_workers_end_with_a_killed_parent(tmp_path):
    program = textwrap.dedent(
        f"""
        import os, pathlib, signal
        from dlcore.nn.criterion import MSECriterion
        from dlcore.nn.layer import Linear
        from dlcore.optim.loop import Optimizer
        from dlcore.optim.trigger import MaxIteration
        import numpy as np
        def source(request):
            pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
            signal.pause()  # a worker at work hears nothing of its pipe's other end
        Optimizer(Linear(3, 1), source, MSECriterion(), MaxIteration(10**9), 4, workers=2, is_quiet=True).optimize()
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert all(is_running(pid) for pid in workers)
    parent.kill()
    parent.wait()
    try:
        wait_for(lambda: not any(is_running(pid) for pid in workers))
    finally:
        for pid in filter(is_running, workers):
            os.kill(pid, signal.SIGKILL)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


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


def test_batches_must_divide_among_the_workers():
    with pytest.raises(ValueError, match="a multiple of the workers"):
        Optimizer(network(), (X, Y), ClassNLLCriterion(), batch_size=10, workers=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model", (X, Y), ClassNLLCriterion()), "got model 'model', expected an object of Module"),
        ((network(), (X, Y), ClassNLLCriterion), r"expected an object of Criterion; make one: ClassNLLCriterion\("),
        (
            (network(), (X, Y), ClassNLLCriterion(), MaxEpoch(1), 32, SGD),
            r"expected an object of OptimMethod; make one: SGD\(",
        ),
    ],
)
def test_what_is_no_model_criterion_or_method_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        Optimizer(*arguments)


SET = {
    "set_end_when": [(MaxEpoch,), (5,)],
    "set_checkpoint": [(EveryEpoch, "folder"), ("folder", EveryEpoch())],
    "set_validation": [(10, (X, Y), EveryEpoch, [Top1Accuracy()])],
    "set_evaluation": [(EveryEpoch, len)],
    "set_train_summary": [("folder",)],
    "set_val_summary": [("folder",)],
}


@pytest.mark.parametrize(("name", "arguments"), [(name, each) for name, several in SET.items() for each in several])
def test_settings_of_another_kind_are_refused_where_they_are_made(name, arguments):
    optimizer = Optimizer(network(), (X, Y), ClassNLLCriterion())
    with pytest.raises(
        TypeError, match=r"got (end )?trigger .*expected an object of Trigger|expected an object of .*Summary"
    ):
        getattr(optimizer, name)(*arguments)


def test_a_trigger_may_be_a_function_but_not_a_class():
    assert trained(1, lambda state: state.iteration == 3).state.iteration == 3
    for make in (
        lambda: TriggerOr(MaxEpoch(2), EveryEpoch),
        lambda: TriggerAnd(3),
        lambda: TrainSummary("folder", "app").set_summary_trigger("Loss", EveryEpoch),
        lambda: Optimizer(network(), (X, Y), ClassNLLCriterion(), MaxEpoch),
    ):
        with pytest.raises(TypeError, match=r"expected an object of Trigger"):
            make()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda of: of.set_gradclip_const(1, -1), ValueError, "got 1 to -1, expected the smaller number first"),
        (lambda of: of.set_gradclip_l2norm(0), ValueError, "got 0, expected a norm above 0"),
        (lambda of: of.set_checkpoint(EveryEpoch(), __file__), ValueError, "got the file .*, expected a folder"),
        (lambda of: of.set_traindata((X, Y[:7]), 12), ValueError, "got 60 inputs and 7 targets, expected as many"),
        (lambda of: Optimizer(of.model, (X, Y), of.criterion, batch_size=None), TypeError, "got batch_size None"),
        (lambda of: Optimizer(of.model, (X, Y), of.criterion, batch_size=7.5), TypeError, "got batch_size 7.5"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call(Optimizer(network(), (X, Y), ClassNLLCriterion()))


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (np.eye(2)[Y.astype(int) - 1], ValueError, r"got labels \(60, 2\) of 0 and 1.*one-hot: give labels.argmax"),
        (Y + 0.5, ValueError, "got label [12].5, expected whole numbers from 1 to 2"),
        (np.where(Y == 1, "no", "yes"), TypeError, "got targets of type <U3, expected numbers"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, kind, message):
    with pytest.raises(kind, match=message):
        Optimizer(network(), (X, labels), ClassNLLCriterion(), is_quiet=True).optimize()


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
