"""Turn the crops of a day into features: the DeepBit code, its real values, and the signatures that verify a pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from data_contracts.features import FEATURES
from data_contracts.reasons import Reason
from dlcore.vision.extractor import Extractor, load_extractor
from dlcore.vision.pixels import Pixels
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.decode import read_pixels, read_scaled
from spark_jobs.stages.detect import computed_by

WHOLE = "whole"
"""The column with the image that a crop was cut from."""


def whole_pictures(images: Sequence[bytes], extractor: Extractor) -> list[Pixels]:
    """Canonical images as whole pictures for the extractor, decoded no larger than it needs."""
    side = extractor.whole.resize if extractor.whole else 0
    return [read_scaled(image, side) for image in images]


def feature_batches(
    batches: Iterable[pa.RecordBatch], models: str, extractor: str, keep_descriptor: bool = True
) -> Iterator[pa.RecordBatch]:
    """Rows of `crops` -> rows of `features`, one for one; each with its image in `whole`, if the extractor codes that
    as well.

    models: URI of the folder of artefacts.  extractor: name of one with its version, for all tasks to load the same.
    """
    loaded = load_extractor(artefact_uri(models, extractor))
    for batch in batches:
        yield _features(batch, loaded, keep_descriptor)


def _features(batch: pa.RecordBatch, extractor: Extractor, keep_descriptor: bool) -> pa.RecordBatch:
    rows = batch.select(["day", "key", "crop", "reason", "label", "whole_hash"]).to_pylist()
    used = [number for number, row in enumerate(rows) if row["reason"] == Reason.OK]
    if used:
        images = batch.column("image")
        hashes = np.frombuffer(b"".join(rows[number]["whole_hash"] for number in used), np.uint8)
        pictures = [read_pixels(images[number].as_py()) for number in used]
        wholes = (
            whole_pictures(batch.column(WHOLE).take(pa.array(used)).to_pylist(), extractor) if extractor.whole else None
        )
        signatures = extractor.signatures(pictures, hashes.reshape(len(used), -1), wholes)
        for place, number in enumerate(used):
            rows[number] |= {
                "code": signatures.codes[place].tobytes(),
                "descriptor": signatures.descriptors[place].tobytes() if keep_descriptor else None,
                "luminance_hash": signatures.hashes[place].tobytes(),
                "chroma": signatures.chroma[place].tobytes(),
                "model_version": extractor.version,
                "computed_by": computed_by(),
            }
    return pa.RecordBatch.from_pylist(rows, schema=FEATURES.arrow_schema())
