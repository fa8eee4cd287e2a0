"""Threads: those of Python that share what another one made, those of OpenMP after a fork, and how many there are."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.waiting import LIMIT_S

MADE = """
import os, signal, threading, numpy as np
from dlcore import kernels
from dlcore.inference.plan import compile
from dlcore.nn.layer import GRU, BiRecurrent, LSTM, Recurrent, Sequential, SpatialConvolution
x, w = np.ones((2, 32, 24, 24), np.float32), np.ones((48, 32, 1, 1), np.float32) / 64
steps, gates, h = np.ones((5, 8, 40), np.float32) / 40, np.ones((120, 40), np.float32) / 40, np.zeros((8, 40), np.float32)
images = Sequential().add(SpatialConvolution(32, 48, 3, 3)).add(SpatialConvolution(48, 48, 5, 5, n_group=4))
sequences = Sequential().add(Recurrent().add(GRU(40, 300))).add(BiRecurrent().add(LSTM(300, 300)))
plans = [(compile(images, x.shape, threads=2), x), (compile(sequences, (8, 5, 40), threads=2), steps.swapaxes(0, 1))]
def run():
    y, last, saved = kernels.gru(steps, gates, gates[:80], gates[:40], gates[:, 0], h)
    found = [*kernels.gru_backward(y, last, saved), kernels.conv(x, w, None, (1, 1), (0,) * 4, (1, 1), 1)]
    found += kernels.conv_grad_w(x, (1, 1), found[-1], (1, 1), (0,) * 4, (1, 1), 1)
    return [*found, kernels.linear(y[0], gates, None), *(plan(given) for plan, given in plans)]
before = run()
def is_equal():
    return all(np.allclose(a, b, rtol=1e-5) for a, b in zip(run(), before, strict=True))
"""

FORKED = """
child = os.fork()
if not child:
    signal.alarm(60)  # one that hangs ends too
    os._exit(0 if is_equal() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), is_equal())
"""

SHARED = """
found = []
worker = threading.Thread(target=lambda: found.append(is_equal()))
worker.start()
worker.join()
print(found)
"""

COUNTED = """
import ctypes, threading, numpy as np
from dlcore import kernels
def count():
    kernels.linear(np.ones((64, 64), np.float32), np.ones((64, 64), np.float32), None)
    print(ctypes.CDLL("libgomp.so.1").omp_get_max_threads())
count()
worker = threading.Thread(target=count)
worker.start()
worker.join()
"""


def printed(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_forked_child_runs_what_was_made_for_two_threads() -> None:
    assert printed(MADE + FORKED, OMP_NUM_THREADS="2") == "0 True"


def test_a_thread_runs_what_another_one_made() -> None:
    assert printed(MADE + SHARED, OMP_NUM_THREADS="2") == "[True]"


@pytest.mark.parametrize("kernels", ["auto", "mkl"])
def test_every_python_thread_obeys_the_number_of_threads(kernels: str) -> None:
    found = printed(COUNTED, OMP_NUM_THREADS="2", DLCORE_THREADS="1", DLCORE_KERNELS=kernels)
    assert found.split() == ["1", "1"]
