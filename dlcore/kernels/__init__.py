"""The arithmetic of the engine: `kernels.conv2d(...)` and the other operations of `interface.Kernels`.

Each operation runs on the fastest backend that is available; `DLCORE_KERNELS=onednn|mkl|native|reference` forces one, and
what that one does not define falls to `reference`. Backends are loaded when the first operation is called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dlcore.kernels import backends
from dlcore.kernels.backends import BackendUnavailableError
from dlcore.kernels.cpu import instruction_set
from dlcore.kernels.interface import OPERATIONS, Padding, Pair, Saved
from dlcore.kernels.memory import channels_last, empty, empty_channels_last
from dlcore.settings import settings

if TYPE_CHECKING:
    from dlcore.kernels.reference import (
        avg_pool2d,
        avg_pool2d_backward,
        batch_norm,
        batch_norm_backward,
        conv2d,
        conv2d_backward,
        hamming,
        linear,
        linear_backward,
        matmul,
        max_pool2d,
        max_pool2d_backward,
        nms,
        relu,
        relu_backward,
        softmax,
    )

_table: backends.Table = {}


def _use(table: backends.Table) -> None:
    _table.clear()
    _table.update(table)
    globals().update({operation: function for operation, (_, function) in table.items()})


def _chosen() -> backends.Table:
    if not _table:
        _use(backends.choose(settings().kernels))
    return _table


def __getattr__(name: str) -> Any:
    if name not in OPERATIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _chosen()[name][1]


def active() -> str:
    """The backends in use, joined by '+', such as 'onednn+native'; 'reference' only where nothing else is."""
    used = {name for name, _ in _chosen().values()}
    return "+".join(name for name in backends.FASTEST if name in used and name != "reference") or "reference"


@contextmanager
def using(name: str) -> Iterator[None]:
    """Run with the kernels of backend `name` (or `auto`) inside this block, in the whole process.

    Raises:
        BackendUnavailableError: it cannot run here.
    """
    before = dict(_chosen())
    _use(backends.choose(name))
    try:
        yield
    finally:
        _use(before)


__all__ = [
    "OPERATIONS",
    "BackendUnavailableError",
    "Padding",
    "Pair",
    "Saved",
    "active",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "channels_last",
    "conv2d",
    "conv2d_backward",
    "empty",
    "empty_channels_last",
    "hamming",
    "instruction_set",
    "linear",
    "linear_backward",
    "matmul",
    "max_pool2d",
    "max_pool2d_backward",
    "nms",
    "relu",
    "relu_backward",
    "softmax",
    "using",
]
