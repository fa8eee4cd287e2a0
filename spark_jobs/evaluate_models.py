"""Score the models on generated pictures that no training has seen, or score what a run has published against a truth
file.

    python -m spark_jobs.evaluate_models --run manual --attempt 1
    python -m spark_jobs.evaluate_models --run manual --attempt 1 --truth truth.jsonl

The extractor is the one that is asked for, else that of the codes in use; in a run of the DAG `model_training`, the one
that it has trained and promoted.

A truth file has one JSON line per image: day, key, boxes, labels, group (sample_data/catalogue/demo.py writes one);
pairs that must not share a group may stand in `look_alikes.jsonl` beside it. The second form needs the Spark Connect
server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dlcore.interop.artefact import load_artefact, name_of, with_version
from dlcore.vision.detection_score import mean_average_precision
from dlcore.vision.detector import load_detector
from dlcore.vision.extractor import HASH_SIDE, load_extractor
from sample_data.catalogue.demo import HELD_OUT_SEED
from spark_jobs.mistakes import Mistake
from spark_jobs.pipeline import MODEL_TRAINING
from spark_jobs.run_reports.reading import report_of
from spark_jobs.running import runner
from spark_jobs.running.command_line import DetectorOptions, ExtractorOptions
from spark_jobs.running.extractors import pinned_extractor
from spark_jobs.running.runner import Job
from spark_jobs.scoring.evaluation import Address, Truth, read_look_alikes, read_truth
from spark_jobs.scoring.published_scores import found_objects, score_published
from spark_jobs.scoring.report_scores import score_published_reports
from spark_jobs.settings import artefact_uri
from spark_jobs.stages.calibration import verifier_from
from spark_jobs.training.detection_training import catalogue_test_set
from spark_jobs.training.feature_judging import evaluate, judged_catalogue

logger = logging.getLogger(__name__)

_FEATURES = ("bits", "entropy_mean", "recall_at_10", "map")
_DUPLICATES = ("precision", "recall", "f1", "false_merges", "by_transform", "look_alikes_grouped")


@dataclass(frozen=True)
class Options(DetectorOptions, ExtractorOptions):
    """What is scored, and against what."""

    truth: str = field(default="", metadata={"help": "truth file of a published run; by default held-out pictures"})
    pictures: int = field(default=600, metadata={"help": "number of held-out pictures to draw"})
    workers: int = field(default=2, metadata={"help": "number of processes that draw them"})


def plan(job: Job[Options]) -> None:
    """Score, report, log."""
    scores = _published(job) if job.options.truth else _held_out(job)
    for name, value in scores.items():
        job.note(name, value)
    for part in ("detector", "features", "duplicates"):
        numbers = {name: value for name, value in scores[part].items() if isinstance(value, int | float)}
        logger.info("%s: %s", part, ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))


def check_match(truth: Sequence[Truth], published: Collection[Address], warn: Callable[[str], None]) -> None:
    """Warn of images in a truth file that have not been published: scores of nothing would look perfect.

    Raises:
        Mistake: none has.
    """
    missing = [row.address for row in truth if row.address not in published]
    if not missing and truth:
        return
    first = " ".join(missing[0]) if missing else "it has no line"
    if len(missing) == len(truth):
        example = " ".join(min(published)) if published else "nothing has been published"
        raise Mistake(
            f"none of the {len(truth)} images of the truth file has been published ({first}); expected days and "
            f"keys such as {example}"
        )
    warn(f"{len(missing)} of {len(truth)} images of the truth file have not been published, the first {first}")


def _artefact(job: Job[Options], name: str) -> str:
    return artefact_uri(job.options.models or job.settings.models, name)


def _published(job: Job[Options]) -> dict[str, Any]:
    """Scores of what the lake has."""
    from spark_jobs.scoring.published import lake, read_published

    truth = Path(job.options.truth)
    with lake(job.settings) as spark:
        published = read_published(spark, job.settings)
    known = read_truth(truth)
    check_match(known, published.detections, job.warn)
    extractor = load_extractor(published.made_by(job.options.models or job.settings.models, job.options.extractor))
    look_alikes = read_look_alikes(truth.with_name("look_alikes.jsonl"))
    scores = score_published(published, known, look_alikes, extractor)
    return scores | score_published_reports(published, truth, known)


def _held_out(job: Job[Options]) -> dict[str, Any]:
    """Scores of the artefacts on a generated catalogue that no training or threshold has seen."""
    options = job.options
    asked = options.extractor or trained_extractor(job)
    uri = _artefact(job, pinned_extractor(job, options.models or job.settings.models, asked))
    verifier = verifier_from(load_artefact(uri).metadata["verifier"])
    cutter = _artefact(job, options.detector)
    judged = judged_catalogue(HELD_OUT_SEED, options.pictures, HASH_SIDE, options.workers, detector=cutter)
    scores = evaluate(load_extractor(uri), verifier, judged)
    ours = scores.pop("deepbit")
    return {
        "detector": _score_detector(job),
        "features": {name: ours[name] for name in _FEATURES},
        "duplicates": {name: ours[name] for name in _DUPLICATES},
        "baselines": scores,
    }


def trained_extractor(job: Job[Options]) -> str:
    """The extractor that this run of `model_training` has promoted, as name@version; empty if there is none."""
    if job.attempt.dag != MODEL_TRAINING:
        return ""
    trained = report_of(job.settings.reports, "train_features", None, job.run) or {}
    version = str(trained.get("extra", {}).get("version", ""))
    name = name_of(job.settings.models, version) if version else None
    return with_version(name, version) if name else ""


def _score_detector(job: Job[Options]) -> dict[str, Any]:
    """mAP@0.5 of the detector."""
    options = job.options
    detector = load_detector(_artefact(job, options.detector))
    test = catalogue_test_set(HELD_OUT_SEED, options.pictures, detector.settings.preprocessing.resize, options.workers)
    numbers = {name: number for number, name in enumerate(detector.settings.classes)}
    found = [[asdict(thing) for thing in seen.guesses] for seen in detector.find(list(test.pixels))]
    score = mean_average_precision([found_objects(objects, numbers) for objects in found], test.truth)
    return {"map50": score.map, "classes": {detector.settings.classes[n]: ap for n, ap in score.per_class.items()}}


if __name__ == "__main__":
    runner.run("evaluate_models", plan, Options)
