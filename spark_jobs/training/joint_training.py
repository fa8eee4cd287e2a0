"""The joint extractor: the shipped network codes the crop, a trained layer on a published network's features the whole picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.inference import compile
from dlcore.interop.artefact import load_artefact
from dlcore.interop.published import Backbone
from dlcore.models.deepbit_joint import BACKBONE, deepbit_joint, pooled_features
from dlcore.models.pretrained import EFFICIENTNET_LITE0, LITE0_WEIGHTS, pretrained_efficientnet_lite0
from dlcore.nn.graph import Graph
from dlcore.nn.module import Module
from dlcore.vision.extractor import BATCH
from dlcore.vision.pixels import Pixels
from sample_data.catalogue.demo import HELD_OUT_SEED, TRAIN_SEED
from spark_jobs.scoring.evaluation import score_codes
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
"""Share of views before another backdrop, where the picture is drawn."""
_HELD_OUT = 5
"""One of so many pictures of a shop is kept to judge by."""


@dataclass(frozen=True)
class Wanted:
    """pictures: drawn to train on.   held_out: drawn to compare by.   catalogue: folder of a shop's pictures, None for none.
    cache: folder in which pooled features are kept, None for none.   crop: URI of the artefact that codes the crop.
    workers: that draw."""

    pictures: int
    held_out: int
    catalogue: Path | None
    cache: Path | None
    crop: str
    workers: int


@dataclass(frozen=True)
class Joint:
    """A trained model, and what its artefact says of it. shop: held-out views of the shop, None without its pictures."""

    model: Graph
    metadata: dict[str, Any]
    backbone: Backbone
    comparison: dict[str, float]
    views: int
    head: Graph
    shop: PooledViews | None


def train_joint(wanted: Wanted, training: HeadTraining) -> Joint:
    """The joint model; the same for the same pictures and seed."""
    network = pooled_features(pretrained_efficientnet_lite0()).evaluate()
    views = _pooled(generated_sources(TRAIN_SEED, wanted.pictures), network, wanted, f"{TRAIN_SEED}-{wanted.pictures}")
    held_out = _pooled(
        generated_sources(HELD_OUT_SEED, wanted.held_out), network, wanted, f"{HELD_OUT_SEED}-{wanted.held_out}"
    )
    shop, kept = _of_shop(wanted, network)
    seen = joined_views(views, shop) if shop else views
    head = train_head(seen, training)
    crop = load_artefact(wanted.crop)
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


def _bits_of(metadata: dict[str, Any]) -> int:
    return int(metadata.get("config", {}).get("bits", 128))


def _of_shop(wanted: Wanted, network: Module) -> tuple[PooledViews | None, PooledViews | None]:
    """Views of a shop's pictures to train on, and others to judge by; None without its pictures."""
    if wanted.catalogue is None:
        return None, None
    views = _pooled(sources_in(wanted.catalogue), network, wanted, "")
    is_kept = np.arange(views.sources.max() + 1) % _HELD_OUT == 0
    return views.of(np.flatnonzero(~is_kept)), views.of(np.flatnonzero(is_kept))


def score_of_shop(model: Module, views: PooledViews) -> float:
    """Retrieval mAP of a joint model's codes of whole pictures on pooled views."""
    head: Any = next(part for _, part in model.named_modules() if part.name() == "head")
    return float(score_codes(head_codes(head, views.features), views.articles)["map"])


def _pooled(sources: Sequence[Source], network: Module, wanted: Wanted, named: str) -> PooledViews:
    """What the network pools of all views, from the cache where it has been computed before; drawn pictures alone are kept."""
    side = EFFICIENTNET_LITE0.size
    kept = wanted.cache / f"{_digest(named)}.npz" if wanted.cache and named else None
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
        np.savez(kept, features=views.features, articles=views.articles, sources=views.sources)
    return views


def _digest(named: str) -> str:
    """Changes with the pictures and with the network that sums them up."""
    return hashlib.sha256(json.dumps([named, SWAPS, LITE0_WEIGHTS.sha256]).encode()).hexdigest()[:16]
