"""What a training on the lake's pictures keeps in its folder, and what is refused before any is read."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest

from spark_jobs import train_model
from spark_jobs.mistakes import Mistake
from spark_jobs.settings import Settings
from spark_jobs.training.labelled_pictures import Labelled
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


def test_a_method_that_looks_at_the_loss_again_is_refused_on_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(
        'artefact = "mine"\n[model]\nname = "lenet5"\n[rows]\nlabel = "metadata.shop"\n[method]\nname = "lbfgs"\n'
    )
    settings = replace(Settings.from_environment(), models=f"file://{tmp_path}/models")
    job: Any = SimpleNamespace(
        options=train_model.Options(str(tmp_path / "train.toml")),
        settings=settings,
        spark=SimpleNamespace(sparkContext=None),  # nothing is asked of it
    )
    with pytest.raises(Mistake, match=r"\[method\] got lbfgs.* on a cluster"):
        train_model.plan(job)


@pytest.mark.parametrize(
    ("side", "workers", "size"), [(53, 0, None), (54, 0, "8.1 GB"), (53, 8, None), (53, 7, "9.0 GB"), (108, 33, None)]
)
def test_more_pictures_than_memory_holds_are_refused(side: int, workers: int, size: str | None) -> None:
    data = Labelled(None, ("a", "b"), {"a": 600_000, "b": 400_000}, {"a": 1}, {}, "")
    data.require_room(side, True, workers)
    if size is None:
        data.require_room(side, False, workers)
        return
    with pytest.raises(
        Mistake, match=f"got 1,000,000 pictures of {side} pixels, {size} .*{'more workers' * bool(workers)}"
    ):
        data.require_room(side, False, workers)
