"""Workers that fail, die, or whose parent is interrupted or killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from dlcore.errors import WorkerError
from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.optim.loop import Optimizer
from dlcore.optim.trigger import MaxIteration, SeveralIteration
from tests.dlcore.optim.small_training import X, Y, network
from tests.waiting import LIMIT_S, is_running, wait_for


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
        import os, pathlib, time
        from dlcore.nn.criterion import MSECriterion
        from dlcore.nn.layer import Linear
        from dlcore.optim.loop import Optimizer
        from dlcore.optim.trigger import MaxIteration
        import numpy as np
        def source(request):
            pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
            time.sleep(10**6)  # a worker at work hears nothing of its pipe's other end
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
