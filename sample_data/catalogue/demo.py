"""The catalogue on disk: image files, a manifest to load them by, and the truth about them.

`manifest.jsonl`, one line per image: day, key, sku, n, path (relative to the manifest), metadata.
`truth.jsonl`, one line per image: day, key, boxes (fractions of width and height), labels, group, transform, bad,
is_counted, listing (what its shop says, and what is true about it: `listings.Listing.truth`).
`look_alikes.jsonl`, one line per pair: first and second ([day, key]), kind.
The `key` is `<sku>/<n>`; in HBase the salt and the day come before it.

    python -m sample_data.catalogue.demo FOLDER --per-day 200 --first-day 2026-11-01 --days 3
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sample_data.catalogue.bad_images import BAD_IMAGES, make_bad_image
from sample_data.catalogue.planting import Entry, LookAlike, plan_catalogue
from sample_data.catalogue.scenes import Boxes
from sample_data.catalogue.transforms import TRANSFORMS, Changed, encoded

TRAIN_SEED, HELD_OUT_SEED, DEVELOPMENT_SEED, DEMO_SEED = 1001, 2002, 3003, 4004
"""Catalogues of different seeds share no product."""

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True)
class File:
    """An image as it is stored: bytes, name's suffix, boxes (N, 4) as fractions, labels of the N things."""

    data: bytes
    suffix: str
    boxes: Boxes
    labels: tuple[str, ...]


def draw_entry(entry: Entry) -> File:
    """Draw one image of a catalogue and encode it; it has the same bytes every time."""
    picture = entry.scene.draw()
    rng = np.random.default_rng(entry.seed)
    if entry.bad is not None:
        data = make_bad_image(entry.bad, picture.image, rng)
        return File(data, BAD_IMAGES[entry.bad].suffix, np.zeros((0, 4), np.float32), ())
    change = TRANSFORMS.get(entry.transform or "")
    changed = change(picture.image, rng) if change else Changed(picture.image, quality=int(rng.integers(85, 96)))
    width, height = changed.image.size
    size = np.array([width, height, width, height], np.float32)
    fractions = np.divide(changed.moved(picture.boxes), size, dtype=np.float32)
    seen = (fractions[:, 2] > fractions[:, 0]) & (fractions[:, 3] > fractions[:, 1])
    labels = tuple(label for label, is_seen in zip(picture.labels, seen, strict=True) if is_seen)
    data = encoded(changed.image, changed.file_format, changed.quality)
    return File(data, _SUFFIXES[changed.file_format], fractions[seen], labels)


def _write_entry(entry: Entry, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write one file; its lines of the manifest and of the truth."""
    drawn = draw_entry(entry)
    path = Path(entry.day.isoformat()) / f"{entry.sku}-{entry.number}{drawn.suffix}"
    (folder / path).write_bytes(drawn.data)
    address = {"day": entry.day.isoformat(), "key": entry.key}
    line = {**address, "sku": entry.sku, "n": entry.number, "path": path.as_posix(), "metadata": entry.metadata()}
    truth = {
        **address,
        "boxes": [[round(float(v), 5) for v in box] for box in drawn.boxes],
        "labels": list(drawn.labels),
        "group": entry.group,
        "transform": entry.transform,
        "bad": entry.bad,
        "is_counted": entry.is_counted,
        "listing": entry.listing.truth(),
    }
    return line, truth


def _write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _pair_line(pair: LookAlike) -> dict[str, Any]:
    first, second = ([entry.day.isoformat(), entry.key] for entry in (pair.first, pair.second))
    return {"first": first, "second": second, "kind": pair.kind}


def write_catalogue(
    folder: Path, days: Sequence[date], seed: int = DEMO_SEED, per_day: int = 200, workers: int = 2
) -> Path:
    """Draw a catalogue into `folder` and return the path of its manifest; 200 images take about ten seconds on two
    cores.

    Raises:
        ValueError: too few images for every transform and bad class.
    """
    plan = plan_catalogue(seed, days, per_day)
    for day in days:
        (folder / day.isoformat()).mkdir(parents=True, exist_ok=True)
    with get_context("fork").Pool(workers) as pool:
        lines = pool.map(partial(_write_entry, folder=folder), plan.entries, chunksize=4)
    _write_lines(folder / "manifest.jsonl", [line for line, _ in lines])
    _write_lines(folder / "truth.jsonl", [truth for _, truth in lines])
    _write_lines(folder / "look_alikes.jsonl", [_pair_line(pair) for pair in plan.look_alikes])
    return folder / "manifest.jsonl"


def main(
    folder: Path,
    first_day: Annotated[str, typer.Option(help="as YYYY-MM-DD")] = "2026-11-01",
    days: int = 3,
    per_day: int = 200,
    seed: int = DEMO_SEED,
    workers: int = 2,
) -> None:
    """Draw a catalogue of generated product images with its manifest and truth."""
    try:
        first = datetime.strptime(first_day, "%Y-%m-%d").date()
        manifest = write_catalogue(folder, [first + timedelta(n) for n in range(days)], seed, per_day, workers)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(str(manifest))


if __name__ == "__main__":
    typer.run(main)
