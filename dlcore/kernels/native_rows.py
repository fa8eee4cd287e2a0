"""Softmax and normalisations by the native kernels. Values that belong together must lie side by side in memory;
otherwise they are copied."""

from __future__ import annotations

import ctypes

import numpy as np

from dlcore.activity import Array
from dlcore.kernels.cpu import threads
from dlcore.kernels.interface import Saved
from dlcore.kernels.memory import channels_last, contiguous, empty, empty_channels_last
from dlcore.kernels.native_library import library
from dlcore.kernels.native_training import Rows

_PARTS = 16
"""Number of parts of the rows whose gradients of gamma and beta are summed separately, whatever the number of
threads."""


class _Lrn(ctypes.Structure):
    """`Lrn` of training.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("pixels", "channels", "size", "threads")),
        *((name, ctypes.c_float) for name in ("share", "beta", "k")),
    ]


# --- softmax ----------------------------------------------------------------------------------------------------------


def _softmax(x: Array, axis: int, is_log: bool) -> Array:
    rows = contiguous(np.moveaxis(x, axis, -1))
    y, shape = empty(rows.shape), Rows(rows.size // rows.shape[-1], rows.shape[-1], threads())
    library().dlcore_softmax(ctypes.addressof(shape), rows.ctypes.data, y.ctypes.data, is_log)
    return np.moveaxis(y, -1, axis)


def _softmax_backward(grad_y: Array, y: Array, axis: int, is_log: bool) -> Array:
    rows, grads = (contiguous(np.moveaxis(each, axis, -1)) for each in (y, grad_y))
    grad_x, shape = empty(rows.shape), Rows(rows.size // rows.shape[-1], rows.shape[-1], threads())
    places = (grads.ctypes.data, rows.ctypes.data, grad_x.ctypes.data)
    library().dlcore_softmax_backward(ctypes.addressof(shape), *places, is_log)
    return np.moveaxis(grad_x, -1, axis)


def softmax(x: Array, axis: int) -> Array:
    """See `interface.Kernels.softmax`; where SUITS holds."""
    return _softmax(x, axis, False)


def log_softmax(x: Array, axis: int) -> Array:
    """See `interface.Kernels.log_softmax`; where SUITS holds."""
    return _softmax(x, axis, True)


def softmax_backward(grad_y: Array, y: Array, axis: int) -> Array:
    """See `interface.Kernels.softmax_backward`; where SUITS holds."""
    return _softmax_backward(grad_y, y, axis, False)


def log_softmax_backward(grad_y: Array, y: Array, axis: int) -> Array:
    """See `interface.Kernels.log_softmax_backward`; where SUITS holds."""
    return _softmax_backward(grad_y, y, axis, True)


def _suits_softmax(x: Array, axis: int) -> bool:
    return x.size > 0


def _suits_softmax_backward(grad_y: Array, y: Array, axis: int) -> bool:
    return y.size > 0 and grad_y.shape == y.shape


# --- layer normalisation ----------------------------------------------------------------------------------------------


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Saved]:
    """See `interface.Kernels.layer_norm`; where SUITS holds."""
    x, gamma, beta = contiguous(x), gamma.copy(), contiguous(beta)
    count = x.size // len(gamma)
    y, mean, inverse = empty(x.shape), empty((count,)), empty((count,))
    shape = Rows(count, len(gamma), threads())
    given, found = ((each.ctypes.data for each in part) for part in ((x, gamma, beta), (y, mean, inverse)))
    library().dlcore_layer_norm(ctypes.addressof(shape), *given, eps, *found)
    return y, (x, gamma, mean, inverse)


def layer_norm_backward(grad_y: Array, saved: Saved) -> tuple[Array, Array, Array]:
    """See `interface.Kernels.layer_norm_backward`."""
    x, gamma, mean, inverse = saved
    grads, grad_x = contiguous(np.broadcast_to(grad_y, x.shape)), empty(x.shape)
    parts = min(_PARTS, len(mean))
    sums, shape = empty((parts, 2, len(gamma))), Rows(len(mean), len(gamma), threads())
    places = (each.ctypes.data for each in (grads, x, gamma, mean, inverse, grad_x, sums))
    library().dlcore_layer_norm_backward(ctypes.addressof(shape), *places, parts)
    grad_gamma, grad_beta = sums.sum(axis=0)
    return grad_x, grad_gamma, grad_beta


def _suits_layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> bool:
    return x.size > 0 and gamma.shape == beta.shape == x.shape[-1:]


# --- local response normalisation -------------------------------------------------------------------------------------


def lrn(x: Array, size: int, alpha: float, beta: float, k: float) -> tuple[Array, Saved]:
    """See `interface.Kernels.lrn`; where SUITS holds."""
    x = channels_last(x)
    y, scale = empty_channels_last(x.shape), empty_channels_last(x.shape)
    shape = _Lrn(x.size // x.shape[1], x.shape[1], size, threads(), alpha / size, beta, k)
    library().dlcore_lrn(ctypes.addressof(shape), *(each.ctypes.data for each in (x, y, scale)))
    return y, (shape, x, scale)


def lrn_backward(grad_y: Array, saved: Saved) -> Array:
    """See `interface.Kernels.lrn_backward`."""
    shape, x, scale = saved
    grads, grad_x = channels_last(np.broadcast_to(grad_y, x.shape)), empty_channels_last(x.shape)
    library().dlcore_lrn_backward(ctypes.addressof(shape), *(each.ctypes.data for each in (grads, x, scale, grad_x)))
    return grad_x


def _suits_lrn(x: Array, size: int, alpha: float, beta: float, k: float) -> bool:
    return x.size > 0 and x.ndim > 2 and size % 2 == 1


SUITS = {
    **dict.fromkeys(("softmax", "log_softmax"), _suits_softmax),
    **dict.fromkeys(("softmax_backward", "log_softmax_backward"), _suits_softmax_backward),
    "layer_norm": _suits_layer_norm,
    "lrn": _suits_lrn,
}
"""What these kernels take; the rest is `reference`'s."""
