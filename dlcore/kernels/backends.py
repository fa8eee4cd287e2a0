"""Decide which backend computes which operation: a table, made once from what is installed and what the settings
say."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from dlcore.errors import DlcoreError
from dlcore.kernels.interface import OPERATIONS

logger = logging.getLogger(__name__)

Operation: TypeAlias = Callable[..., Any]
Functions: TypeAlias = dict[str, Operation]
Table: TypeAlias = dict[str, tuple[str, Operation]]
"""Operation -> (backends joined by '+', function)."""

PAIRS = {
    name: f"{name}_backward" for name in ("max_pool", "avg_pool", "batch_norm", "layer_norm", "lrn", "lstm", "gru")
}
"""Operations that pass something on through `saved`, their last result: the backend that made it also takes it back."""

FASTEST = ("onednn", "native", "mkl", "reference")
"""The order in which `auto` asks backends for an operation. A backend's SUITS, operation -> condition on the arguments,
limits what it takes."""

FASTEST_FOR: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("conv", "conv_grad_x", "conv_grad_w"), ("native", "onednn", "mkl", "reference")
)
"""Other orders, by operation: Winograd before oneDNN."""


_SINGLE = {np.dtype(np.float32)}

OF_ONE_TYPE = ("nms", *(name for name in OPERATIONS if name.startswith("hamming")))
"""Operations whose results are whole numbers, whatever the type of the floats. The others give float64 for float64: see
`_by_type`."""

IN_PLACE = ("sgd", "adam", "rmsprop", "add_rows")
"""Operations that change arrays, so that these may not be copied: a backend takes their types, or its SUITS sends them
on."""

AS_GIVEN = (*OF_ONE_TYPE, *IN_PLACE, "bernoulli", "masked")
"""Operations whose arrays are handed on in their own types."""


class BackendUnavailableError(DlcoreError, ImportError):
    """A backend cannot run here: its library is missing or this CPU lacks the instructions. The message says why."""


def load(name: str) -> ModuleType:
    """The module of backend `name`, its library loaded by its `library()` if it has one.

    Raises:
        BackendUnavailableError: it cannot run here.
    """
    module = importlib.import_module(f"dlcore.kernels.{name}")
    try:
        getattr(module, "library", object)()
    except DlcoreError as error:
        raise BackendUnavailableError(f"kernels of {name!r} cannot run here: {error}") from error
    return module


def _operations(name: str) -> Functions:
    module = load(name)
    return {operation: getattr(module, operation) for operation in OPERATIONS if hasattr(module, operation)}


def _available() -> dict[str, Functions]:
    found = {}
    for name in FASTEST:
        try:
            found[name] = _operations(name)
        except BackendUnavailableError as error:
            logger.info("%s; other backends take their place", error)
    return found


def _condition(name: str, operation: str) -> Callable[..., bool] | None:
    condition: Callable[..., bool] | None = getattr(load(name), "SUITS", {}).get(operation)
    return condition


def serving(names: Sequence[str], operation: str, *arguments: Any) -> str:
    """The first of the backends `names` that takes these arguments."""
    conditions = ((name, _condition(name, operation)) for name in names)
    return next((name for name, suits in conditions if suits is None or suits(*arguments)), names[-1])


def _first_suiting(operation: str, functions: list[tuple[str, Operation]]) -> tuple[str, Operation]:
    """The first of (backend, function), in order of speed, whose condition (if any) holds."""
    name, first = functions[0]
    suits = _condition(name, operation)
    if suits is None:
        return name, first
    other, rest = _first_suiting(operation, functions[1:])

    def either(*arguments: Any, **options: Any) -> Any:
        return (first if suits(*arguments, **options) else rest)(*arguments, **options)

    return f"{name}+{other}", either


def _table(order: tuple[str, ...], orders: dict[str, tuple[str, ...]], available: dict[str, Functions]) -> Table:
    table: Table = {}
    for operation in OPERATIONS:
        names = [name for name in orders.get(operation, order) if operation in available.get(name, ())]
        functions = [(name, available[name][operation]) for name in names]
        if operation in PAIRS:
            functions = [(name, _signed(function, available[name][PAIRS[operation]])) for name, function in functions]
        table[operation] = _first_suiting(operation, functions)
        if operation not in AS_GIVEN:
            table[operation] = _by_type(*table[operation], functions[-1][1])
    return {**table, **{backward: (table[forward][0], _by_signer) for forward, backward in PAIRS.items()}}


def _by_type(names: str, function: Operation, reference: Operation) -> tuple[str, Operation]:
    """`function` with all arrays as float32, since libraries would misread the bits of other types.

    If one array is float64, `reference` with all arrays as float64: only that backend computes in float64.
    """

    def either(*arguments: Any, **options: Any) -> Any:
        types = {each.dtype for each in (*arguments, *options.values()) if isinstance(each, np.ndarray)}
        if types <= _SINGLE:
            return function(*arguments, **options)
        is_double = any(each.kind == "f" and each.itemsize > 4 for each in types)
        kind = np.float64 if is_double else np.float32
        given = {name: _as(kind, each) for name, each in options.items()}
        return (reference if is_double else function)(*(_as(kind, each) for each in arguments), **given)

    return names, either


def _as(kind: type, argument: Any) -> Any:
    """An array as numbers of `kind`; all else as it is."""
    return np.asarray(argument, kind) if isinstance(argument, np.ndarray) else argument


def _signed(forward: Operation, backward: Operation) -> Operation:
    """`forward`, whose `saved` also says which backend takes it back, and in which type: another call may suit another
    backend."""

    def signing(*arguments: Any, **options: Any) -> Any:
        *results, saved = forward(*arguments, **options)
        return (*results, (backward, results[0].dtype.type, saved))

    return signing


def _by_signer(*grads_and_saved: Any) -> Any:
    *grads, (backward, kind, own) = grads_and_saved
    return backward(*(_as(kind, grad) for grad in grads), own)


def fastest() -> Table:
    """Each operation with the fastest available backend, chosen at each call."""
    return _table(FASTEST, FASTEST_FOR, _available())


def forced(name: str) -> Table:
    """Each operation with backend `name` if that defines it and suits the call, else with `reference`.

    Raises:
        BackendUnavailableError: it cannot run here.
    """
    return _table((name, "reference"), {}, {name: _operations(name), "reference": _operations("reference")})


def choose(name: str) -> Table:
    """The table for `name`: `auto` or a backend."""
    return fastest() if name == "auto" else forced(name)
