"""The limit of time: drawn so that the wanted share exceeds it, and kept."""

from __future__ import annotations

import math
import signal

import numpy as np
import pytest

from dlcore.optim.exchange import Dropping
from dlcore.optim.worker import PartResult
from dlcore.spark.time_limit import TimeLimit, TooSlowError, at_most


def parts(*times: float, dropped: int = 0) -> list[PartResult]:
    finished = [PartResult(0.0, 3, 0.0, time) for time in times]
    return finished + [PartResult(0.0, 0, 0.0, 1.0, is_dropped=True)] * dropped


def test_the_wanted_share_of_the_latest_steps_lies_beyond_the_limit():
    limit = TimeLimit(Dropping(share=0.05, most=0.1, window=10, warmup=10))
    times = np.random.default_rng(2).permutation(400).reshape(20, 20) / 1000
    for step in times[:10]:
        limit.note(parts(*step))
        assert math.isinf(limit.seconds)  # the tenth step is still one of the warmup
    for step in times[10:]:
        limit.note(parts(*step))
    assert limit.seconds == np.sort(times[10:].ravel())[-10]
    for step in range(10):  # 4 of 200 tasks are given up: 6 more may be
        limit.note(parts(*times[step, :18], 0.5, dropped=step < 4))
    assert limit.seconds == 0.5
    for _ in range(10):  # 20 are
        limit.note(parts(*times[0, :18], dropped=2))
    assert limit.seconds == 0.5 * 1.01


def test_a_step_needs_enough_of_its_tasks():
    limit = TimeLimit(Dropping(share=0.1, most=0.25))
    assert limit.allows(parts(1, 1, 1, dropped=1)) and not limit.allows(parts(1, 1, dropped=2))
    idle = [PartResult(0.0, 0, 0.0, 0.0)] * 3
    assert not limit.allows([*idle, *parts(dropped=1)])


def test_what_takes_too_long_is_interrupted_once():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TooSlowError), at_most(0.01):
        while True:
            pass
    with at_most(60), at_most(math.inf):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getsignal(signal.SIGALRM) == before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("wrong", [(-0.1, 0.1), (0.2, 0.1), (0.5, 1.0), (0.1, 0.2, 0), (0.1, 0.2, 1, -1)])
def test_shares_and_steps_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Dropping(*wrong)
