"""Optimisation methods in files: arguments, schedule and state in one .npz; no pickle, and only classes that are
registered."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

import dlcore.optim.adaptive
import dlcore.optim.lbfgs  # noqa: F401  (register the methods)
from dlcore.activity import Array
from dlcore.errors import CheckpointError
from dlcore.optim.archive import read_archive, write_archive
from dlcore.optim.method import OptimMethod
from dlcore.optim.schedule import Schedule, SequentialSchedule

FORMAT = 1


def save_method(method: OptimMethod, path: Path, overwrite: bool) -> None:
    """Write `method` as it is: what is loaded goes on exactly.

    Raises:
        FileExistsError: there is a file and not `overwrite`.
        TypeError: an argument of the method cannot be written to a file.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: got a path that exists, expected a new one; pass overWrite=True to replace it")
    arrays = {f"slot/{name}": value for name, value in method.slots.items()}
    arguments: dict[str, Any] = {}
    for name, given in method.hyper_parameters().items():
        value = given.item() if isinstance(given, np.generic) else given
        if isinstance(value, Schedule):
            arguments[name] = {"schedule": _described(value)}
        elif isinstance(value, np.ndarray):
            arrays[f"argument/{name}"] = value
        elif value is None or isinstance(value, (bool, int, float, str, dict)):
            arguments[name] = value
        else:
            raise TypeError(
                f"{type(method).__name__}: got {name} of type {type(value).__name__}, expected a number, text, a "
                f"dict, an array or "
                "a schedule; such a method cannot be saved"
            )
    facts = {"format": FORMAT, "arguments": arguments, "state": method.state(), "rate": method.current_rate}
    write_archive(path, facts, arrays)


def load_method(path: Path) -> OptimMethod:
    """The method of a file.

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: it is damaged, of another format, or of a method that is not known.
    """
    facts, arrays = read_archive(path, "method")
    if facts.get("format") != FORMAT or not isinstance(facts.get("arguments"), dict):
        raise CheckpointError(
            f"{path}: got format {facts.get('format')}, expected {FORMAT}, of a method that was saved"
        )
    try:
        kind = OptimMethod.registry.find(str(facts["state"]["method"]))
        arguments: dict[str, Any] = {name: _built(value) for name, value in facts["arguments"].items()}
        arguments |= _named(arrays, "argument/")
        _require_types(kind, arguments)
        method = kind(**arguments)
        method.restore(facts["state"], _named(arrays, "slot/"))
        method.current_rate = float(facts["rate"])
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path}: got a method that cannot be built: {error}") from error
    return method


def _named(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _described(schedule: Schedule) -> dict[str, Any]:
    kept = {f.name: getattr(schedule, f.name) for f in fields(schedule) if f.init and f.name != "bigdl_type"}
    described: dict[str, Any] = {"type": Schedule.registry.key(type(schedule)), "arguments": kept}
    if isinstance(schedule, SequentialSchedule):
        described["parts"] = [[_described(part), steps] for part, steps in schedule.parts]
    return described


def _built(value: Any) -> Any:
    if not isinstance(value, dict) or set(value) != {"schedule"}:
        return value
    described = value["schedule"]
    kind = Schedule.registry.find(str(described["type"]))
    _require_types(kind, described["arguments"])
    schedule = kind(**described["arguments"])
    if isinstance(schedule, SequentialSchedule):
        for part, steps in described.get("parts", []):
            if not isinstance(steps, int):
                raise TypeError(f"SequentialSchedule: got {steps!r:.40} steps, expected a whole number")
            schedule.add(_built({"schedule": part}), steps)
    return schedule


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "None": (type(None),),
    "Schedule": (Schedule,),
    "Array": (np.ndarray,),
}


def _require_types(kind: type[Any], arguments: dict[str, Any]) -> None:
    """Refuse arguments of other types than `kind` declares, as far as these are plain ones."""
    declared = {f.name: str(f.type).split(" | ") for f in fields(kind)}
    for name, value in arguments.items():
        names = declared.get(name, [])
        allowed = tuple(each for part in names for each in _TYPES.get(part, (object,)))
        is_wrong = isinstance(value, bool) and "bool" not in names and "object" not in names
        if names and (is_wrong or not isinstance(value, allowed)):
            raise TypeError(f"{kind.__name__}: got {name} {value!r:.40}, expected {' or '.join(names)}")
