"""Thresholds without labels, on a toy catalogue whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dlcore.search.verification import CUES, PRODUCTS, Signatures, Verifier, joined
from spark_jobs.calibrate_duplicates import CHANGES
from spark_jobs.stages.calibration import LEAST, Calibration, ChangedViews, Target, calibrate
from spark_jobs.stages.changed_copies import (
    ANOTHER_THING,
    LOOK_ALIKES,
    NEW_BACKDROP,
    RECOLOURED,
    RECOLOURED_THING,
    Picture,
    changed_views,
)
from spark_jobs.stages.duplicates import find_groups

BY_CODE = Verifier((-60.0, *[0.0] * (len(CUES) + len(PRODUCTS) - 1)), 18.0)  # P = 0.5 where 0.3 of the bits differ

RNG = np.random.default_rng(3)


def toy(count, flips, seed, codes=None):
    """Random codes of 128 bits, or copies of `codes` with each bit flipped with a chance of `flips`."""
    generator = np.random.default_rng(seed)
    if codes is None:
        codes = generator.integers(0, 256, (count, 16), np.uint8)
    noise = np.packbits(generator.random((len(codes), 128)) < flips, axis=1)
    changed = codes ^ noise
    return Signatures(
        changed,
        changed.astype(np.float16),
        generator.integers(0, 256, (len(codes), 32), np.uint8),
        generator.integers(0, 256, (len(codes), 32), np.uint8),
        np.zeros((len(codes), 128), np.int8),
    )


def sample(flips, recoloured_flips):
    originals = toy(80, 0, 1)
    source = np.repeat(np.arange(80), 5)
    codes = toy(0, flips, 2, originals.codes[source])
    twins = toy(0, recoloured_flips, 3, originals.codes)
    change = np.array(["crop"] * 400 + [RECOLOURED] * 80)
    both = Signatures(
        *(np.concatenate(parts) for parts in zip(vars(codes).values(), vars(twins).values(), strict=True))
    )
    return originals, ChangedViews(both, np.concatenate([source, np.arange(80)]), change)


def catalogue(flips):
    """300 pictures, 60 of them with a copy."""
    originals = toy(300, 0, 7)
    copies = toy(0, flips, 8, originals.codes[:60])
    return Signatures(
        *(np.concatenate(parts) for parts in zip(vars(originals).values(), vars(copies).values(), strict=True))
    )


def test_clear_copies_are_found_and_others_are_not():
    calibration = calibrate(BY_CODE, "model", *sample(0.08, 0.45), catalogue(0.08), Target(precision=0.98))
    groups = find_groups(catalogue(0.08), calibration)
    assert len(groups) >= 57
    assert all(group.members[1] == group.members[0] + 300 for group in groups)
    assert calibration.expected["recall"] > 0.95
    assert calibration.expected["precision"] >= 0.98


def test_recoloured_pictures_raise_the_threshold():
    lenient = calibrate(BY_CODE, "model", *sample(0.05, 0.45), catalogue(0.05))
    strict = calibrate(BY_CODE, "model", *sample(0.05, 0.24), catalogue(0.05))
    assert strict.threshold > lenient.threshold
    assert strict.expected[RECOLOURED] <= Target().recoloured


def test_a_target_that_no_threshold_reaches_is_told():
    recoloured_like_copies = calibrate(BY_CODE, "model", *sample(0.05, 0.05), catalogue(0.05))
    missed = Target().missed(recoloured_like_copies.expected)
    assert missed is not None
    assert "of recoloured pictures, at most 5.0% are to pass" in missed and "precision" not in missed
    assert "precision of 0.5" in str(Target().missed({"precision": 0.5, RECOLOURED: 0.0}))
    assert Target().missed(calibrate(BY_CODE, "model", *sample(0.05, 0.45), catalogue(0.05)).expected) is None


def test_a_calibration_is_written_and_read_back(tmp_path):
    calibration = Calibration(BY_CODE, 0.75, 20, 30, "model", {"recall": 0.9})
    calibration.write(f"file://{tmp_path}/index")
    calibration.write(f"file://{tmp_path}/index")
    assert Calibration.read(f"file://{tmp_path}/index") == calibration
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["calibration.json"]
    with pytest.raises(FileNotFoundError, match="run calibrate_duplicates"):
        Calibration.read(f"file://{tmp_path}/nowhere")


def test_nothing_to_calibrate_on_is_an_error():
    none = toy(0, 0, 1)
    with pytest.raises(ValueError, match="expected some"):
        calibrate(BY_CODE, "model", none, ChangedViews(none, np.empty(0, np.int64), np.empty(0, np.str_)), none)


def test_a_catalogue_of_one_picture_has_a_calibration():
    one = toy(1, 0, 1)
    copies = ChangedViews(toy(0, 0.05, 2, one.codes), np.zeros(1, np.int64), np.array(["crop"]))
    calibration = calibrate(BY_CODE, "model", one, copies, one)
    assert calibration.threshold < 1
    assert find_groups(one, calibration) == []


def test_duplicates_in_the_sample_are_not_taken_for_wrong_pairs():
    """Every fourth picture of the sample is a copy of another one: with their copies they would be pairs that no
    threshold parts."""
    originals, _ = sample(0.08, 0.45)
    codes = originals.codes.copy()
    codes[::4] = toy(0, 0.02, 5, codes[1::4]).codes
    doubled = replace(originals, codes=codes, descriptors=codes.astype(np.float16))
    source = np.repeat(np.arange(80), 5)
    views = ChangedViews(toy(0, 0.08, 6, codes[source]), source, np.array(["crop"] * len(source)))
    calibration = calibrate(BY_CODE, "model", doubled, views, catalogue(0.08))
    assert calibration.expected["recall"] > 0.95
    assert Target().missed(calibration.expected) is None


def test_a_copy_before_the_backdrop_of_another_picture_resembles_it_not_by_chance():
    originals, copies = sample(0.08, 0.45)
    behind = toy(0, 0.1, 9, np.roll(originals.codes, -1, axis=0))
    signatures = joined(copies.signatures, behind)
    source = np.concatenate([copies.source, np.arange(80)])

    def calibrated(change):
        views = ChangedViews(signatures, source, np.concatenate([copies.change, np.full(80, change)]))
        return calibrate(BY_CODE, "model", originals, views, catalogue(0.08))

    before_another = calibrated(NEW_BACKDROP)
    assert Target().missed(before_another.expected) is None
    assert before_another.expected["by_transform"].keys() == {"crop", NEW_BACKDROP}
    assert calibrated("banner").threshold > before_another.threshold


def test_copies_of_one_picture_that_are_both_changed_are_no_sign_of_wrong_pairs():
    """Twins differ in twice as many bits as a copy and its original; half of the catalogue's pairs are such."""
    originals, copies = sample(0.12, 0.45)
    catalogue_of_twins = joined(toy(300, 0, 7), toy(0, 0.12, 8, np.repeat(toy(300, 0, 7).codes[:60], 2, axis=0)))
    calibration = calibrate(BY_CODE, "model", originals, copies, catalogue_of_twins, Target(precision=0.98))
    assert calibration.threshold == pytest.approx(LEAST)


def test_a_threshold_that_finds_few_copies_is_told():
    assert "31.0% of changed copies" in str(Target().cost({"recall": 0.31}))
    assert Target().cost({"recall": 0.5}) is None


def test_look_alikes_count_neither_as_copies_nor_as_pictures_of_their_own():
    originals, copies = sample(0.08, 0.45)
    kinds = np.where(copies.change == RECOLOURED, ANOTHER_THING, copies.change)
    expected = calibrate(
        BY_CODE, "model", originals, ChangedViews(copies.signatures, copies.source, kinds), catalogue(0.08)
    ).expected
    assert expected["by_transform"].keys() == {"crop"}
    assert expected["look_alikes"] == {ANOTHER_THING: 0.0}
    assert expected[RECOLOURED] == 0.0


@pytest.mark.parametrize("box", [(90, 50, 210, 150), None])
def test_changed_views_show_the_thing_and_look_alikes_another(box):
    picture, other = Picture(drawn((200, 30, 40)), box), Picture(drawn((40, 60, 200), (250, 240, 150)), box)
    views = changed_views(picture, other, CHANGES, np.random.default_rng(0), copies=len(CHANGES.transforms))
    seen = {view.change: view.pixels.astype(int) for view in views}
    assert seen.keys() == {*CHANGES.transforms, NEW_BACKDROP, *LOOK_ALIKES}
    red = {name: ((pixels[..., 0] - pixels[..., 1:].max(axis=2)) > 60).mean() for name, pixels in seen.items()}
    grey = {"greyscale", "noisy_greyscale"}
    assert all((share > 0.03) == (name not in {*LOOK_ALIKES, *grey}) for name, share in red.items()), red
    assert (seen[ANOTHER_THING][100, 150] == (40, 60, 200)).all()
    assert (seen[ANOTHER_THING][5, 5] == 255).all()
    assert (seen[NEW_BACKDROP][5, 5] == (250, 240, 150)).all()
    assert (seen[NEW_BACKDROP][100, 150] == (200, 30, 40)).all()


def test_a_picture_alone_has_no_other_to_exchange_things_with():
    names = {view.change for view in changed_views(Picture(drawn((200, 30, 40)), None), None, CHANGES, RNG, copies=3)}
    assert len(names) == 5
    assert {RECOLOURED, RECOLOURED_THING} < names


def test_boxes_of_changed_copies_move_with_their_thing():
    views = changed_views(Picture(drawn((200, 30, 40)), (100, 60, 200, 140)), None, CHANGES, RNG, copies=99)
    for view in views:
        x_min, y_min, x_max, y_max = (round(float(v)) for v in view.box)
        pixels = view.pixels.astype(int)
        inside = pixels[y_min:y_max, x_min:x_max]
        assert inside.shape[0] >= 20 and inside.shape[1] >= 20, view.change
        assert pixels[(y_min + y_max) // 2, (x_min + x_max) // 2].min() < 200, view.change


def drawn(colour, backdrop=(255, 255, 255)):
    """A thing in one colour in the middle of a picture of 200 x 300."""
    pixels = np.full((200, 300, 3), backdrop, np.uint8)
    pixels[60:140, 100:200] = colour
    return pixels
