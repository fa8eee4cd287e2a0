"""What longer codes gain: how many changed copies lie within the distance at which a picture has 20 others by chance.

    .venv/bin/python benchmarks/bench_code_length.py [--pictures 900] [--json]

The calibration's own kind of data: pictures of a catalogue drawn from a seed that no model was trained on, and changed
copies of them.
All codes are of deepbit-small: 64 of its 128 bits, all of them, two thresholds for each of its numbers (256 bits of the
same numbers), and its bits of the crop and of the whole picture side by side (256 bits). `independent` is of how many
independent bits the distances of unrelated pictures spread as. Recall is by the code alone, without the whole picture's
hash.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from dlcore.search.codes import Codes, distances  # noqa: E402
from dlcore.search.signatures import luminance_hash  # noqa: E402
from dlcore.vision.extractor import HASH_SIDE, load_extractor  # noqa: E402
from spark_jobs.settings import Settings, artefact_uri  # noqa: E402
from spark_jobs.stages.calibration import Target  # noqa: E402
from spark_jobs.stages.candidates import Chance  # noqa: E402
from spark_jobs.stages.changed_copies import LOOK_ALIKES  # noqa: E402
from spark_jobs.training.feature_judging import Judged, judged_catalogue  # noqa: E402

SEED = 1401
PICTURES = (10**5, 10**6, 10**7, 380 * 10**6)
Views = tuple[Codes, Codes, Codes]
"""Codes of all pictures, of those that have changed copies, and of the copies."""


@dataclass(frozen=True)
class Result:
    """One length of code in a catalogue of so many pictures. radius: in bits.
    recall: of changed copies, by the code alone."""

    codes: str
    bits: int
    independent: float
    pictures: int
    radius: int
    recall: float


def lengths(judged: Judged, models: str) -> tuple[dict[str, Views], NDArray[np.int64], NDArray[np.bool_]]:
    """Codes by name; of each copy its original, and whether it still is the same article."""
    extractor = load_extractor(artefact_uri(models, "deepbit-small"))
    every = judged.signatures(extractor)
    originals, copies = judged.changed_views(extractor)
    numbers = [s.descriptors.astype(np.float32) for s in (every, originals, copies.signatures)]
    low, high = np.quantile(numbers[0], (1 / 3, 2 / 3), axis=0)
    rows = np.unique([copy[0] for copy in judged.copies])
    pictures = judged.wholes, judged.wholes[rows], np.stack([copy[3] for copy in judged.copies])
    wholes = [extractor.signatures(each, luminance_hash(each)).codes for each in pictures]
    codes = [s.codes for s in (every, originals, copies.signatures)]
    named = {
        "half of the bits": [np.packbits(np.unpackbits(each, axis=1)[:, ::2], axis=1) for each in codes],
        "all bits": codes,
        "two thresholds": [np.packbits(np.hstack([each > low, each > high]), axis=1) for each in numbers],
        "crop and whole": [np.hstack([code, whole]) for code, whole in zip(codes, wholes, strict=True)],
    }
    return {name: (a, b, c) for name, (a, b, c) in named.items()}, copies.source, ~np.isin(copies.change, LOOK_ALIKES)


def results(count: int, models: str) -> Iterator[Result]:
    """All lengths, each for all sizes of a catalogue."""
    judged = judged_catalogue(SEED, count, HASH_SIDE)
    groups = np.array([row.group or f"{row.address}" for row in judged.truth])
    named, source, is_copy = lengths(judged, models)
    for name, (every, originals, copies) in named.items():
        chance = Chance.of(every, groups[:, None] == groups[None])
        bits = 8 * every.shape[1]
        apart = np.take_along_axis(distances(copies, originals), source[:, None], axis=1)[is_copy, 0]
        for pictures in PICTURES:
            radius = chance.radius(bits // 2, pictures, Target().candidates)
            recall = float((apart <= radius).mean())
            yield Result(name, bits, round(chance.independent(), 1), pictures, radius, round(recall, 4))


def main() -> None:
    """Print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=900, help="to draw, 60 ms each")
    parser.add_argument("--json", action="store_true", help="nothing but JSON on standard output")
    arguments = parser.parse_args()
    found = list(results(arguments.pictures, Settings.from_environment().models))
    if arguments.json:
        print(json.dumps([asdict(result) for result in found]))
        return
    for r in found:
        print(
            f"{r.bits} bits ({r.codes}, like {r.independent} independent): {r.pictures:,} pictures, {r.radius} bits, "
            f"{r.recall:.1%}"
        )


if __name__ == "__main__":
    main()
