"""What an artefact's network computes in: part of its metadata, so that another arithmetic is another version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dlcore.errors import ModelFormatError
from dlcore.inference import Calibration, Plan, compile
from dlcore.inference.calibration import FORMAT, calibration_of
from dlcore.nn.module import Module

ARITHMETIC = "arithmetic"
"""The place in the metadata; an artefact without it computes in fp32."""


def described(precision: str, calibration: Calibration | None) -> dict[str, Any]:
    """The entry of the metadata."""
    ranges = None if calibration is None else {"format": FORMAT, **asdict(calibration)}
    return {"precision": precision, "calibration": ranges}


def plan_of(model: Module, metadata: Mapping[str, Any], shape: Sequence[Any]) -> Plan:
    """The network of an artefact for inputs of `shape`, in its own arithmetic.

    bf16 is taken on every CPU that has it, faster or not: what a version computes should not depend on that.

    Raises:
        ModelFormatError: the metadata say what is no arithmetic of this model.
    """
    if (found := metadata.get(ARITHMETIC)) is None:
        return compile(model, shape)
    try:
        ranges = found["calibration"]
        calibration = None if ranges is None else calibration_of(ranges)
        return compile(model, shape, found["precision"], calibration=calibration, force=True)
    except (TypeError, ValueError, LookupError) as error:
        raise ModelFormatError(f"got metadata with an arithmetic that cannot be used ({error})") from error
