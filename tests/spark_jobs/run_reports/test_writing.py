"""Small files that readers look at meanwhile."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from spark_jobs.run_reports.writing import read_whole, write_whole


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


def test_a_file_on_the_disk_is_renamed_into_place(tmp_path: Path) -> None:
    for text in ("first", "second"):
        write_whole(f"file://{tmp_path}/new/report.json", text)
    assert [path.read_text() for path in (tmp_path / "new").iterdir()] == ["second"]


class RenamesOnce(MemoryFileSystem):
    """A store like HDFS: a rename is one step and never over a file."""

    protocol = "renamesonce"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    steps_left = -1

    def step(self) -> None:
        """One change that readers see; the writer is killed when none is left."""
        if RenamesOnce.steps_left == 0:
            raise KeyboardInterrupt
        RenamesOnce.steps_left -= 1

    def mv(self, source: str, target: str, **_: object) -> None:
        self.step()
        if self.exists(target):
            raise FileExistsError(target)
        self.cp_file(source, target)
        super().rm_file(source)

    def rm(self, path: str, **_: object) -> None:
        self.step()
        super().rm_file(path)


fsspec.register_implementation("renamesonce", RenamesOnce)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_writer_killed_at_any_step_leaves_a_file_to_read_and_the_next_one_replaces_it(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    uri = f"renamesonce://{uuid.uuid4().hex}/withdrawn.json"
    write_whole(uri, "first")
    monkeypatch.setattr(RenamesOnce, "steps_left", steps)
    try:
        write_whole(uri, "second")
    except KeyboardInterrupt:
        assert steps < 3
    else:
        assert steps == 3
    assert read_whole(uri) == ("first" if steps < 2 else "second")
    monkeypatch.setattr(RenamesOnce, "steps_left", -1)
    write_whole(uri, "third")
    assert read_whole(uri) == "third"


def test_what_was_never_written_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_whole(f"file://{tmp_path}/withdrawn.json")
