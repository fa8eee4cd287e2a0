"""Train an extractor on generated pictures, judge it on a catalogue it has never seen, and promote it.

python -m spark_jobs.train_features --run manual --attempt 1 --steps 1800
python -m spark_jobs.train_features --run manual --attempt 1 --backbone efficientnet-lite0 --catalogue FOLDER

The first command trains the small DeepBit network. The second trains the code of whole pictures on the features of a
published network, also with a shop's own pictures; the code of crops is that of the artefact `--start`. With
`--verifier-only` an artefact keeps its weights, and only learns anew which pairs are duplicates.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from dlcore.interop.artefact import backbone_of, load_artefact, names, save_artefact
from dlcore.interop.published import Backbone
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.nn.module import Module
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.schedule import Cosine
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG
from dlcore.search.verification import Verifier
from dlcore.vision.extractor import HASH_SIDE, extractor_of
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.demo import DEVELOPMENT_SEED, HELD_OUT_SEED, TRAIN_SEED
from sample_data.catalogue.views import ViewPool
from spark_jobs.mistakes import Mistake
from spark_jobs.running import runner
from spark_jobs.running.command_line import DetectorOptions
from spark_jobs.running.runner import Job
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.calibration import verifier_from
from spark_jobs.stages.detect import NO_DETECTOR
from spark_jobs.training.extractor_cards import joint_card, small_card
from spark_jobs.training.feature_judging import evaluate, judged_catalogue, learn_verifier
from spark_jobs.training.feature_training import CodeCriterion, ViewSource
from spark_jobs.training.feature_views import ARTICLES, VIEWS
from spark_jobs.training.head_training import HeadTraining
from spark_jobs.training.joint_training import Joint, Wanted, head_of, score_of_shop, train_joint
from spark_jobs.training.promotion import command_of, cpu_seconds, local_folder
from spark_jobs.training.whole_views import PooledViews

logger = logging.getLogger(__name__)

SIDE = 64
"""Side of the network's input, in pixels."""
SMALL, JOINT, LITE0 = "deepbit-small", "deepbit-lite0", "efficientnet-lite0"
_COMPARED = 60
"""Held-out pictures on whose views code layers are compared."""
_CUT_OUT_SIDE = 128
_TRIAL_STEPS = 12


@dataclass(frozen=True)
class Options:
    """How the network is trained."""

    minutes: float = field(default=25.0, metadata={"help": "minutes for training, if no steps are given"})
    steps: int = field(default=0, metadata={"help": "training steps, reproducible; 0: as many as fit into --minutes"})
    families: int = field(default=32, metadata={"help": "number of families of three look-alikes per step"})
    products: int = field(default=6000, metadata={"help": "number of different products drawn for training"})
    backgrounds: int = field(default=1500, metadata={"help": "number of different backgrounds"})
    judged: int = field(default=600, metadata={"help": "number of pictures of the held-out catalogue"})
    background_swaps: float = field(default=0.4, metadata={"help": "share of views that get another background"})
    rate: float = field(default=2e-3, metadata={"help": "initial learning rate"})
    start: str = field(
        default="",
        metadata={"help": "URI of an artefact to start training from; with a backbone, the one that codes the crop"},
    )
    verifier_only: bool = field(
        default=False,
        metadata={"help": "keep the weights of the artefact, or of --start, and learn only which pairs are duplicates"},
    )
    backbone: str = field(
        default="",
        metadata={"help": f"'{LITE0}': code whole pictures by its features; empty: train the small network"},
    )
    pictures: int = field(default=1200, metadata={"help": "number of pictures drawn for training, with a backbone"})
    catalogue: str = field(
        default="", metadata={"help": "folder of a shop's own pictures to train on as well, with a backbone"}
    )
    cache: str = field(default="", metadata={"help": "folder that caches the backbone's features"})
    detector: str = field(
        default="",
        metadata={
            "help": f"name of the detector that cuts the pictures to judge on, as in the pipeline; {NO_DETECTOR!r}: "
            "cut near the true boxes; empty: the usual one, if any"
        },
    )
    least_map: float = field(default=0.8, metadata={"help": "lowest retrieval mAP with which an extractor is promoted"})
    seed: int = field(default=1, metadata={"help": "seed of weights and views"})
    workers: int = field(default=2, metadata={"help": "number of processes that compute gradients"})
    artefact: str = field(
        default="", metadata={"help": f"name in the models folder; empty: {SMALL}, or {JOINT} with a backbone"}
    )


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
    """How many steps fit into the given minutes, judged by the speed of the first few."""
    trial = _optimizer(options, config, source, _TRIAL_STEPS)
    start = perf_counter()
    trial.optimize()
    return max(round(options.minutes * 60 * _TRIAL_STEPS / (perf_counter() - start)), _TRIAL_STEPS)


def plan(job: Job[Options]) -> None:
    """Train, judge, write the artefact."""
    options = job.options
    if options.backbone not in ("", LITE0):
        raise Mistake(f"got backbone {options.backbone!r}, expected {LITE0!r} or none")
    if options.verifier_only:
        return _plan_verifier(job)
    (_plan_joint if options.backbone else _plan_small)(job)


def _plan_small(job: Job[Options]) -> None:
    """The small network, on crops."""
    options, start = job.options, perf_counter()
    config = DeepBitConfig(size=SIDE)
    model = train(options, config, Preprocessing(SIDE))
    spent = {"wall": round(perf_counter() - start), "cpu": round(cpu_seconds())}
    about = {"config": asdict(config), "preprocessing": Preprocessing(SIDE).metadata(), "threshold": 0.0}
    metadata = {**judged_metadata(job, model, about, options), "seconds": spent}
    text = small_card(metadata, command_of("train_features", options))
    _promote(job, options.artefact or SMALL, model, metadata, text)


def _plan_joint(job: Job[Options]) -> None:
    """Train the code of whole pictures beside that of crops; with a shop's pictures, promote it only if it is better
    there than the one in use."""
    options, start = job.options, perf_counter()
    crop = options.start or artefact_uri(job.settings.models, SMALL)
    shop, cache = (Path(text) if text else None for text in (options.catalogue, options.cache))
    wanted = Wanted(options.pictures, _COMPARED, shop, cache, crop, options.workers)
    name = options.artefact or JOINT
    in_use = _in_use(artefact_uri(job.settings.models, name)) if shop else None
    joint = train_joint(wanted, _head_training(options))
    spent = {"wall": round(perf_counter() - start), "cpu": round(cpu_seconds())}
    if joint.shop and in_use and not _is_better(job, joint, joint.shop, in_use):
        return
    told = replace(options, cache="")  # where features were kept changes nothing in them
    metadata = judged_metadata(job, joint.model, joint.metadata, told)
    metadata |= {"seconds": spent, "comparison": joint.comparison, "views": joint.views}
    text = joint_card(metadata, command_of("train_features", told))
    _promote(job, name, joint.model, metadata, text, joint.backbone)


def _plan_verifier(job: Job[Options]) -> None:
    """Give an artefact another verifier: a new version, since it verifies pairs differently. Nothing is promoted if the
    verifier in use is better."""
    options = job.options
    usual = options.artefact or (JOINT if options.backbone else SMALL)
    uri = options.start or artefact_uri(job.settings.models, usual)
    artefact = load_artefact(uri)
    is_joint = bool(artefact.metadata.get("whole"))
    if options.backbone and not is_joint:
        raise Mistake(f"got {uri}, which codes only crops, with a backbone; leave --start out, or name a joint one")
    told = {**artefact.metadata, "verified": command_of("train_features", options)}
    in_use = verifier_from(artefact.metadata["verifier"])
    metadata = told | judged_metadata(job, artefact.model, told, options, in_use) | {"options": told.get("options", {})}
    now, before = metadata["scores"]["deepbit"]["f1"], metadata.pop("f1_before")
    job.note("verifier", {"f1": now, "f1_before": before})
    if now < before:
        job.warn(f"pairs are told apart less well: F1 {now:.4f}, before {before:.4f}; nothing was promoted")
        return
    text = (joint_card if is_joint else small_card)(metadata, _command_before(metadata))
    name = options.artefact or (JOINT if is_joint else SMALL)
    _promote(job, name, artefact.model, metadata, text, backbone_of(uri))


def _command_before(metadata: dict[str, Any]) -> str:
    """The command that made the weights of an artefact, as its options say."""
    known = {option.name for option in fields(Options)}
    given = {"detector": NO_DETECTOR} | metadata["options"]  # before there was the option, none cut what was judged
    return command_of("train_features", Options(**{name: value for name, value in given.items() if name in known}))


def _head_training(options: Options) -> HeadTraining:
    return HeadTraining(steps=options.steps or HeadTraining.steps, seed=options.seed)


def _in_use(uri: str) -> Module | None:
    """The joint model that another is compared with; None where there is none yet.

    Raises:
        Mistake: that artefact is not a joint model.
    """
    try:
        model = load_artefact(uri).model
    except FileNotFoundError:
        return None
    head_of(model)
    return model


def _is_better(job: Job[Options], joint: Joint, shop: PooledViews, in_use: Module) -> bool:
    """Whether the model finds the shop's held-out pictures better than the model in use."""
    before, now = score_of_shop(in_use, shop), score_of_shop(joint.model, shop)
    job.note("shop", {"map": now, "map_before": before})
    if now <= before:
        job.warn(f"the shop's pictures are found no better: mAP {now:.4f}, before {before:.4f}; nothing was promoted")
    return now > before


def _promote(
    job: Job[Options], name: str, model: Module, metadata: dict[str, Any], text: str, backbone: Backbone | None = None
) -> None:
    """Save the artefact, unless it scores too badly."""
    found = float(metadata["scores"]["deepbit"]["map"])
    if found < job.options.least_map:
        raise ValueError(f"the codes' mAP is {found:.3f}, expected at least {job.options.least_map}; train longer")
    folder = local_folder(job.settings.models) / name
    version = save_artefact(folder, model, metadata, text, backbone=backbone)
    job.note("scores", metadata["scores"])
    job.note("version", version)
    logger.info("%s: version %s, mAP %.3f", folder, version[:12], found)


def _detector(job: Job[Options]) -> str:
    """The detector that cuts the pictures to judge on, with its version; empty if there is none.

    Raises:
        FileNotFoundError: no detector has the given name.
    """
    asked, usual = job.options.detector, DetectorOptions.detector
    if asked == NO_DETECTOR:
        return ""
    if asked or usual in names(job.settings.models):
        return job.pinned_artefact("", asked or usual)
    job.warn(
        f"there is no detector {usual!r} in {job.settings.models}: the verifier learns from pictures cut near their "
        f"true boxes"
    )
    return ""


def judged_metadata(
    job: Job[Options], model: Module, about: dict[str, Any], options: Options, in_use: Verifier | None = None
) -> dict[str, Any]:
    """The artefact's metadata about the network: its input, its verifier, its scores on a held-out catalogue.

    about: preprocessing, threshold and whatever else is known about the network.
    in_use: a verifier to compare with; its F1 on the same pictures is `f1_before`.
    """
    extractor, detector = extractor_of(model, about, "unsaved"), _detector(job)
    uri = artefact_uri(job.settings.models, detector) if detector else ""
    judge = partial(judged_catalogue, side=HASH_SIDE, workers=options.workers, detector=uri)
    verifier = learn_verifier(extractor, judge(DEVELOPMENT_SEED, 2 * options.judged))
    held_out = judge(HELD_OUT_SEED, options.judged)
    before = {"f1_before": evaluate(extractor, in_use, held_out)["deepbit"]["f1"]} if in_use else {}
    return {
        **before,
        "kind": "deepbit",
        **about,
        "verifier": asdict(verifier),
        "judged_with": detector,
        "scores": evaluate(extractor, verifier, held_out),
        "options": asdict(options),
    }


if __name__ == "__main__":
    runner.run("train_features", plan, Options)
