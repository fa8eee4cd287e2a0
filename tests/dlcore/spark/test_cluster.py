"""On a standalone cluster of this machine: the same weights as on one, also when an executor is killed. By hand: it
takes minutes."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest

from dlcore.nn.module import Module
from dlcore.optim.adaptive import Adam
from dlcore.spark import crew, keeper
from tests.dlcore.spark.standalone import cluster, context_on
from tests.dlcore.spark.test_optimizer import optimizer, samples, small, trained_by_all_methods, weights

pytestmark = pytest.mark.convergence


@dataclass(eq=False)
class Killing(Module):
    """Passes its input through; kills its executor at the fourth backward pass, if there is no file at `path`."""

    path: str

    def __post_init__(self):
        super().__post_init__()
        self.passes = 0

    def apply(self, x):
        def pullback(grad):
            self.passes += 1
            if self.passes < 4:
                return grad
            try:
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return grad
            os.kill(keeper.executor(), signal.SIGKILL)
            return grad

        return x, pullback


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with cluster(folder) as found, context_on(found.url, folder) as context:
        yield context


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("is_apart", [False, True])
def test_mapped_or_fetched_the_weights_are_the_same(context, monkeypatch, jobs, is_apart):
    monkeypatch.setattr(crew, "ONE_JOB_VALUES", 1 << 30 if jobs == 1 else 0)
    expected = trained_by_all_methods(context, 1)
    monkeypatch.setattr(crew, "APART", is_apart)
    found = trained_by_all_methods(context, 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_a_killed_executor_changes_no_bit(context, tmp_path):
    found = []
    for is_killing in (False, True):
        place = tmp_path / "killed"
        if not is_killing:
            place.touch()
        found.append(
            weights(optimizer(small(Killing(str(place))), context.parallelize(samples(), 2), 8, Adam(0.01)).optimize())
        )
        assert place.exists()
        place.unlink()
    np.testing.assert_array_equal(*found)
