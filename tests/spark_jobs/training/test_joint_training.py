"""What a joint extractor is trained and judged on, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcore.interop.artefact import load_artefact, save_artefact
from dlcore.vision.arithmetic import ARITHMETIC, described
from spark_jobs.mistakes import Mistake
from spark_jobs.settings import REPOSITORY
from spark_jobs.training import joint_training
from spark_jobs.training.head_training import HeadTraining
from spark_jobs.training.joint_training import Wanted, head_of, is_held_out, train_joint
from spark_jobs.training.whole_views import sources_in

CROP = REPOSITORY / "models" / "deepbit-small"


def test_a_picture_that_is_added_moves_no_other(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number:03d}.jpg").touch()

    def held_out() -> set[Path]:
        return {source.path for source in sources_in(tmp_path) if is_held_out(source.path.relative_to(tmp_path))}

    before = held_out()
    assert 20 <= len(before) <= 60
    (tmp_path / "000a.jpg").touch()
    assert held_out() - {tmp_path / "000a.jpg"} == before


def test_a_crop_in_few_bits_is_a_mistake(tmp_path: Path) -> None:
    crop = load_artefact(CROP)
    save_artefact(tmp_path / "crop", crop.model, {**crop.metadata, ARITHMETIC: described("bf16", None)})
    wanted = Wanted(4, 4, None, None, str(tmp_path / "crop"), 1)
    with pytest.raises(Mistake, match="got a version in bf16, expected one in fp32"):
        train_joint(wanted, HeadTraining(steps=1))


def test_an_extractor_of_crops_alone_has_nothing_to_compare() -> None:
    with pytest.raises(Mistake, match="expected one that also codes whole pictures"):
        head_of(load_artefact(CROP).model)


def test_what_is_kept_of_drawn_pictures_belongs_to_the_code_that_drew_them(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {joint_training._digest(named, side) for named in ("1-4", "1-5") for side in (224, 240)}
    monkeypatch.setattr(joint_training, "_digest_of_sources", lambda: "changed")
    assert len(names | {joint_training._digest("1-4", 224)}) == 5
