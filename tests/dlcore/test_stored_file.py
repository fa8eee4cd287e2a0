"""Files of stores: one that is whole is found at any moment, and a writer that is killed takes nothing back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
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
from dlcore.rng import RNG
from dlcore.stored_file import brought, put_whole, read_whole, remove, write_whole

STEPS = 6
"""More changes of a store than a replacement makes after one that was killed."""


class NeverRenamesOver(MemoryFileSystem):
    """A store like HDFS: a rename is one step, and never over a file. Whoever changes it is killed when no steps are
    left; one who writes a file leaves half of it."""

    protocol = "neverover"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    steps_left = -1

    def step(self) -> None:
        """A change."""
        if NeverRenamesOver.steps_left == 0:
            raise KeyboardInterrupt
        NeverRenamesOver.steps_left -= 1

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        super().pipe_file(path, value[: len(value) // 2])
        self.step()
        super().pipe_file(path, value)

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.step()
        if self.exists(path2):
            raise FileExistsError(path2)
        self.cp_file(path1, path2)
        super().rm_file(path1)

    def rm(self, path: str, **_: Any) -> None:
        self.step()
        super().rm_file(path)


@pytest.fixture
def uri() -> Iterator[str]:
    """A file that is not there yet, on a store like HDFS."""
    fsspec.register_implementation("neverover", NeverRenamesOver, clobber=True)
    yield f"neverover://{uuid.uuid4().hex}/folder/file.json"
    NeverRenamesOver.steps_left = -1


def put(path: Path, uri: str, text: str) -> None:
    path.write_text(text)
    put_whole(path, uri)


def found(uri: str) -> str:
    with brought(uri) as path:
        assert path.read_text() == read_whole(uri)
        return path.read_text()


def is_killed_after(steps: int, uri: str, text: str) -> bool:
    """Whether a writer had that many steps and one more to do."""
    NeverRenamesOver.steps_left = steps
    try:
        write_whole(uri, text)
    except KeyboardInterrupt:
        return True
    finally:
        NeverRenamesOver.steps_left = -1
    return False


@pytest.mark.parametrize("first", range(STEPS))
@pytest.mark.parametrize("second", range(STEPS))
def test_a_killed_writer_leaves_a_whole_file_and_a_later_one_only_a_newer(uri: str, first: int, second: int) -> None:
    write_whole(uri, "0, which is longer than what follows")
    seen = [found(uri)[0]]
    for text, steps in (("1", first), ("2", second)):
        is_killed = is_killed_after(steps, uri, text * 2)
        seen.append(found(uri)[0])
        assert is_killed or seen[-1] == text
    assert seen == sorted(seen)
    write_whole(uri, "33")
    assert found(uri) == "33"
    assert is_killed_after(STEPS, uri, "44") is False and found(uri) == "44"


def test_the_newer_file_is_found_as_soon_as_it_is_whole(uri: str) -> None:
    write_whole(uri, "older")
    assert [is_killed_after(steps, uri, "newer") for steps in (0, 1)] == [True, True]
    assert found(uri) == "older"
    assert is_killed_after(2, uri, "newer") and found(uri) == "newer"  # both are there
    assert is_killed_after(0, uri, "newest") and found(uri) == "newer"


def test_a_reader_finds_the_file_that_is_moved_between_its_looks(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(uri, "older")
    look, looks = NeverRenamesOver.cat_file, []

    def look_and_write(self: NeverRenamesOver, path: str, **options: Any) -> bytes:
        looks.append(path)
        try:
            return look(self, path, **options)
        finally:
            if len(looks) == 1:  # the waiting file was not there; now the writer is killed when it is the only one
                assert is_killed_after(3, uri, "newer")

    monkeypatch.setattr(NeverRenamesOver, "cat_file", look_and_write)
    assert read_whole(uri) == "newer" and len(looks) == 3


@pytest.mark.parametrize("steps", range(3))
def test_what_is_removed_does_not_come_back(uri: str, steps: int) -> None:
    write_whole(uri, "older")
    assert is_killed_after(2, uri, "newer")
    NeverRenamesOver.steps_left = steps
    try:
        remove(uri)
    except KeyboardInterrupt:
        assert found(uri) == "newer"
    NeverRenamesOver.steps_left = -1
    remove(uri)
    remove(uri)
    with pytest.raises(FileNotFoundError, match=r"file\.json: got no such file"):
        read_whole(uri)


def test_a_file_of_an_object_store_is_never_gone_while_it_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"memory://{uuid.uuid4().hex}/withdrawn.json"
    write_whole(uri, "first")

    def refuse(*_: object) -> None:
        raise PermissionError("readers would find nothing")

    for name in ("rm", "rm_file", "mv"):
        monkeypatch.setattr(fsspec.AbstractFileSystem if name == "mv" else MemoryFileSystem, name, refuse)
    write_whole(uri, "second")
    files, path = fsspec.core.url_to_fs(uri)
    assert files.cat_file(path) == b"second"
    assert len(files.ls(path.rpartition("/")[0])) == 1


def test_an_object_store_is_asked_for_the_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    uri, look = f"memory://{uuid.uuid4().hex}/file.json", MemoryFileSystem.cat_file
    write_whole(uri, "text")

    def look_at_what_is_there(self: MemoryFileSystem, path: str, **options: Any) -> bytes:
        if not self.exists(path):
            raise PermissionError("403, which S3 says of what is not there to who may not list")
        return bytes(look(self, path, **options))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", look_at_what_is_there)
    assert read_whole(uri) == "text"


def test_a_file_on_the_disk_is_renamed_into_place(tmp_path: Path) -> None:
    for text in ("first", "second"):
        write_whole(f"file://{tmp_path}/new/report.json", text)
    assert [path.read_text() for path in (tmp_path / "new").iterdir()] == ["second"]


@pytest.mark.parametrize("scheme", ["memory://nowhere", "file:///nowhere"])
def test_a_file_that_a_store_does_not_have_is_named(scheme: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{scheme}/withdrawn.json: got no such file"):
        read_whole(f"{scheme}/withdrawn.json")
    with pytest.raises(FileNotFoundError, match="memory://nowhere/checkpoint"), brought("memory://nowhere/checkpoint"):
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
