"""The training loop, with one worker in this process and with forked ones."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading

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
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.metric import MAE, Loss, Top1Accuracy, Top5Accuracy
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import EveryEpoch, MaxEpoch, MaxIteration, SeveralIteration
from dlcore.rng import RNG
from tests.waiting import wait_for

DATA = np.random.default_rng(0)
X = DATA.standard_normal((60, 1, 6, 6)).astype(np.float32)
Y = 1.0 + (X[:, 0, :3].sum((1, 2)) > X[:, 0, 3:].sum((1, 2)))


def network(dropout=0.2):
    RNG.set_seed(3)
    model = Sequential().add(SpatialConvolution(1, 4, 3, 3)).add(SpatialBatchNormalization(4)).add(ReLU())
    return model.add(Reshape([64], True)).add(Dropout(dropout)).add(Linear(64, 2)).add(LogSoftMax())


def trained(workers, end=None, model=None, **settings):
    end = end or MaxEpoch(4)
    method = SGD(0.05, momentum=0.9, dampening=0.0)
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
        set_validation=(30, (X, Y), EveryEpoch(), [Top1Accuracy(), Loss()]),
    )
    assert first.state.score > 0.7
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
        started.wait(30)
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
        wait_for(lambda: not any(is_running(pid) for pid in workers), limit_s=30.0)
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


def test_gradients_are_clipped():
    for setting, limit in (("set_gradclip_const", (-0.01, 0.01)), ("set_gradclip_l2norm", (0.01,))):
        model = Linear(3, 1)
        before = model.get_parameters()[0].copy()
        optimizer = Optimizer(
            model, (100 * np.ones((4, 3)), np.zeros((4, 1))), MSECriterion(), MaxIteration(1), 4, SGD(1.0)
        )
        getattr(optimizer, setting)(*limit).optimize()
        assert np.abs(model.get_parameters()[0] - before).max() <= 0.01 + 1e-6


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
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        trained(1, resume=(path,))


def test_batches_must_divide_among_the_workers():
    with pytest.raises(ValueError, match="a multiple of the workers"):
        Optimizer(network(), (X, Y), ClassNLLCriterion(), batch_size=10, workers=3)


def test_metrics():
    output = np.eye(7, dtype=np.float32)[[0, 1, 2, 3]] + 0.1 * np.arange(7, dtype=np.float32)
    assert Top1Accuracy()(output, np.array([1, 2, 3, 7])).result == 0.75
    assert Top5Accuracy()(output, np.array([2, 2, 3, 7])).result == 0.75
    assert MAE()(np.zeros((2, 2)), np.array([[1, 1], [2, 2]])).result == 1.5
    assert (Top1Accuracy()(output, np.ones(4)) + Top1Accuracy()(output, np.array([1, 2, 3, 4]))).result == 0.625
