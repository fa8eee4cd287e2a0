"""What training shows: lines off a terminal, a bar on one, and the scores of each validation."""

from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from dlcore.errors import TrainingDivergedError
from dlcore.nn.criterion import ClassNLLCriterion, MSECriterion
from dlcore.nn.layer import Linear, LogSoftMax, Sequential
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.metric import Loss, Top1Accuracy
from dlcore.optim.trigger import EveryEpoch, MaxEpoch, MaxIteration

X = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
Y = 1.0 + (X[:, 0] > 0)
BIGDLS_LINE = re.compile(
    r"\[Epoch 2 60/60\]\[Iteration 6\]\[Wall Clock \d+\.\d{3}s\] Trained 20 records in \d+\.\d{3} seconds\. "
    r"Throughput is \d+\.\d records/second\. Loss is \d\.\d{5}\. Current learning rate is 0\.1\."
)
SCORES = re.compile(r"\[Epoch 2\]\[Iteration 6\] Top1Accuracy is [01](\.\d+)?, Loss is \d\.\d+\.")


def optimizer(method=None, end=None, **settings):
    model = Sequential().add(Linear(3, 2)).add(LogSoftMax())
    return Optimizer(model, (X, Y), ClassNLLCriterion(), end or MaxEpoch(2), 20, method or SGD(0.1), **settings)


def validated(**settings):
    return optimizer(**settings).set_validation(30, (X, Y), EveryEpoch(), [Top1Accuracy(), Loss()])


def test_off_a_terminal_each_epoch_has_a_line_of_bigdls_and_its_scores(capfd, caplog):
    with caplog.at_level(logging.WARNING, "dlcore"):  # whatever other tests have let the log take
        validated().optimize()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 4
    assert BIGDLS_LINE.fullmatch(lines[2])
    assert SCORES.fullmatch(lines[3])


def test_a_quiet_training_shows_nothing_but_tells_the_log(capfd, caplog):
    with caplog.at_level(logging.INFO, "dlcore"):
        validated(is_quiet=True).optimize()
    assert not capfd.readouterr().err
    assert BIGDLS_LINE.fullmatch(caplog.messages[2])


def test_a_log_that_takes_lines_gets_them_and_with_debug_those_of_every_step(capfd, caplog):
    with caplog.at_level(logging.DEBUG, "dlcore"):
        optimizer().optimize()
    assert "Trained" not in capfd.readouterr().err
    assert [re.search(r"\d+/60", line)[0] for line in caplog.messages] == ["20/60", "40/60", "60/60"] * 2


def test_on_a_terminal_scores_stand_above_the_bar():
    program = textwrap.dedent("""
        from tests.dlcore.optim.test_progress import validated
        validated().optimize()
    """)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=os.environ | {"COLUMNS": "150"}
    )
    os.close(theirs)
    shown = b""
    while block := _read(ours):
        shown += block
    os.close(ours)
    assert process.wait() == 0
    assert SCORES.search(shown.decode())
    assert "6/6" in shown.decode()


def _read(terminal):
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # what Linux gives when the other end is closed
        return b""


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (SGD(1e20), r"SGD: got a learning rate of 1e\+20 at step 1, expected at most 1e\+09"),
        (SGD(float("nan")), "got a learning rate of nan"),
        (SGD(1e8), "lower the learning rate or clip the gradient"),
    ],
)
def test_a_training_that_means_nothing_stops_with_a_word(method, message):
    model = Sequential().add(Linear(3, 1)).add(Linear(1, 1))
    with np.errstate(all="ignore"), pytest.raises(TrainingDivergedError, match=message):
        Optimizer(model, (X, Y), MSECriterion(), MaxEpoch(20), 20, method, is_quiet=True).optimize()


def test_weights_of_the_last_step_are_looked_at():
    model = Linear(3, 1)
    with np.errstate(all="ignore"), pytest.raises(TrainingDivergedError, match="weight: got weights that are infinite"):
        Optimizer(model, (X * 1e18, Y), MSECriterion(), MaxIteration(1), 60, SGD(1e9), is_quiet=True).optimize()


def test_labels_from_0_on_are_refused_at_once_and_warned_of_in_scores():
    with pytest.raises(ValueError, match=r"got labels from 0 to 1 for ClassNLLCriterion.*add 1"):
        Optimizer(Sequential().add(Linear(3, 2)), (X, Y - 1), ClassNLLCriterion(), is_quiet=True).optimize()
    with pytest.warns(UserWarning, match=r"Top1Accuracy: got a label of 0, expected labels from 1 to 2.*add 1"):
        Linear(3, 2).evaluate((X, Y - 1), 60, [Top1Accuracy()])
