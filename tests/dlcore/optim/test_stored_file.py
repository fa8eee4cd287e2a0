"""Checkpoints on a store: whole at any moment, and a training goes on from them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from dlcore.errors import CheckpointError
from dlcore.nn.criterion import MSECriterion
from dlcore.nn.layer import Linear
from dlcore.optim.checkpoint import Checkpoint
from dlcore.optim.optimizer import SGD, MaxIteration, Optimizer, SeveralIteration
from dlcore.optim.stored_file import brought, put_whole
from dlcore.rng import RNG


class NeverRenamesOver(MemoryFileSystem):
    """A store like HDFS: a rename is one step, and never over a file. A writer is killed after `steps_left` changes."""

    protocol = "neverover"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    steps_left = -1

    def step(self) -> None:
        """A change."""
        if NeverRenamesOver.steps_left == 0:
            raise KeyboardInterrupt
        NeverRenamesOver.steps_left -= 1

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.step()
        if self.exists(path2):
            raise FileExistsError(path2)
        self.cp_file(path1, path2)
        super().rm_file(path1)

    def rm(self, path: str, **_: Any) -> None:
        self.step()
        super().rm_file(path)


def put(path: Path, uri: str, text: str) -> None:
    path.write_text(text)
    put_whole(path, uri)


def found(uri: str) -> str:
    with brought(uri) as path:
        return path.read_text()


@pytest.mark.parametrize("steps", range(7))
def test_a_killed_writer_leaves_a_file_that_is_whole(tmp_path: Path, steps: int) -> None:
    fsspec.register_implementation("neverover", NeverRenamesOver, clobber=True)
    uri = f"neverover://{uuid.uuid4().hex}/folder/file"
    NeverRenamesOver.steps_left = -1
    put(tmp_path / "file", uri, "first")
    for killed_after in (steps, steps // 2):
        NeverRenamesOver.steps_left = killed_after
        try:
            put(tmp_path / "file", uri, "second")
        except KeyboardInterrupt:
            assert found(uri) in ("first", "second")
    NeverRenamesOver.steps_left = -1
    put(tmp_path / "file", uri, "third")
    assert found(uri) == "third"


def test_a_file_that_a_store_does_not_have_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="memory://nowhere/checkpoint"),
        brought("memory://nowhere/checkpoint.npz"),
    ):
        pass


def test_a_damaged_checkpoint_is_called_by_its_uri(tmp_path: Path) -> None:
    uri = f"memory://{uuid.uuid4().hex}/checkpoint.npz"
    put(tmp_path / "file", uri, "no archive")
    with pytest.raises(CheckpointError, match=f"^{uri}: got a damaged checkpoint"):
        Checkpoint.load(uri)


@pytest.mark.parametrize("kind", ["path", "file", "memory"])
def test_a_training_goes_on_from_a_checkpoint_of_any_store(tmp_path: Path, kind: str) -> None:
    folder = {"path": str(tmp_path), "file": f"file://{tmp_path}", "memory": f"memory://{uuid.uuid4().hex}"}[kind]
    x = np.random.default_rng(1).standard_normal((24, 3)).astype(np.float32)

    def optimizer(steps: int) -> Optimizer:
        RNG.set_seed(2)
        method = SGD(0.1, momentum=0.9)
        return Optimizer(Linear(3, 2), (x, x[:, :2]), MSECriterion(), MaxIteration(steps), 8, method, is_quiet=True)

    whole = optimizer(9).optimize()
    optimizer(5).set_checkpoint(SeveralIteration(2), folder).optimize()
    resumed = optimizer(9).resume(f"{folder}/checkpoint.npz").optimize()
    for value, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    assert (tmp_path / "checkpoint.npz").exists() == (kind != "memory")
