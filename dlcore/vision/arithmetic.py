"""The arithmetic of an artefact's network; it is part of the metadata, so that another arithmetic is another
version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dlcore.errors import ModelFormatError
from dlcore.inference import Calibration, Plan, compile
from dlcore.inference.calibration import FORMAT, calibration_of
from dlcore.inference.precision import effective
from dlcore.nn.module import Module

ARITHMETIC = "arithmetic"
"""The place in the metadata; an artefact without it computes in fp32."""


def described(precision: str, calibration: Calibration | None) -> dict[str, Any]:
    """The entry in the metadata. effective: what the precision is on this machine."""
    ranges = None if calibration is None else {"format": FORMAT, **asdict(calibration)}
    return {"precision": precision, "effective": effective(precision), "calibration": ranges}


def require_fp32(metadata: Mapping[str, Any], uri: str) -> None:
    """Refuse the artefact at `uri` if it computes in few bits.

    Raises:
        ValueError: it does.
    """
    if (found := metadata.get(ARITHMETIC)) is not None:
        raise ValueError(
            f"{uri}: got a version in {found['precision']}, expected one in fp32; name it as NAME@VERSION, "
            "or promote it"
        )


def plan_of(model: Module, metadata: Mapping[str, Any], shape: Sequence[Any]) -> Plan:
    """The network of an artefact for inputs of `shape`, in its own arithmetic.

    Without VNNI, whole numbers of eight bits have fewer levels, and without AVX-512 there is no bf16. A version made
    for one kind of CPU is refused on the other, where it would give other results. bf16 is accepted on every CPU that
    has it, faster or not.

    Raises:
        ModelFormatError: the metadata name an arithmetic that this model, or this CPU, does not have.
    """
    if (found := metadata.get(ARITHMETIC)) is None:
        return compile(model, shape)
    try:
        ranges, here = found["calibration"], effective(found["precision"])
        if found["effective"] != here:
            raise ValueError(
                f"it was made for CPUs that compute {found['effective']}, this one computes {here}; "
                "run it on such CPUs, or make a version here with lower_precision"
            )
        calibration = None if ranges is None else calibration_of(ranges)
        return compile(model, shape, found["precision"], calibration=calibration, force=True)
    except (TypeError, ValueError, LookupError) as error:
        raise ModelFormatError(f"got metadata with an arithmetic that cannot be used ({error})") from error
