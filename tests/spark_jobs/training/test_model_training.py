"""What a training on the lake's pictures keeps in its folder."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import pytest

from spark_jobs.training.model_training import TrainingFolder


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_training_that_ends_leaves_neither_its_checkpoint_nor_a_killed_writers_part_of_one(
    tmp_path: Path, kind: str
) -> None:
    uri = {"file": f"file://{tmp_path}/mine", "memory": f"memory://{uuid.uuid4().hex}/mine"}[kind]
    files, path = fsspec.core.url_to_fs(uri)
    files.makedirs(path)
    for name in ("checkpoint.npz", "checkpoint.npz.next", ".checkpoint.npz.123", "kept"):
        files.pipe_file(f"{path}/{name}", b"some")
    with TrainingFolder.opened(uri) as folder:
        folder.end({"run": "mine"})
        assert folder.done() == {"run": "mine"}
    assert sorted(name.rpartition("/")[2] for name in files.find(path)) == ["done.json", "kept"]
