"""Thresholds without labels, on a toy catalogue whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.search.verification import CUES, PRODUCTS, Signatures, Verifier
from spark_jobs.calibrate_duplicates import CHANGES
from spark_jobs.stages.calibration import Calibration, ChangedViews, Target, calibrate
from spark_jobs.stages.changed_copies import RECOLOURED, Picture, changed_views
from spark_jobs.stages.duplicates import find_groups

BY_CODE = Verifier((-60.0, *[0.0] * (len(CUES) + len(PRODUCTS) - 1)), 18.0)  # P = 0.5 where 0.3 of the bits differ


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
    calibration = calibrate(BY_CODE, "model", *sample(0.08, 0.45), catalogue(0.08))
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
    assert "of recoloured pictures, at most 1.0% are to pass" in missed and "precision" not in missed
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


def test_changed_views_cut_the_same_thing_out():
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[60:140, 100:200] = (200, 30, 40)
    views = changed_views(Picture(pixels, (90, 50, 210, 150)), CHANGES, np.random.default_rng(0), copies=13)
    for change, crop, whole in views:
        red = (crop[..., 0].astype(int) - crop[..., 1] > 60).mean() if change not in ("greyscale", RECOLOURED) else 0.5
        assert 0.3 < red < 1, change
        assert crop.shape[0] <= whole.shape[0]
    assert views[-1][0] == RECOLOURED
