"""Train the small DeepBit network on generated pictures, judge it on a catalogue it has never seen, and promote it.

python -m spark_jobs.train_features --run manual --attempt 1 --steps 1800
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

from dlcore.inference import compile
from dlcore.interop.artefact import load_artefact, save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.nn.module import Module
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.schedule import Cosine
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG
from dlcore.vision.extractor import BATCH, HASH_SIDE, Extractor
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.demo import DEVELOPMENT_SEED, HELD_OUT_SEED, TRAIN_SEED
from sample_data.catalogue.views import ViewPool
from spark_jobs.running import runner
from spark_jobs.running.runner import Job
from spark_jobs.training.feature_judging import card, evaluate, judged_catalogue, learn_verifier
from spark_jobs.training.feature_training import CodeCriterion, ViewSource
from spark_jobs.training.feature_views import ARTICLES, VIEWS
from spark_jobs.training.promotion import command_of, cpu_seconds, local_folder

logger = logging.getLogger(__name__)

SIDE = 64
"""Side of the network's input, in pixels."""
_CUT_OUT_SIDE = 128
_TRIAL_STEPS = 12


@dataclass(frozen=True)
class Options:
    """How the network is trained."""

    minutes: float = field(default=25.0, metadata={"help": "time for the training itself, when no steps are given"})
    steps: int = field(default=0, metadata={"help": "training steps; the same steps give the same weights"})
    families: int = field(default=32, metadata={"help": "families of three look-alikes in a step"})
    products: int = field(default=6000, metadata={"help": "different products that are drawn to train on"})
    backgrounds: int = field(default=1500, metadata={"help": "different backgrounds"})
    judged: int = field(default=600, metadata={"help": "pictures of the held-out catalogue"})
    background_swaps: float = field(default=0.4, metadata={"help": "share of views on another backdrop"})
    rate: float = field(default=2e-3, metadata={"help": "learning rate at the start"})
    start: str = field(default="", metadata={"help": "URI of an artefact whose weights to start from"})
    least_map: float = field(default=0.8, metadata={"help": "retrieval mAP below which nothing is promoted"})
    seed: int = field(default=1, metadata={"help": "of weights and views"})
    workers: int = field(default=2, metadata={"help": "processes that compute gradients"})
    artefact: str = field(default="deepbit-small", metadata={"help": "name under the models folder"})


def train(options: Options, config: DeepBitConfig, preprocessing: Preprocessing) -> Module:
    """The trained network; with `steps` given, the same for the same options."""
    pool = ViewPool.drawn(TRAIN_SEED, options.products, options.backgrounds, _CUT_OUT_SIDE, options.workers)
    source = ViewSource(pool, preprocessing, options.background_swaps)
    steps = options.steps or _affordable_steps(options, config, source)
    return _optimizer(options, config, source, steps).optimize()


def _optimizer(options: Options, config: DeepBitConfig, source: ViewSource, steps: int) -> Optimizer:
    RNG.set_seed(options.seed)
    return Optimizer(
        load_artefact(options.start).model.clone() if options.start else deepbit_small(config),
        source,
        CodeCriterion(),
        MaxIteration(steps),
        options.families * ARTICLES * VIEWS,
        Adam(options.rate, leaningrate_schedule=Cosine(steps)),
        workers=options.workers,
        seed=options.seed,
    )


def _affordable_steps(options: Options, config: DeepBitConfig, source: ViewSource) -> int:
    """How many steps fit into the minutes asked for, from the speed of the first few."""
    trial = _optimizer(options, config, source, _TRIAL_STEPS)
    start = perf_counter()
    trial.optimize()
    return max(round(options.minutes * 60 * _TRIAL_STEPS / (perf_counter() - start)), _TRIAL_STEPS)


def plan(job: Job[Options]) -> None:
    """Train, judge, write the artefact."""
    options, start = job.options, perf_counter()
    config = DeepBitConfig(size=SIDE)
    model = train(options, config, Preprocessing(SIDE))
    spent = {"wall": round(perf_counter() - start), "cpu": round(cpu_seconds())}
    metadata = judged_metadata(model, config, options)
    scores = metadata["scores"]
    found = float(scores["deepbit"]["map"])
    if found < options.least_map:
        raise ValueError(f"the codes' mAP is {found:.3f}, expected at least {options.least_map}; train longer")
    folder = local_folder(job.settings.models) / options.artefact
    version = save_artefact(
        folder, model, {**metadata, "seconds": spent}, card(scores, command_of("train_features", options), spent)
    )
    job.note("scores", scores)
    job.note("version", version)
    logger.info("%s: version %s, mAP %.3f", folder, version[:12], found)


def judged_metadata(model: Module, config: DeepBitConfig, options: Options) -> dict[str, Any]:
    """What the artefact says of the network: its input, its verifier, its scores on a held-out catalogue."""
    preprocessing = Preprocessing(config.size)
    network = compile(model, (BATCH, 3, config.size, config.size))
    extractor = Extractor(preprocessing, network.predict, 0.0, "unsaved")
    verifier = learn_verifier(extractor, judged_catalogue(DEVELOPMENT_SEED, 2 * options.judged, HASH_SIDE))
    return {
        "kind": "deepbit",
        "config": asdict(config),
        "preprocessing": preprocessing.metadata(),
        "threshold": 0.0,
        "verifier": asdict(verifier),
        "scores": evaluate(extractor, verifier, judged_catalogue(HELD_OUT_SEED, options.judged, HASH_SIDE)),
        "options": asdict(options),
    }


if __name__ == "__main__":
    runner.run("train_features", plan, Options)
