"""Find the products in the images of a day: rows of `images` in, rows of `detections` out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from data_contracts.detections import DETECTIONS
from data_contracts.reasons import Reason
from dlcore import kernels
from dlcore.vision.detector import Detector, load_detector
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.decode import read_pixels

NO_DETECTOR = "none"
"""The name for no detector: no object is found, and crops are whole images."""


def computed_by() -> str:
    """The instruction set and the kernels in use, such as 'avx512/onednn+native'."""
    return f"{kernels.instruction_set()}/{kernels.active()}"


def detect_batches(batches: Iterable[pa.RecordBatch], models: str, detector: str) -> Iterator[pa.RecordBatch]:
    """Rows of `images` (day, key, reason, image) -> rows of `detections`, one for one.

    models: URI of the folder of artefacts.
    detector: name of one with its version, for all tasks to load the same; or NO_DETECTOR.
    """
    loaded = None if detector == NO_DETECTOR else load_detector(artefact_uri(models, detector))
    for batch in batches:
        rows = [_row(row, loaded) for row in batch.select(["day", "key", "reason"]).to_pylist()]
        if loaded is not None:
            _look(rows, batch.column("image"), loaded)
        yield pa.RecordBatch.from_pylist(rows, schema=DETECTIONS.arrow_schema())


def _row(address: dict[str, Any], detector: Detector | None) -> dict[str, Any]:
    """A row of `detections` before anything is found."""
    is_seen = detector is not None and address["reason"] == Reason.OK
    return {
        **address,
        "objects": [],
        "guesses": [],
        "model_version": detector.version if detector is not None and is_seen else None,
        "computed_by": computed_by() if is_seen else None,
    }


def _look(rows: list[dict[str, Any]], images: pa.Array, detector: Detector) -> None:
    """Fill in the objects of the used rows."""
    used = [number for number, row in enumerate(rows) if row["reason"] == Reason.OK]
    found = detector.find([read_pixels(images[number].as_py()) for number in used])
    for number, findings in zip(used, found, strict=True):
        rows[number] |= {name: [asdict(thing) for thing in things] for name, things in findings._asdict().items()}
