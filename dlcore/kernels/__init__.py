"""The arithmetic of the engine: `kernels.conv(...)` and the other operations of `interface.Kernels`.

Each operation runs on the fastest backend that is available; `DLCORE_KERNELS=onednn|mkl|native|reference` forces one;
what it does not define, `reference` computes. Backends are loaded when the first operation is called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dlcore.activity import Array
from dlcore.kernels import backends
from dlcore.kernels.backends import BackendUnavailableError
from dlcore.kernels.cpu import instruction_set
from dlcore.kernels.interface import OPERATIONS, AdamMeans, Gradients, Padding, Saved, Sizes
from dlcore.kernels.memory import channels_last, empty, empty_channels_last
from dlcore.settings import settings

if TYPE_CHECKING:
    from dlcore.kernels.reference import (
        adam,
        add_rows,
        avg_pool,
        avg_pool_backward,
        batch_norm,
        batch_norm_backward,
        bernoulli,
        conv,
        conv_grad_w,
        conv_grad_x,
        gru,
        gru_backward,
        hamming,
        hamming_in_buckets,
        hamming_top_k,
        hamming_within,
        layer_norm,
        layer_norm_backward,
        linear,
        linear_backward,
        log_softmax,
        log_softmax_backward,
        lrn,
        lrn_backward,
        lstm,
        lstm_backward,
        masked,
        matmul,
        max_pool,
        max_pool_backward,
        nms,
        relu,
        relu_backward,
        rmsprop,
        sgd,
        softmax,
        softmax_backward,
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
    """The backends in use, joined by '+', such as 'onednn+native'; 'reference' only if there is no other."""
    used = {name for names, _ in _chosen().values() for name in names.split("+")}
    return "+".join(name for name in backends.FASTEST if name in used and name != "reference") or "reference"


def serving(operation: str, *arguments: Any) -> str:
    """The backend that serves a call of `operation`."""
    return backends.serving(_chosen()[operation][0].split("+"), operation, *arguments)


def conv_backward(
    x: Array,
    w: Array,
    grad_y: Array,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    need_x: bool = True,
    need_w: bool = True,
    has_bias: bool = True,
) -> Gradients:
    """The gradients of `conv` without relu: of x, w and b. Without `need_w`, that of b is left out too."""
    geometry = (stride, padding, dilation, groups)
    kernels = sys.modules[__name__]
    grad_x = kernels.conv_grad_x(x.shape, w, grad_y, *geometry) if need_x else None
    if not need_w:
        return grad_x, None, None
    return grad_x, *kernels.conv_grad_w(x, w.shape[2:], grad_y, *geometry, has_bias)


@contextmanager
def using(name: str) -> Iterator[None]:
    """Run with the kernels of backend `name` (or `auto`) inside this block, in the whole process.

    Raises:
        BackendUnavailableError: the backend cannot run here.
    """
    before = dict(_chosen())
    _use(backends.choose(name))
    try:
        yield
    finally:
        _use(before)


__all__ = [
    "OPERATIONS",
    "AdamMeans",
    "BackendUnavailableError",
    "Padding",
    "Saved",
    "Sizes",
    "active",
    "adam",
    "add_rows",
    "avg_pool",
    "avg_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "bernoulli",
    "channels_last",
    "conv",
    "conv_backward",
    "conv_grad_w",
    "conv_grad_x",
    "empty",
    "empty_channels_last",
    "gru",
    "gru_backward",
    "hamming",
    "hamming_in_buckets",
    "hamming_top_k",
    "hamming_within",
    "instruction_set",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "lrn",
    "lrn_backward",
    "lstm",
    "lstm_backward",
    "masked",
    "matmul",
    "max_pool",
    "max_pool_backward",
    "nms",
    "relu",
    "relu_backward",
    "rmsprop",
    "serving",
    "sgd",
    "softmax",
    "softmax_backward",
    "using",
]
