"""Check what a job, or a whole DAG run, was asked for, before any session is opened or any row is read.

A job checks its own options. The first job of a DAG run gets the params of the run as well (`--request`) and checks
those of the later jobs with them, so that a wrong detector is found before the day's images are read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from spark_jobs.mistakes import Mistake, NothingYet, nearest
from spark_jobs.pipeline import FEATURE_EXTRACTION, IMAGE_PIPELINE, SCHEDULED, STAGES, Stage
from spark_jobs.running.command_line import Attempt, DetectorOptions, ExtractorOptions
from spark_jobs.settings import Settings, artefact_uri

logger = logging.getLogger(__name__)

OUR_DAGS = frozenset({FEATURE_EXTRACTION, *(stage.dag for stage in STAGES.values())})
OF_EVERY_RUN = frozenset({"day", "allow_empty"})
"""Params of a DAG run that are not options of a job."""
_DEFAULTS = {"detector": DetectorOptions.detector, "extractor": ExtractorOptions.extractor}
_DEFAULT_NAMESPACE = "default:"
"""HBase lists the tables of this namespace without its name, and finds them with it."""
_FOREIGN_TABLE = "day_column"
"""Options of read_images that show that the table has another layout than the pipeline's own."""

Given = Mapping[str, Any]


def check_request(stage: Stage, attempt: Attempt, options: Any, settings: Settings) -> None:
    """Check that what was asked for exists.

    options: the job's own, a dataclass.

    Raises:
        Mistake: it does not; the message names the nearest that does.
        NothingYet: the run is of the schedule, and its day has no images.
    """
    asked = _asked(stage, attempt)
    given = {**_DEFAULTS, "codes": attempt.codes, **(asked or {}), **vars(options)}
    given |= {
        "day": attempt.date(),
        "allow_empty": attempt.allow_empty,
        "is_scheduled": attempt.run.startswith(SCHEDULED),
    }
    wanted = {"codes", *vars(options)} | (_options_of_run(stage, attempt) if asked is not None else set())
    for name, check in CHECKS.items():
        if name in wanted:
            check(settings, given)


def _asked(stage: Stage, attempt: Attempt) -> dict[str, Any] | None:
    """The params of the DAG run that are set; None for a job that got none.

    A DAG of somebody else that uses these stages has params of its own, which are not known here.
    """
    if not attempt.request:
        return None
    asked = json.loads(attempt.request)
    known = _options_of_run(stage, attempt) | OF_EVERY_RUN
    for name in asked if (attempt.dag or stage.dag) in OUR_DAGS else ():
        if name not in known:
            raise Mistake(f"got the param {name!r}, {nearest(name, known)}")
    return {name: value for name, value in asked.items() if value is not None}


def _options_of_run(stage: Stage, attempt: Attempt) -> set[str]:
    dag = attempt.dag or stage.dag
    stages = [each for each in STAGES.values() if each.dag == dag] or [stage]
    return {option for each in stages for option in each.options}


def _check_codes(settings: Settings, given: Given) -> None:
    if given.get("codes"):
        try:
            settings.with_codes(given["codes"])
        except ValueError as error:
            raise Mistake(str(error)) from None


def _check_table(settings: Settings, given: Given) -> None:
    """Check the HBase table and that it has rows of the day; if no gateway answers, the scan will say so."""
    from spark_jobs.hbase.contents import has_day, table_names
    from spark_jobs.hbase.scan import HBaseError
    from spark_jobs.hbase.source import has_rows

    table, day = given.get("table") or settings.hbase_table, given["day"]
    with suppress(HBaseError):
        known = table_names(settings)
        if table.removeprefix(_DEFAULT_NAMESPACE) not in known:
            if given.get("table"):
                raise Mistake(f"HBase has no table {table!r}; {nearest(table, known)}")
            return  # before the first image is loaded this is no mistake
        if day is None or given["allow_empty"] or given.get(_FOREIGN_TABLE) or not has_rows(settings, table):
            return
        if not has_day(settings, table, day):
            if given["is_scheduled"]:
                raise NothingYet(no_images(day, table))
            raise Mistake(no_rows(day, f"HBase table {table!r}"))


def no_images(day: date, table: str) -> str:
    """What to say of a day without images that the schedule asked for: shops have such days."""
    return (
        f"HBase table {table!r} has no image of {day}, so this scheduled run has nothing to do; when there are some: "
        f'airflow dags trigger {IMAGE_PIPELINE} --conf \'{{"day": "{day}"}}\''
    )


def no_rows(day: date | None, where: str) -> str:
    """The message about a day, or all days, without rows."""
    return (
        f"no rows for {f'day {day}' if day else 'any day'} in {where}; check the day, or pass allow_empty if it is "
        f"meant to be empty"
    )


def _check_artefact(settings: Settings, given: Given, kind: str) -> None:
    from dlcore.interop.artefact import names, pinned, versions
    from spark_jobs.stages.detect import NO_DETECTOR

    name, models = given[kind], given.get("models") or settings.models
    if kind == "detector" and name in (NO_DETECTOR, ""):
        return
    plain, at, version = name.partition("@")
    uri = artefact_uri(models, plain)
    try:
        known = versions(uri) if at else []
        if not known:  # of one that is named by its version, the current one may be damaged
            pinned(uri)
    except FileNotFoundError:
        raise Mistake(f"there is no {kind} {name!r} in {models}; {nearest(plain, names(models))}") from None
    except (ValueError, ImportError) as error:  # a damaged artefact, or a URI of no kind that fsspec knows
        raise Mistake(f"{kind} {name!r} in {models}: {error}") from error
    if at and version not in known:
        raise Mistake(f"{kind} {plain!r} in {models} has no version {version}; {nearest(version, known)}")


def _check_detector(settings: Settings, given: Given) -> None:
    _check_artefact(settings, given, "detector")


def _check_extractor(settings: Settings, given: Given) -> None:
    """Check the extractor that was asked for, or that of the codes in use, and the published weights it builds on."""
    from dlcore.interop.artefact import missing_weights
    from spark_jobs.stages.extractors import extractor_in_use

    models, of_set = given.get("models") or settings.models, given.get("codes")
    in_use = extractor_in_use(settings.with_codes(of_set) if of_set else settings, models)
    name = given["extractor"] or in_use or _usual_extractor(models)
    _check_artefact(settings, {**given, "extractor": name}, "extractor")
    if missing := missing_weights(artefact_uri(models, name)):
        raise Mistake(f"extractor {name!r} builds on published weights that are missing here: {missing.remedy()}")


def _usual_extractor(models: str) -> str:
    """The extractor of a new set of codes; where the folder or the artefact cannot be read, the name to be told of."""
    from spark_jobs.stages.extractors import SHIPPED, usual_extractor

    try:
        return usual_extractor(models)[0]
    except (ValueError, ImportError):
        return SHIPPED


def _check_placeholders(settings: Settings, given: Given) -> None:
    from spark_jobs.stages.placeholders import read_placeholders

    uri = given.get("placeholders") or settings.placeholders
    try:
        read_placeholders(uri)
    except (FileNotFoundError, ValueError, ImportError) as error:
        raise Mistake(f"placeholders {uri!r}: {error}") from None


def _check_truth(settings: Settings, given: Given) -> None:
    if given.get("truth") and not Path(given["truth"]).is_file():
        raise Mistake(f"there is no truth file {given['truth']!r}, expected a file with one line of JSON per image")


def _check_config(settings: Settings, given: Given) -> None:
    """Check the file that says what is trained; in a DAG run without one, other models are trained."""
    from spark_jobs.training_config import load_config

    if given.get("config"):
        load_config(given["config"])


CHECKS: Mapping[str, Callable[[Settings, Given], None]] = {
    "codes": _check_codes,
    "truth": _check_truth,
    "config": _check_config,
    "detector": _check_detector,
    "extractor": _check_extractor,
    "placeholders": _check_placeholders,
    "table": _check_table,
}
"""Option -> how to check that what it names exists; the quickest check first."""
