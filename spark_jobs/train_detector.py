"""Train a detector on generated scenes, judge it on a catalogue it has never seen, and promote it.

python -m spark_jobs.train_detector --run manual --attempt 1 --steps 4000
python -m spark_jobs.train_detector --run manual --attempt 1 --network lite0 --artefact detector-lite0
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dlcore.interop.artefact import save_artefact
from sample_data.catalogue.demo import DEVELOPMENT_SEED, HELD_OUT_SEED, TRAIN_SEED
from sample_data.catalogue.views import ViewPool
from spark_jobs.running import runner
from spark_jobs.running.runner import Job
from spark_jobs.training.detection_training import CLASSES, catalogue_test_set, scene_test_set
from spark_jobs.training.detector_card import card, plot
from spark_jobs.training.detector_recipe import (
    Curve,
    Recipe,
    choose_threshold,
    detector_scores,
    settings_of,
)
from spark_jobs.training.lite0_recipe import Lite0Recipe
from spark_jobs.training.promotion import command_of, cpu_seconds, local_folder
from spark_jobs.training.repeatability import copied_scenes

logger = logging.getLogger(__name__)

NETWORKS: dict[str, type[Recipe]] = {"small": Recipe, "lite0": Lite0Recipe}
"""How each network is trained, by its name."""


@dataclass(frozen=True)
class Options:
    """How the detector is trained."""

    network: str = field(
        default="small", metadata={"help": "small: trained from scratch; lite0: on EfficientNet-Lite0"}
    )
    steps: int = field(default=0, metadata={"help": "number of training steps; 0: as many as fit into --minutes"})
    minutes: float = field(default=25.0, metadata={"help": "minutes for training, if no steps are given"})
    seed: int = field(default=1, metadata={"help": "seed of the weights and the scenes"})
    products: int = field(
        default=0, metadata={"help": "number of products drawn for training; 0: 6000 for small, 1000 for lite0"}
    )
    backgrounds: int = field(default=0, metadata={"help": "number of backgrounds; 0: 2000 for small, 500 for lite0"})
    size: int = field(
        default=0, metadata={"help": "side of the network's input in pixels; 0: 160 for small, 192 for lite0"}
    )
    width: int = field(
        default=0, metadata={"help": "planes of small at a quarter of the size (0: 32), or of lite0's heads (0: 96)"}
    )
    judged: int = field(default=600, metadata={"help": "number of pictures of the held-out catalogue"})
    workers: int = field(default=2, metadata={"help": "number of processes that compute gradients"})
    least_map: float = field(default=0.5, metadata={"help": "lowest mAP with which a detector is promoted"})
    artefact: str = field(default="detector-small", metadata={"help": "name of the artefact in the models folder"})


def plan(job: Job[Options]) -> None:
    """Train, judge, write the artefact.

    Raises:
        ValueError: the detector is not good enough to replace the present one.
    """
    options = job.options
    start = time.perf_counter()
    recipe, pool = _recipe(options)
    development = catalogue_test_set(DEVELOPMENT_SEED, options.judged // 2, recipe.size, options.workers)
    model, curve = recipe.train(pool, development)
    spent = {"wall": round(time.perf_counter() - start), "cpu": round(cpu_seconds())}
    scenes = copied_scenes(DEVELOPMENT_SEED, options.judged // 2, recipe.size, pool)
    threshold, repeats = choose_threshold(model, recipe, development, scenes)
    held_out = catalogue_test_set(HELD_OUT_SEED, options.judged, recipe.size, options.workers)
    unseen = ViewPool.drawn(HELD_OUT_SEED, options.judged, 100, workers=options.workers)
    hard = scene_test_set(HELD_OUT_SEED, options.judged, recipe.size, unseen)
    scores: dict[str, Any] = {
        "catalogue": detector_scores(model, recipe, held_out, threshold.score),
        "scenes": detector_scores(model, recipe, hard, threshold.score),
        "threshold": {"score": threshold.score, "precision": threshold.precision, "recall": threshold.recall},
        "repeatability": round(repeats, 4),
        "seconds": spent,
    }
    job.note("scores", scores)
    found = scores["catalogue"]["map50"]
    if found < options.least_map:
        raise ValueError(f"the detector's mAP is {found:.3f}, expected at least {options.least_map}; train longer")
    job.note("version", _promote(job, recipe, model, curve, scores))


def _recipe(options: Options) -> tuple[Recipe, ViewPool]:
    """The recipe, its number of steps settled, and its pool."""
    if options.network not in NETWORKS:
        raise ValueError(f"got network {options.network!r}, expected one of {', '.join(NETWORKS)}")
    own = {name: value for name in ("products", "backgrounds", "size", "width") if (value := getattr(options, name))}
    recipe = NETWORKS[options.network](
        steps=options.steps, seed=options.seed, catalogue_seed=TRAIN_SEED, workers=options.workers, **own,
    )  # fmt: skip
    pool = recipe.pool()
    return recipe if options.steps else recipe.lasting(recipe.steps_in(options.minutes, pool)), pool


def _promote(job: Job[Options], recipe: Recipe, model: Any, curve: Curve, scores: dict[str, Any]) -> str:
    """Write the artefact where the pipeline finds it, and the curve beside the run's other files; return the
    version."""
    metadata = {
        **settings_of(recipe, float(scores["threshold"]["score"])).metadata(),
        "recipe": asdict(recipe),
        "scores": scores,
        "curve": curve.points,
    }
    folder = local_folder(job.settings.models) / job.options.artefact
    repeating = replace(job.options, steps=recipe.steps, minutes=Options.minutes)
    command = command_of("train_detector", repeating)
    version = save_artefact(folder, model, metadata, card(scores, recipe, curve, command), backbone=recipe.backbone)
    picture = job.settings.home / "training" / f"{job.options.artefact}-{version[:12]}.png"
    plot(curve, scores, CLASSES, picture)
    logger.info("%s: version %s, mAP %.3f, curve %s", folder, version[:12], scores["catalogue"]["map50"], picture)
    return str(version)


if __name__ == "__main__":
    runner.run("train_detector", plan, Options)
