"""Which backend computes which operation: a table made once from what is installed and what the settings ask for."""

import importlib
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

from dlcore.errors import DlcoreError
from dlcore.kernels.interface import OPERATIONS

logger = logging.getLogger(__name__)

Operation: TypeAlias = Callable[..., Any]
Functions: TypeAlias = dict[str, Operation]
Table: TypeAlias = dict[str, tuple[str, Operation]]
"""Operation -> (backends joined by '+', function)."""

PAIRS = {"max_pool2d": "max_pool2d_backward", "avg_pool2d": "avg_pool2d_backward", "batch_norm": "batch_norm_backward"}
"""Operations that hand something over through `saved`: one backend must define both."""

FASTEST = ("onednn", "native", "mkl", "reference")
"""The order in which `auto` asks for an operation. A backend's SUITS, operation -> condition on the arguments, limits it."""

FASTEST_FOR: dict[str, tuple[str, ...]] = {
    "conv2d": ("native", *FASTEST),
    "conv2d_grad_x": ("native", *FASTEST),
    "conv2d_grad_w": ("native", *FASTEST),
}
"""Other orders, by operation: Winograd before oneDNN."""


class BackendUnavailableError(DlcoreError, ImportError):
    """A backend cannot run here: its library is missing or this CPU lacks the instructions. The message says which."""


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


def _first_suiting(operation: str, functions: list[tuple[str, Operation]]) -> tuple[str, Operation]:
    """The first of (backend, function), which are in order of speed; those with a condition only where it holds."""
    name, first = functions[0]
    suits = getattr(load(name), "SUITS", {}).get(operation)
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
        table[operation] = _first_suiting(operation, [(name, available[name][operation]) for name in names])
    return table


def fastest() -> Table:
    """Each operation with the fastest backend that is available here, for each call."""
    return _table(FASTEST, FASTEST_FOR, _available())


def forced(name: str) -> Table:
    """Each operation with backend `name` where it defines it and the call suits it, else with `reference`.

    Raises:
        BackendUnavailableError: it cannot run here.
    """
    return _table((name, "reference"), {}, {name: _operations(name), "reference": _operations("reference")})


def choose(name: str) -> Table:
    """The table for `name`: `auto` or a backend."""
    return fastest() if name == "auto" else forced(name)
