"""Train a network on pictures of the lake, as a file says: docs/train_model.toml is an example.

python -m spark_jobs.train_model --run mine --config docs/train_model.toml --remote "$PIPELINE_CONNECT_URL"

With a connection of type `spark` the training is distributed over the session's workers, else it runs in processes
beside the job. After a kill, the same command goes on from the latest checkpoint.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcore.interop.artefact import bring, metadata_of, promote, save_artefact
from dlcore.nn.module import Module
from dlcore.stored_file import place_of
from spark_jobs.mistakes import Mistake
from spark_jobs.running import inputs, runner
from spark_jobs.running.runner import Job
from spark_jobs.settings import artefact_uri
from spark_jobs.training.labelled_pictures import Labelled, datasets, labelled
from spark_jobs.training.model_training import ModelTraining, TrainingFolder, is_distributed
from spark_jobs.training_config import TrainingConfig, load_config

logger = logging.getLogger(__name__)

KIND = "trained"
"""What the metadata of these artefacts have as `kind`."""
_CARD = """# {artefact}: {model}, trained on pictures of the lake

Learnt {aim} from {training:,} pictures of `{dataset}`; judged on {validation:,} pictures of other products.

| score | |
|-|-|
{scores}

`model.json` has the config, the classes in the order of the outputs, and how pixels become the input.
"""


@dataclass(frozen=True)
class Options:
    """What is trained."""

    config: str = field(metadata={"help": "path or URI of a TOML file, such as docs/train_model.toml"})


def plan(job: Job[Options]) -> None:
    """Find the pictures, train, save the artefact."""
    config = load_config(job.options.config)
    uri = artefact_uri(job.settings.models, config.artefact)
    _check_free(uri)
    spread = is_distributed(job.spark)  # then records come in another order, which no other kind can go on with
    if spread and config.made_method().evaluates_again:
        raise Mistake(
            f"[method] got {config.method}, which looks at the loss several times in a step, on a cluster; "
            "take another method, or a connection of type spark_connect"
        )
    stage = replace(job.stage, reads=datasets(config.rows))
    job.record.inputs.update(inputs.pinned_together(job.spark, job.settings, stage))
    data = labelled(job, config)
    job.note("pictures", {"training": data.count(False), "validation": data.count(True), "left_out": data.left_out})
    training = f"{config.digest()}-{data.digest}{'-distributed' if spread else ''}"
    with TrainingFolder.opened(f"{job.settings.trainings}/{config.artefact}/{training}") as folder:
        job.note("folder", folder.uri)
        job.note("distributed", spread)
        done = folder.done()
        if done.get("run") != job.run:
            model, scores = ModelTraining(job, config, data, folder).run()
            done = {"run": job.run, "scores": scores, "version": _save(uri, model, config, data, scores)}
            folder.end(done)
    job.note("scores", done["scores"])
    job.note("version", done["version"])
    logger.info("%s: version %s, %s", uri, done["version"][:12], done["scores"])


def _check_free(uri: str) -> None:
    """Raise Mistake if the name stands for a model of another kind: the pipeline must not lose its detector."""
    try:
        kind = metadata_of(uri).get("kind", "another")
    except FileNotFoundError:
        return
    if kind != KIND:
        raise Mistake(f"{uri} is an artefact of kind {kind!r}; take another name as `artefact`")


def _save(uri: str, model: Module, config: TrainingConfig, data: Labelled, scores: dict[str, float]) -> str:
    """Save a version of the artefact, let its name stand for it, and return it.

    Nothing in it depends on when or how often it was trained.
    """
    metadata: dict[str, Any] = {
        "kind": KIND,
        "classes": list(data.classes) if config.is_labelled else [],
        "preprocessing": config.preprocessing.metadata(),
        "config": config.values(),
        "pictures": {"training": dict(data.training), "validation": dict(data.validation)},
        "rows": data.digest,
        "scores": scores,
    }
    card, place = _card(config, data, scores), place_of(uri)
    if isinstance(place, Path):
        return str(save_artefact(place, model, metadata, card, half=False))
    with tempfile.TemporaryDirectory() as folder:
        version = str(save_artefact(Path(folder, config.artefact), model, metadata, card, half=False))
        bring(Path(folder, config.artefact), uri)
    promote(uri, version)
    return version


def _card(config: TrainingConfig, data: Labelled, scores: dict[str, float]) -> str:
    return _CARD.format(
        artefact=config.artefact,
        model=config.model,
        aim=f"{len(data.classes)} classes" if config.is_labelled else "to restore them",
        training=data.count(False),
        dataset=config.rows.dataset,
        validation=data.count(True),
        scores="\n".join(f"| {name} | {value:.4f} |" for name, value in scores.items()),
    )


if __name__ == "__main__":
    runner.run("train_model", plan, Options)
