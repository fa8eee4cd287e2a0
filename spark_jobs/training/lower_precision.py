"""Make versions of a model that compute in fewer bits than fp32, calibrated on generated pictures, and measure how far
they are from it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.boxes import iou
from dlcore.inference import calibrate
from dlcore.interop.artefact import Artefact, backbone_of, bring, load_artefact, pinned, save_artefact, split_version
from dlcore.search.codes import pack
from dlcore.vision.arithmetic import ARITHMETIC, described, require_fp32
from dlcore.vision.detector import FoundObject, load_detector
from dlcore.vision.extractor import HASH_SIDE, load_extractor, wants_wholes
from dlcore.vision.pixels import Pixels, resized
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.demo import DEVELOPMENT_SEED, HELD_OUT_SEED
from spark_jobs.training.feature_judging import judged_catalogue

SAME = 0.5
"""Intersection over union from which two boxes count as one thing."""


def drawn(uri: str, count: int) -> tuple[Pixels, Pixels]:
    """Pictures such as the model of `uri` sees: `count` to calibrate on, and as many of another seed to compare on. An
    extractor gets crops of HASH_SIDE, a detector whole pictures of feature_judging's WHOLE_SIDE, whatever the side of
    its input.

    Raises:
        ValueError: the model computes in few bits already, or sees both crops and whole pictures.
    """
    exact = load_artefact(uri)
    require_fp32(exact.metadata, uri)
    if wants_wholes(exact.metadata):
        raise ValueError(
            f"{uri}: got an extractor that codes whole pictures too, expected one that codes only crops, or a detector"
        )
    is_extractor = _is_extractor(exact)
    both = [judged_catalogue(seed, count, HASH_SIDE, sample=count + 1) for seed in (DEVELOPMENT_SEED, HELD_OUT_SEED)]
    known, unseen = (each.crops if is_extractor else each.wholes for each in both)
    return known, unseen


def bring_lower(uri: str, precision: str, known: Pixels, unseen: Pixels) -> tuple[str, dict[str, float]]:
    """A new version in `precision` beside the one that `uri` stands for, and its agreement with that one.

    known: pictures (N, H, W, 3) to calibrate on; unseen: others, to compare on.

    Raises:
        ValueError: the version that `uri` stands for computes in few bits already.
    """
    exact, backbone = load_artefact(uri), backbone_of(uri)
    require_fp32(exact.metadata, uri)
    calibration = calibrate(exact.model, _input(exact, known)) if precision == "int8" else None
    metadata = {**exact.metadata, ARITHMETIC: described(precision, calibration)}
    with tempfile.TemporaryDirectory() as folder:
        save_artefact(Path(folder, "trial"), exact.model, metadata, backbone=backbone)
        compare = codes_agree if _is_extractor(exact) else detections_agree
        found = compare(pinned(uri), str(Path(folder, "trial")), unseen)
        card = f"# In {precision}\n\n{line(precision, found)}\nOtherwise it is version {exact.version}.\n"
        told = {**metadata, "agreement": found}
        version = save_artefact(Path(folder, "whole"), exact.model, told, card, backbone=backbone)
        bring(Path(folder, "whole"), split_version(uri)[0])
    return version, found


def line(precision: str, found: dict[str, float]) -> str:
    """The agreement in words."""
    return f"{precision} beside fp32: " + ", ".join(
        f"{name.replace('_', ' ')} {value:.4f}" for name, value in found.items()
    )


def _is_extractor(artefact: Artefact) -> bool:
    return artefact.metadata.get("kind") == "deepbit"


def _input(artefact: Artefact, pictures: Pixels) -> Array:
    preprocessing = Preprocessing.from_metadata(artefact.metadata["preprocessing"])
    return preprocessing.normalise(np.stack([resized(picture, preprocessing.resize) for picture in pictures]))


def codes_agree(exact: str, lower: str, pictures: Pixels) -> dict[str, float]:
    """How many bits of the codes are the same, and how many codes differ in at most one bit in thirty-two."""
    first, second = (load_extractor(uri) for uri in (exact, lower))
    ours, theirs = (pack(each.outputs(pictures)[0], each.threshold) for each in (first, second))
    differing = np.bitwise_count(ours ^ theirs).sum(axis=1)
    bits = ours.shape[1] * 8
    return {
        "same_bits": float(1 - differing.mean() / bits),
        "codes_within_a_32nd": float((differing <= bits // 32).mean()),
    }


def detections_agree(exact: str, lower: str, pictures: Pixels) -> dict[str, float]:
    """The share of the things one model finds that the other finds too, with the same label and nearly the same box."""
    ours, theirs = ([found.objects for found in load_detector(uri).find(list(pictures))] for uri in (exact, lower))
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "found_again": _share([_again(first, second) for first, second in pairs]),
        "not_made_up": _share([_again(second, first) for first, second in pairs]),
    }


def _again(first: Sequence[FoundObject], second: Sequence[FoundObject]) -> list[bool]:
    """For each detection in `first`, whether it is among `second`."""
    if not first or not second:
        return [False] * len(first)
    boxes = [np.array([[o.x_min, o.y_min, o.x_max, o.y_max] for o in each], np.float32) for each in (first, second)]
    names = [np.array([o.label for o in each]) for each in (first, second)]
    same: Any = (iou(*boxes) >= SAME) & (names[0][:, None] == names[1])
    found: list[bool] = same.any(axis=1).tolist()
    return found


def _share(parts: list[list[bool]]) -> float:
    flat = [each for part in parts for each in part]
    return float(np.mean(flat)) if flat else 1.0
