"""A DeepBit extractor ready to run: pixels in, binary codes and the signatures that verify a pair out.

The network runs one fixed batch shape and the last batch is padded, so that a code never depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from dlcore.activity import Array
from dlcore.interop.artefact import load_artefact, pinned
from dlcore.nn.module import Module
from dlcore.search.codes import Codes, pack
from dlcore.search.signatures import chroma_grid, luminance_hash
from dlcore.search.verification import Signatures
from dlcore.vision.arithmetic import plan_of
from dlcore.vision.pixels import Pixels, resized
from dlcore.vision.preprocessing import Preprocessing

BATCH = 16
"""Number of crops that the network sees at a time."""
BATCH_WITH_WHOLES = 4
"""The same for a network that sees the whole pictures too. Each of them costs about as much in a batch of 4 as in one
of 16, and less is spent on filling up the last batch."""
HASH_SIDE = 96
"""Side, in pixels, of the picture that luminance hashes and colour grids are made from."""

Pictures: TypeAlias = Sequence[Pixels] | Pixels
"""RGB pictures, each (H, W, 3)."""


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network ready to run. `predict` gives [real codes (N, bits), pooled features (N, D)] of (N, 3, S, S), or of a
    table of that and the whole pictures (N, 3, T, T) if the network needs these as well.

    threshold: above it a bit is 1.
    version: the artefact's hash.
    whole: how whole pictures become its input; None if it sees only crops.
    """

    preprocessing: Preprocessing
    predict: Callable[[Any], Any]
    threshold: float
    version: str
    whole: Preprocessing | None = None

    def outputs(self, crops: Pictures, wholes: Pictures | None = None) -> tuple[Array, Array]:
        """Real codes (N, bits) and pooled features (N, D) of RGB pictures (H, W, 3) of any size.

        wholes: the picture that each crop was cut from; not needed if the network sees only crops.

        Raises:
            ValueError: the network needs whole pictures, and there is not one for each crop.
        """
        x = _input(self.preprocessing, crops)
        if self.whole is None:
            codes, pooled = self.predict(x)
            return codes, pooled
        if wholes is None or len(wholes) != len(crops):
            given = "none" if wholes is None else str(len(wholes))
            raise ValueError(
                f"got {len(crops)} crops and {given} whole pictures, expected one for each crop: the extractor "
                f"{self.version[:12]} codes both"
            )
        codes, pooled = self.predict([x, _input(self.whole, wholes)])
        return codes, pooled

    def signatures(self, crops: Pictures, hashes: Codes, wholes: Pictures | None = None) -> Signatures:
        """All signatures of crops, which are RGB pictures (H, W, 3); the luminance hashes (N, 32) and the whole
        pictures they were cut from are given.

        Raises:
            ValueError: as `outputs`.
        """
        codes, _ = self.outputs(crops, wholes)
        small = np.stack([resized(picture, HASH_SIDE) for picture in crops])
        return Signatures(
            pack(codes, self.threshold),
            codes.astype("<f2"),
            luminance_hash(small),
            hashes,
            chroma_grid(small),
        )


def _input(preprocessing: Preprocessing, pictures: Pictures) -> Array:
    return preprocessing.normalise(np.stack([resized(picture, preprocessing.resize) for picture in pictures]))


def extractor_of(model: Module, metadata: Mapping[str, Any], version: str, batch: int = 0) -> Extractor:
    """The extractor of a model, described by the metadata of its artefact and compiled for so many crops at a time; 0:
    BATCH, or BATCH_WITH_WHOLES."""
    crop = Preprocessing.from_metadata(metadata["preprocessing"])
    whole = Preprocessing.from_metadata(metadata["whole"]) if metadata.get("whole") else None
    batch = batch or (BATCH_WITH_WHOLES if whole else BATCH)
    shapes = [(batch, 3, each.size, each.size) for each in (crop, whole) if each]
    plan = plan_of(model, metadata, shapes if whole else shapes[0])
    return Extractor(crop, plan.predict, float(metadata["threshold"]), version, whole)


def code_bits(metadata: Mapping[str, Any]) -> int:
    """The number of bits in the codes of an extractor with these metadata; 128 if they do not say."""
    return int(metadata.get("bits") or metadata.get("config", {}).get("bits", 128))


def wants_wholes(metadata: Mapping[str, Any]) -> bool:
    """Whether an extractor with these metadata also codes the whole picture."""
    return bool(metadata.get("whole"))


def load_extractor(uri: str, batch: int = 0) -> Extractor:
    """The extractor of an artefact, compiled once per process, version and batch.

    batch: crops that the network sees at a time, as in `extractor_of`; use 1 if they come one by one, since padding
        costs as much as crops.

    Raises:
        ModuleNotFoundError: the extractor builds on published weights whose package is not installed.
        ValueError: the artefact is not an extractor's.
    """
    return _loaded(pinned(uri), batch)


@cache
def _loaded(uri: str, batch: int) -> Extractor:
    """Of one version, which never changes."""
    artefact = load_artefact(uri)
    if artefact.metadata.get("kind") != "deepbit":
        raise ValueError(
            f"got an artefact of kind {artefact.metadata.get('kind')!r}, expected 'deepbit'; name an extractor's "
            f"artefact"
        )
    return extractor_of(artefact.model, artefact.metadata, artefact.version, batch)
