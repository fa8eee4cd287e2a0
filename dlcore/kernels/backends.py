"""Which backend computes which operation: a table made once from what is installed and what the settings ask for."""

import importlib
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

from dlcore.errors import DlcoreError
from dlcore.kernels.interface import OPERATIONS

logger = logging.getLogger(__name__)

Table = dict[str, tuple[str, Callable[..., Any]]]
"""Operation -> (backend, function)."""

PAIRS = {"max_pool2d": "max_pool2d_backward", "avg_pool2d": "avg_pool2d_backward", "batch_norm": "batch_norm_backward"}
"""Operations that hand something over through `saved`: one backend must define both."""

FASTEST = ("onednn", "native", "mkl", "reference")
"""The order in which `auto` asks for an operation. Measured; reference/ numbers are in ARCHITECTURE.md."""

FASTEST_FOR: dict[str, tuple[str, ...]] = {}
"""Other orders, by operation."""


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


def _operations(name: str) -> dict[str, Callable[..., Any]]:
    module = load(name)
    return {operation: getattr(module, operation) for operation in OPERATIONS if hasattr(module, operation)}


def _available() -> dict[str, dict[str, Callable[..., Any]]]:
    found = {}
    for name in FASTEST:
        try:
            found[name] = _operations(name)
        except BackendUnavailableError as error:
            logger.info("%s; other backends take their place", error)
    return found


def fastest() -> Table:
    """Each operation with the fastest backend that is available here."""
    available = _available()
    table: Table = {}
    for operation in OPERATIONS:
        order = FASTEST_FOR.get(operation, FASTEST)
        name = next(name for name in order if operation in available.get(name, ()))
        table[operation] = (name, available[name][operation])
    return table


def forced(name: str) -> Table:
    """Each operation with backend `name` where it defines it, else with `reference`.

    Raises:
        BackendUnavailableError: it cannot run here.
    """
    plain, wanted = _operations("reference"), _operations(name)
    return {
        operation: (name, wanted[operation]) if operation in wanted else ("reference", plain[operation])
        for operation in OPERATIONS
    }


def choose(name: str) -> Table:
    """The table for `name`: `auto` or a backend."""
    return fastest() if name == "auto" else forced(name)
