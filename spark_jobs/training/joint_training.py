"""The joint extractor: the shipped network codes the crop, and a trained layer on a published network's features codes
the whole picture."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.inference import compile
from dlcore.interop.artefact import Artefact, load_artefact
from dlcore.interop.published import Backbone
from dlcore.models.deepbit_joint import BACKBONE, deepbit_joint, pooled_features
from dlcore.models.pretrained import EFFICIENTNET_LITE0, LITE0_WEIGHTS, pretrained_efficientnet_lite0
from dlcore.nn.graph import Graph
from dlcore.nn.module import Module
from dlcore.vision.arithmetic import require_fp32
from dlcore.vision.extractor import BATCH
from dlcore.vision.pixels import Pixels
from sample_data import catalogue
from sample_data.catalogue.demo import HELD_OUT_SEED, TRAIN_SEED
from spark_jobs.mistakes import Mistake
from spark_jobs.scoring.evaluation import score_codes
from spark_jobs.training import feature_views, whole_views
from spark_jobs.training.head_training import HeadTraining, compared, head_codes, train_head
from spark_jobs.training.whole_views import (
    PooledViews,
    Source,
    generated_sources,
    joined_views,
    pooled_views,
    sources_in,
)

SWAPS = 0.4
"""Share of a drawn picture's views that get another backdrop."""
_HELD_OUT = 5
"""One in so many pictures of a shop is kept to judge by."""
_HEAD = "head"
"""The part of a joint model that codes the features pooled from whole pictures."""


@dataclass(frozen=True)
class Wanted:
    """pictures: drawn to train on.
    held_out: drawn to compare by.
    catalogue: folder of a shop's pictures, None for none.
    cache: folder in which pooled features are kept, None for none.   crop: URI of the artefact that codes the crop.
    workers: number of processes that draw."""

    pictures: int
    held_out: int
    catalogue: Path | None
    cache: Path | None
    crop: str
    workers: int


@dataclass(frozen=True)
class Joint:
    """A trained model, and what its artefact says about it. shop: held-out views of the shop, None without its
    pictures."""

    model: Graph
    metadata: dict[str, Any]
    backbone: Backbone
    comparison: dict[str, float]
    views: int
    head: Graph
    shop: PooledViews | None


def train_joint(wanted: Wanted, training: HeadTraining) -> Joint:
    """The joint model; the same for the same pictures and seed.

    Raises:
        Mistake: the crop's extractor computes in few bits, or the shop has too few pictures.
    """
    crop = _of_crop(wanted.crop)
    network = pooled_features(pretrained_efficientnet_lite0()).evaluate()
    views = _pooled(generated_sources(TRAIN_SEED, wanted.pictures), network, wanted, f"{TRAIN_SEED}-{wanted.pictures}")
    held_out = _pooled(
        generated_sources(HELD_OUT_SEED, wanted.held_out), network, wanted, f"{HELD_OUT_SEED}-{wanted.held_out}"
    )
    shop, kept = _of_shop(wanted, network)
    seen = joined_views(views, shop) if shop else views
    head = train_head(seen, training)
    model = deepbit_joint(crop.model.clone(), network, head)
    return Joint(
        model,
        {
            "preprocessing": crop.metadata["preprocessing"],
            "whole": EFFICIENTNET_LITE0.metadata(),
            "threshold": crop.metadata["threshold"],
            "bits": _bits_of(crop.metadata) + training.bits,
            "crop": {"name": wanted.crop.rstrip("/").rsplit("/", 1)[-1], "version": crop.version},
        },
        Backbone(BACKBONE, LITE0_WEIGHTS),
        compared(views, held_out, training),
        len(seen.features),
        head,
        kept,
    )


def _of_crop(uri: str) -> Artefact:
    crop = load_artefact(uri)
    try:
        require_fp32(crop.metadata, uri)
    except ValueError as error:
        raise Mistake(str(error)) from None
    return crop


def _bits_of(metadata: dict[str, Any]) -> int:
    return int(metadata.get("config", {}).get("bits", 128))


def _of_shop(wanted: Wanted, network: Module) -> tuple[PooledViews | None, PooledViews | None]:
    """Views of a shop's pictures to train on, and others to judge by; None if it gave no pictures."""
    if wanted.catalogue is None:
        return None, None
    sources = sources_in(wanted.catalogue)
    views = _pooled(sources, network, wanted, "")
    is_kept = np.array([is_held_out(source.path.relative_to(wanted.catalogue)) for source in sources])
    rest, kept = (views.of(np.flatnonzero(chosen)) for chosen in (~is_kept, is_kept))
    if not len(rest.features) or not len(kept.features):
        raise Mistake(
            f"got {len(np.unique(views.sources))} pictures in {wanted.catalogue}, expected enough to train on after "
            f"one in {_HELD_OUT} is kept to judge by; give a hundred or more"
        )
    return rest, kept


def is_held_out(path: Path) -> bool:
    """Whether a picture is kept to judge by; its path in the catalogue decides, whatever else is there."""
    return zlib.crc32(path.as_posix().encode()) % _HELD_OUT == 0


def head_of(model: Module) -> Any:
    """The part that codes whole pictures.

    Raises:
        Mistake: the model has none.
    """
    found = next((part for _, part in model.named_modules() if part.name() == _HEAD), None)
    if found is None:
        raise Mistake(
            "got an extractor that codes only crops, expected one that also codes whole pictures; give another artefact"
        )
    return found


def score_of_shop(model: Module, views: PooledViews) -> float:
    """Retrieval mAP of a joint model's codes of whole pictures on pooled views.

    Raises:
        Mistake: the model has no such code.
    """
    head = head_of(model)
    return float(score_codes(head_codes(head, views.features), views.articles)["map"])


def _pooled(sources: Sequence[Source], network: Module, wanted: Wanted, named: str) -> PooledViews:
    """The features that the network pools from all views, from the cache if they were computed before; only those of
    drawn pictures are kept."""
    side = EFFICIENTNET_LITE0.size
    kept = wanted.cache / f"{_digest(named, side)}.npz" if wanted.cache and named else None
    if kept and kept.exists():
        with np.load(kept) as found:
            return PooledViews(found["features"], found["articles"], found["sources"])
    plan = compile(network, (BATCH, 3, side, side))

    def summary(pixels: Pixels) -> Array:
        pooled: Any = plan.predict(EFFICIENTNET_LITE0.normalise(pixels))
        rows: Array = pooled.reshape(len(pixels), -1)
        return rows

    views = pooled_views(sources, summary, 1, side, SWAPS, wanted.workers)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f".{kept.stem}.{os.getpid()}.npz")
        np.savez(partial, features=views.features, articles=views.articles, sources=views.sources)
        partial.replace(kept)
    return views


def _digest(named: str, side: int) -> str:
    """A hash that changes with the pictures, with the code that draws and changes them, and with the network that pools
    their features."""
    parts = [named, side, SWAPS, LITE0_WEIGHTS.sha256, _digest_of_sources()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@cache
def _digest_of_sources() -> str:
    """A hash of the code that draws pictures and makes views of them."""
    drawing = sorted(Path(catalogue.__path__[0]).rglob("*.py"))
    changing = [Path(module.__file__ or "") for module in (feature_views, whole_views)]
    digest = hashlib.sha256()
    for path in (*drawing, *changing):
        digest.update(path.read_bytes())
    return digest.hexdigest()
