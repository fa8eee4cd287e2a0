"""A DeepBit extractor ready to run: pixels in, binary codes and the signatures that verify a pair out.

The network runs one fixed batch shape, the remainder padded, so that a code never depends on its neighbours in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.inference import compile
from dlcore.interop.artefact import load_artefact, pinned
from dlcore.search.codes import Codes, pack
from dlcore.search.signatures import chroma_grid, luminance_hash
from dlcore.search.verification import Signatures
from dlcore.vision.pixels import Pixels, resized
from dlcore.vision.preprocessing import Preprocessing

BATCH = 16
"""Crops that the network sees at a time."""
HASH_SIDE = 96
"""Side of the picture that luminance hashes and colour grids are made of, in pixels."""


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


def load_extractor(uri: str) -> Extractor:
    """The extractor of an artefact, compiled once per process and version.

    Raises:
        ValueError: the artefact is not an extractor's.
    """
    return _loaded(pinned(uri))


@cache
def _loaded(uri: str) -> Extractor:
    """Of one version, which never changes."""
    artefact = load_artefact(uri)
    if artefact.metadata.get("kind") != "deepbit":
        raise ValueError(
            f"got an artefact of kind {artefact.metadata.get('kind')!r}, expected 'deepbit'; name an extractor's artefact"
        )
    preprocessing = Preprocessing.from_metadata(artefact.metadata["preprocessing"])
    plan = compile(artefact.model, (BATCH, 3, preprocessing.size, preprocessing.size))
    return Extractor(preprocessing, plan.predict, float(artefact.metadata["threshold"]), artefact.version)
