"""From a crop to its features: the DeepBit code, its real values, and the signatures that verify a pair.

The network runs one fixed batch shape, the remainder padded, so that a code never depends on its neighbours in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.features import FEATURES
from data_contracts.reasons import Reason
from dlcore.activity import Array
from dlcore.inference import compile
from dlcore.interop.artefact import load_artefact
from dlcore.models.preprocessing import Preprocessing
from dlcore.search.codes import Codes, pack
from dlcore.search.signatures import chroma_grid, luminance_hash
from dlcore.search.verification import Signatures
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.decode import read_pixels
from spark_jobs.stages.detect import computed_by, resized

BATCH = 16
"""Crops that the network sees at a time."""
HASH_SIDE = 96
"""Side of the picture that luminance hashes and colour grids are made of, in pixels."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network ready to run: `predict` takes (N, 3, S, S) and gives [real codes (N, bits), pooled features (N, D)].

    threshold: above which a bit is 1.  version: the artefact's hash.
    """

    preprocessing: Preprocessing
    predict: Callable[[Array], Any]
    threshold: float
    version: str

    def outputs(self, pictures: Sequence[Pixels] | Pixels) -> tuple[Array, Array]:
        """Real codes (N, bits) and pooled features (N, D) of RGB pictures (H, W, 3) of any size."""
        side = self.preprocessing.resize
        codes, pooled = self.predict(self.preprocessing.normalise(np.stack([resized(p, side) for p in pictures])))
        return codes, pooled

    def signatures(self, pictures: Sequence[Pixels] | Pixels, wholes: Codes) -> Signatures:
        """All that is kept of crops: RGB pictures (H, W, 3), and the luminance hashes (N, 32) of their whole images."""
        codes, _ = self.outputs(pictures)
        small = np.stack([resized(picture, HASH_SIDE) for picture in pictures])
        return Signatures(
            pack(codes, self.threshold),
            codes.astype("<f2"),
            luminance_hash(small),
            wholes,
            chroma_grid(small),
        )


@cache
def load_extractor(uri: str) -> Extractor:
    """The extractor of an artefact, compiled once per process.

    Raises:
        ValueError: the artefact is not an extractor's.
    """
    artefact = load_artefact(uri)
    if artefact.metadata.get("kind") != "deepbit":
        raise ValueError(
            f"got an artefact of kind {artefact.metadata.get('kind')!r}, expected 'deepbit'; name an extractor's artefact"
        )
    preprocessing = Preprocessing.from_metadata(artefact.metadata["preprocessing"])
    plan = compile(artefact.model, (BATCH, 3, preprocessing.size, preprocessing.size))
    return Extractor(preprocessing, plan.predict, float(artefact.metadata["threshold"]), artefact.version)


def feature_batches(
    batches: Iterable[pa.RecordBatch], models: str, extractor: str, keep_descriptor: bool = True
) -> Iterator[pa.RecordBatch]:
    """Rows of `crops` -> rows of `features`, one for one; models: URI of the folder of artefacts."""
    loaded = load_extractor(artefact_uri(models, extractor))
    for batch in batches:
        yield _features(batch, loaded, keep_descriptor)


def _features(batch: pa.RecordBatch, extractor: Extractor, keep_descriptor: bool) -> pa.RecordBatch:
    rows = batch.select(["day", "key", "crop", "reason", "label", "whole_hash"]).to_pylist()
    used = [number for number, row in enumerate(rows) if row["reason"] == Reason.OK]
    if used:
        images = batch.column("image")
        wholes = np.frombuffer(b"".join(rows[number]["whole_hash"] for number in used), np.uint8)
        pictures = [read_pixels(images[number].as_py()) for number in used]
        signatures = extractor.signatures(pictures, wholes.reshape(len(used), -1))
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
