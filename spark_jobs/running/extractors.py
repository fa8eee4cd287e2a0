"""Choose the extractor of a job: a set of codes keeps the one it has."""

from __future__ import annotations

from typing import Any

from spark_jobs.running.runner import Job
from spark_jobs.stages.extractors import SHIPPED, extractor_in_use, usual_extractor


def pinned_extractor(job: Job[Any], models: str, asked: str) -> str:
    """The extractor's name with its version: the requested one, else that of the codes in use, else the shipped one.

    models: URI of the folder of artefacts.   asked: name or name@version; empty for none.

    Raises:
        FileNotFoundError: there is no such artefact.
    """
    name = asked or extractor_in_use(job.settings, models)
    if not name:
        name, missing = usual_extractor(models)
        if missing:
            job.warn(f"{name} makes the codes, since weights that {SHIPPED} builds on are missing: {missing.remedy()}")
    return job.pinned_artefact(models, name)
