"""Params that several DAGs have in their trigger forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import Param

from spark_jobs.settings import Settings

_NAME_OF_CODES = r"^[a-z0-9_]+$"
_LOCAL = "file://"
_WHOLE, _FROM_ONE, _DECIMAL, _SHARE = (
    r"^[0-9]+$",
    r"^0*[1-9][0-9]*$",
    r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)$",
    r"^(0|0?\.[0-9]+|1(\.0*)?)$",
)


def number_param(
    default: float | None,
    *,
    title: str,
    description: str,
    example: str = "",
    least: float = 0,
    most: float | None = None,
    whole: bool = True,
) -> Param:
    """A param for a number, which the form takes as text; Airflow refuses any other text, and says why.

    A number field of the form would silently change a value out of range to the nearest allowed one, and a word to
    nothing. Airflow only checks that the text is a number; the job refuses a number out of range. With a default of
    None, the field may stay empty.
    """
    kinds = [*(["null"] if default is None else []), "string", "integer" if whole else "number"]
    text = (_FROM_ONE if least >= 1 else _WHOLE) if whole else (_SHARE if most == 1 else _DECIMAL)
    bounds: dict[str, Any] = {"minimum": least, **({} if most is None else {"maximum": most})}
    # Without an example the form takes a value of several kinds for a text of several lines.
    bounds["examples"] = [example or str(default)]
    return Param(default, type=kinds, pattern=text, title=title, description=description, **bounds)


def artefacts() -> list[str]:
    """The names of the models in the setting's folder, if that is on this machine: a DAG file must not wait for a
    store."""
    models = Settings.from_environment().models
    if not models.startswith(_LOCAL):
        return []
    return sorted(path.parent.name for path in Path(models.removeprefix(_LOCAL)).glob("*/model.json"))


DAY = Param(
    None,
    type=["null", "string"],
    format="date",
    title="Day",
    description="The day to process. Empty: the day of the run's data interval, or yesterday for a run by hand.",
)
REQUIRED_DAY = Param(
    type="string",
    format="date",
    title="Day",
    description="The day, as YYYY-MM-DD.",
)
MODELS = Param(
    None,
    type=["null", "string"],
    title="Models",
    description="Where the models are, as a URI. Empty: the setting PIPELINE_MODELS.",
)
DETECTOR = Param(
    None,
    type=["null", "string"],
    title="Detector",
    examples=["none", *artefacts()],
    description="Name of the detector under the models, or name@version. `none`: whole images are coded. Empty: the "
    "shipped one.",
)
EXTRACTOR = Param(
    None,
    type=["null", "string"],
    title="Extractor",
    examples=artefacts(),
    description="Name of the model that computes the codes, under the models, or name@version. Empty: that of the "
    "codes in use, else the shipped one.",
)
CODES = Param(
    None,
    type=["null", "string"],
    pattern=_NAME_OF_CODES,
    title="Codes",
    description="Name of a set of codes beside the one in use, made by the DAG feature_extraction. Empty: the set in "
    "use.",
)
NEW_CODES = Param(
    "next",
    type="string",
    pattern=_NAME_OF_CODES,
    title="Codes",
    description="Name of the new set of codes; its tables are features_<name> and duplicates_<name>.",
)
