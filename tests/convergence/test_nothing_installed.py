"""Workers whose Python has numpy and pyarrow alone train with the kernels that an archive brings along."""

from __future__ import annotations

import sys
import tarfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcore import kernels
from dlcore.data.sample import Sample
from dlcore.models.lenet import build_model
from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.optim.optimizer import Adam, MaxEpoch, Optimizer
from dlcore.rng import RNG
from dlcore.spark.archive import pack
from tests.dlcore.spark import standalone, yarn

pytestmark = pytest.mark.convergence


def bare_python(folder: Path) -> Path:
    """A Python that has what PySpark needs, and nothing else."""
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for name in ("numpy", "pyarrow"):
        for found in Path(np.__file__).parents[1].glob(f"{name}*"):
            (packages / found.name).symlink_to(found)
    return folder / "bin/python"


ABSENT = ["fsspec", "pandas", "PIL", "rich", "typer"]


@contextmanager
def standalone_master(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Spark's own master, and what else a Spark on it is told."""
    with standalone.cluster(folder) as spark:
        yield spark.url, {}


@contextmanager
def yarn_master(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A ResourceManager of Hadoop, in the same way."""
    with yarn.cluster(folder) as settings:
        yield "yarn", settings


@pytest.mark.parametrize("master", [standalone_master, yarn_master])
def test_lenet_trains_with_all_kernels_where_nothing_is_installed(tmp_path, monkeypatch, master):
    names = pack(tmp_path / "dlcore.tar.gz")
    with tarfile.open(tmp_path / "dlcore.tar.gz") as archive:
        assert {f"dlcore/kernels/carried/{name}" for name in names} <= set(archive.getnames())
    python = bare_python(tmp_path / "bare")
    monkeypatch.setenv("PYSPARK_PYTHON", str(python))
    own = {
        "spark.archives": f"{tmp_path}/dlcore.tar.gz#dlcore-archive",
        "spark.executorEnv.PYTHONPATH": "dlcore-archive",
        "spark.executorEnv.CXX": "no-such-compiler",
        "spark.executorEnv.DLCORE_CACHE": f"{tmp_path}/cache",
    }
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with master(tmp_path) as (url, settings), standalone.context_on(url, tmp_path, **settings, **own) as context:
        assert facts_of_workers(context) == [(active_kernels(), kernels.instruction_set(), "carried", ABSENT)] * 2
        rng = np.random.default_rng(0)
        labels = rng.integers(1, 3, 64)
        pictures = [np.full((28, 28), label - 1.5) + rng.normal(0, 0.3, (28, 28)) for label in labels]
        samples = [Sample.from_ndarray(x.astype(np.float32), label) for x, label in zip(pictures, labels, strict=True)]
        RNG.set_seed(3)
        optimizer = Optimizer(
            build_model(2),
            context.parallelize(samples, 2),
            ClassNLLCriterion(),
            MaxEpoch(6),
            32,
            Adam(3e-3),
            is_quiet=True,
        )
        found = optimizer.optimize().predict_class(np.stack(pictures).astype(np.float32))
    assert (np.asarray(found) == labels).mean() > 0.9


def active_kernels() -> str:
    """Those of this process that an archive can bring along."""
    return "+".join(name for name in kernels.active().split("+") if name != "mkl")


def facts_of_workers(context: Any) -> list[Any]:
    """Of two tasks: their kernels, where these were found, and which packages their Python has not."""
    absent = ABSENT

    def told(_):  # pickled whole: workers do not have the tests
        from importlib.util import find_spec

        from dlcore import kernels
        from dlcore.kernels import native_build

        missing = [name for name in absent if find_spec(name) is None]
        return [(kernels.active(), kernels.instruction_set(), native_build.library_path().parent.name, missing)]

    facts: list[Any] = context.parallelize(range(2), 2).mapPartitions(told).collect()
    return facts
