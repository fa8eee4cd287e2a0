"""Judge an extractor's codes on a catalogue that it has never seen, and the baselines on the same pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import count as count_from
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlcore.search.codes import distances
from dlcore.search.signatures import luminance_hash
from dlcore.search.verification import Signatures, Verifier, cues, fit_verifier, joined
from dlcore.vision.detector import Detector, FoundObject, load_detector
from dlcore.vision.extractor import HASH_SIDE, Extractor
from dlcore.vision.pixels import Pixels, resized
from sample_data.catalogue.demo import File, draw_entry
from sample_data.catalogue.planting import Entry, plan_catalogue
from sample_data.catalogue.stronger_transforms import STRONGER
from sample_data.catalogue.transforms import TRANSFORMS, recoloured
from spark_jobs.scoring.baselines import baselines
from spark_jobs.scoring.evaluation import Address, Truth, labels_of, score_codes, score_duplicates
from spark_jobs.stages.calibration import ChangedViews, calibrate
from spark_jobs.stages.changed_copies import LOOK_ALIKES, Changes, Picture, View, changed_views, cut_by
from spark_jobs.stages.crop import WHOLE_IMAGE, CropPolicy, choose_crops
from spark_jobs.stages.duplicates import find_groups

CHANGES = Changes({**TRANSFORMS, **STRONGER}, recoloured)
WHOLE_SIDE = 224
"""Side, in pixels, of whole pictures for a network that codes them."""
_JITTER = 0.03


@dataclass(frozen=True)
class Judged:
    """A catalogue with its truth, as the features see it.

    crops, wholes: RGB pictures (N, S, S, 3), cut by a detector or a little beside the true boxes, and whole. truth:
    that of each row. copies: changed copies of some of the pictures, (row, change, crop, whole). look_alikes: pairs
    that are not duplicates.
    """

    crops: Pixels
    wholes: Pixels
    truth: list[Truth]
    copies: list[tuple[int, str, Pixels, Pixels]]
    look_alikes: list[tuple[Address, Address, str]] = field(default_factory=list)

    def signatures(self, extractor: Extractor) -> Signatures:
        """Signatures of the pictures, row by row."""
        return _signatures(extractor, self.crops, self.wholes)

    def changed_views(self, extractor: Extractor) -> tuple[Signatures, ChangedViews]:
        """Signatures of the pictures that have changed copies, and of the copies."""
        rows, source = np.unique([copy[0] for copy in self.copies], return_inverse=True)
        originals = _signatures(extractor, self.crops[rows], self.wholes[rows])
        crops, wholes = (np.stack([copy[part] for copy in self.copies]) for part in (2, 3))
        changes = np.array([copy[1] for copy in self.copies])
        return originals, ChangedViews(_signatures(extractor, crops, wholes), source, changes)


def _signatures(extractor: Extractor, crops: Pixels, wholes: Pixels) -> Signatures:
    hashes = luminance_hash(np.stack([resized(whole, HASH_SIDE) for whole in wholes]))
    return extractor.signatures(crops, hashes, wholes)


def judged_catalogue(seed: int, count: int, side: int, workers: int = 2, sample: int = 4, detector: str = "") -> Judged:
    """About `count` pictures of the catalogue with `seed`, encoded and decoded as in the pipeline (60 ms of one core
    each).

    One in `sample` pictures gets changed copies, to calibrate on. detector: URI of the artefact that cuts all of them
    as the pipeline does; empty: all are cut a little beside the true boxes.
    """
    plan = plan_catalogue(seed, [date(2026, 1, day) for day in (1, 2, 3)], count // 3)
    entries = [entry for entry in plan.entries if entry.bad is None]
    pairs = [(_address(pair.first), _address(pair.second), pair.kind) for pair in plan.look_alikes]
    return judged_of(entries, pairs, side, workers, sample, detector)


def judged_of(
    entries: Sequence[Entry],
    look_alikes: list[tuple[Address, Address, str]],
    side: int,
    workers: int,
    sample: int,
    detector: str = "",
) -> Judged:
    """These pictures of a catalogue, in the form of `judged_catalogue`."""
    others = [_another(entries, number) for number in range(len(entries))]
    judge = partial(_judged, side=side, sample=sample, detector=detector)
    with get_context("fork").Pool(workers) as pool:
        rows = pool.map(judge, list(zip(count_from(0), entries, others, strict=False)), chunksize=4)
    crops, wholes = np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
    return Judged(crops, wholes, [row[2] for row in rows], [copy for row in rows for copy in row[3]], look_alikes)


def _another(entries: Sequence[Entry], number: int) -> Entry:
    """The next entry that shows another thing, to take the place of this one's."""
    around = (*entries[number + 1 :], *entries[:number])
    return next((entry for entry in around if entry.group != entries[number].group), entries[number])


def _judged(
    numbered: tuple[int, Entry, Entry], side: int, sample: int, detector: str
) -> tuple[Pixels, Pixels, Truth, list[tuple[int, str, Pixels, Pixels]]]:
    number, entry, other = numbered
    drawn = draw_entry(entry)
    truth = Truth(
        _address(entry), drawn.boxes, tuple(drawn.labels), entry.group, entry.transform, is_counted=entry.is_counted
    )
    cutter = load_detector(detector, 1) if detector else None
    picture = _cut_out(drawn, np.random.default_rng(number), cutter)
    copies: list[tuple[int, str, Pixels, Pixels]] = []
    if number % sample == 0:
        rng = np.random.default_rng([number, 1])
        behind = _cut_out(draw_entry(other), rng, cutter) if cutter else None
        views = changed_views(picture, behind, CHANGES, rng)
        parts = cut_by(cutter)([view.pixels for view in views]) if cutter else [_beside(view, rng) for view in views]
        copies = [
            (number, view.change, resized(part, side), resized(view.pixels, WHOLE_SIDE))
            for view, part in zip(views, parts, strict=True)
        ]
    return resized(picture.crop, side), resized(picture.pixels, WHOLE_SIDE), truth, copies


def _cut_out(drawn: File, rng: np.random.Generator, detector: Detector | None) -> Picture:
    """A drawn picture with the box of its crop: a detector's, or the true one, off by a few percent."""
    pixels = np.asarray(Image.open(io.BytesIO(drawn.data)).convert("RGB"))
    height, width = pixels.shape[:2]
    if detector:
        crop = choose_crops(detector.find([pixels])[0].objects, width, height, CropPolicy())[0]
        is_whole = crop.source == WHOLE_IMAGE
        return Picture(pixels, None if is_whole else (crop.x_min, crop.y_min, crop.x_max, crop.y_max))
    box = drawn.boxes[0].astype(np.float64) if len(drawn.boxes) else np.array([0.0, 0.0, 1.0, 1.0])
    size = np.tile(box[2:] - box[:2], 2)
    corners = np.clip(box + rng.normal(0, _JITTER, 4) * size, 0, 1)
    found = [FoundObject("", 1.0, *(float(v) for v in corners))]
    crop = choose_crops(found, width, height, CropPolicy(least_area=0))[0]
    return Picture(pixels, (crop.x_min, crop.y_min, crop.x_max, crop.y_max))


def _beside(view: View, rng: np.random.Generator) -> Pixels:
    """The crop of a changed copy, its box off by a few percent."""
    height, width = view.pixels.shape[:2]
    off = rng.normal(0, _JITTER, 4) * max(view.box[2] - view.box[0], view.box[3] - view.box[1])
    x_min, y_min, x_max, y_max = np.round(view.box + off)
    left, top = int(np.clip(x_min, 0, width - 8)), int(np.clip(y_min, 0, height - 8))
    return view.pixels[top : max(int(y_max), top + 8), left : max(int(x_max), left + 8)]


def _address(entry: Entry) -> Address:
    return entry.day.isoformat(), entry.key


def learn_verifier(extractor: Extractor, judged: Judged) -> Verifier:
    """The verifier that tells duplicates from other pairs, learned from a labelled catalogue and changed copies of its
    pictures."""
    pairs = [_labelled_pairs(judged.signatures(extractor), judged), _copied_pairs(*judged.changed_views(extractor))]
    pair_cues, is_true = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return fit_verifier(pair_cues, is_true, np.where(is_true, 3.0, 1.0))


def _labelled_pairs(signatures: Signatures, judged: Judged) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cues and truth of the pairs of a catalogue: all true pairs, all look-alikes, and some of the others."""
    groups = labels_of(row.group if row.is_counted else None for row in judged.truth)
    same = groups[:, None] == groups[None, :]
    near = _look_alike(signatures, signatures) | same | (np.random.default_rng(0).random(same.shape) < 0.02)
    near &= (groups[:, None] >= 0) & (groups[None, :] >= 0)
    i, j = np.nonzero(np.triu(near, 1))
    return cues(signatures, i, j), same[i, j]


def _copied_pairs(originals: Signatures, copies: ChangedViews) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cues and truth of pairs of a picture and a changed copy of it; its look-alike is not a duplicate."""
    both = joined(originals, copies.signatures)
    rows = np.arange(len(copies.source))
    return cues(both, copies.source, rows + len(originals)), ~np.isin(copies.change, LOOK_ALIKES)


def _look_alike(first: Signatures, second: Signatures) -> NDArray[np.bool_]:
    """(N, M): pairs that resemble each other in the code or in the whole picture."""
    by_code = distances(first.codes, second.codes) < 0.36 * 8 * first.codes.shape[1]
    return np.asarray(by_code | (distances(first.wholes, second.wholes) < 0.3 * 8 * first.wholes.shape[1]))


def evaluate(extractor: Extractor, verifier: Verifier, judged: Judged) -> dict[str, Any]:
    """Scores of an extractor on a catalogue, with thresholds calibrated without the truth, and of the baselines.

    -> {"deepbit": codes verified, "deepbit_codes": codes alone, "itq", "random_projection", "phash_64", "phash_256"}.
    """
    signatures = judged.signatures(extractor)
    calibration = calibrate(verifier, extractor.version, *judged.changed_views(extractor), signatures)
    groups = {row.address: f"single {number}" for number, row in enumerate(judged.truth)}
    for group in find_groups(signatures, calibration):
        groups |= {judged.truth[member].address: f"group {group.members[0]}" for member in group.members}
    scores = score_duplicates(judged.truth, groups, judged.look_alikes)
    codes = score_codes(signatures.codes, labels_of(row.group for row in judged.truth))
    expected = {"threshold": calibration.threshold, "expected": calibration.expected}
    return {
        "deepbit": {**codes, **scores, **expected},
        **baselines(extractor, judged.crops, judged.wholes, judged.truth, judged.look_alikes),
    }
