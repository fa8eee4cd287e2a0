"""What training does besides convolutions and products, by the native kernels: updates, masks, rectifiers, sums of
rows.

With any instructions and any number of threads, all results equal those of `reference` to the bit, except for sums of
repeated rows, which are added in order.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.kernels.cpu import threads
from dlcore.kernels.interface import AdamMeans, Mask, Sizes
from dlcore.kernels.memory import channels_first, channels_to_end, empty, empty_channels_last
from dlcore.kernels.native_library import library
from dlcore.kernels.reference_training import require_rows
from dlcore.rng import RandomGenerator


class _SgdStep(ctypes.Structure):
    """`SgdStep` of training.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("size", "threads", "has_momentum", "is_nesterov")),
        *((name, ctypes.c_float) for name in ("rate", "decay", "momentum", "share")),
    ]


class _AdaptiveStep(ctypes.Structure):
    """`AdaptiveStep` of training.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("size", "threads")),
        *(
            (name, ctypes.c_float)
            for name in ("rate", "decay_or_kept", "beta1", "share1", "beta2", "share2", "epsilon", "bias1", "bias2")
        ),
    ]


class Rows(ctypes.Structure):
    """`Rows` of training.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("count", "width", "threads")]


def is_dense(x: Array) -> bool:
    """Whether `x` is float32 without gaps, in row-major or in channels-last order."""
    is_float = isinstance(x, np.ndarray) and x.dtype == np.float32
    return is_float and (x.flags.c_contiguous or (x.ndim > 2 and channels_to_end(x).flags.c_contiguous))


def empty_like(x: Array) -> Array:
    """A new array in the memory order of the dense `x`."""
    return empty(x.shape) if x.flags.c_contiguous else empty_channels_last(x.shape)


def in_order_of(x: Array, other: NDArray[Any]) -> NDArray[Any]:
    """`other`, of the same shape, in the memory order of the dense `x`."""
    if x.flags.c_contiguous:
        return np.ascontiguousarray(other)
    return channels_first(np.ascontiguousarray(channels_to_end(other)))


# --- updates ----------------------------------------------------------------------------------------------------------


def sgd(
    weights: Array,
    grads: Array,
    velocity: Array | None,
    rate: float | Array,
    decay: float,
    momentum: float,
    share: float,
    nesterov: bool,
) -> None:
    """See `interface.Kernels.sgd`."""
    step = _SgdStep(weights.size, threads(), velocity is not None, bool(nesterov), rate, decay, momentum, share)
    place = None if velocity is None else velocity.ctypes.data
    library().dlcore_sgd(ctypes.addressof(step), weights.ctypes.data, grads.ctypes.data, place)


def adam(weights: Array, grads: Array, first: Array, second: Array, rate: float, kept: float, means: AdamMeans) -> None:
    """See `interface.Kernels.adam`."""
    beta1, beta2 = np.float32(means.beta1), np.float32(means.beta2)
    shares = (beta1, 1 - beta1, beta2, 1 - beta2)
    step = _AdaptiveStep(weights.size, threads(), rate, kept, *shares, means.epsilon, means.bias1, means.bias2)
    library().dlcore_adam(ctypes.addressof(step), *(each.ctypes.data for each in (weights, grads, first, second)))


def rmsprop(
    weights: Array,
    grads: Array,
    squares: Array,
    rate: float,
    decay: float,
    kept: float,
    share: float,
    epsilon: float,
) -> None:
    """See `interface.Kernels.rmsprop`."""
    step = _AdaptiveStep(weights.size, threads(), rate, decay, 0, 0, kept, share, epsilon, 1, 1)
    library().dlcore_rmsprop(ctypes.addressof(step), *(each.ctypes.data for each in (weights, grads, squares)))


def _suits_sgd(weights: Array, grads: Array, velocity: Array | None, rate: float | Array, *arguments: Any) -> bool:
    return not isinstance(rate, np.ndarray) and _suits_update(weights, grads, velocity)


def _suits_update(*arguments: Any) -> bool:
    """Whether all arrays are float32 and contiguous: nothing is copied, since all but the gradients change in place."""
    arrays = [each for each in arguments if isinstance(each, np.ndarray)]
    weights, _, *slots = arrays
    are_whole = all(x.dtype == np.float32 and x.size == weights.size and x.flags.c_contiguous for x in arrays)
    return are_whole and all(x.flags.writeable for x in (weights, *slots))


# --- masks and rectifiers ---------------------------------------------------------------------------------------------

_WORTH_A_STATE = 25_000
"""Number of draws of a stream from which on taking its state out and putting it back pays: that takes 0.16 ms."""


def bernoulli(generator: RandomGenerator, probability: float, size: Sizes) -> Mask:
    """See `interface.Kernels.bernoulli`. A draw is u = raw / 2^32, so u < p is raw < p 2^32."""
    limit = min(max(math.ceil(probability * 2.0**32), 0), 1 << 32)
    mask: Mask = np.empty(size, np.bool_)
    rows = generator.streams(size) or [(generator, size)]
    flat, start = mask.reshape(-1), 0
    for stream, shape in rows:
        part = flat[start : start + math.prod(shape)]
        state = stream.state()
        key = state["key"]
        place = (key.ctypes.data, state["position"])
        state["position"] = library().dlcore_draws_below(*place, limit, part.size, part.ctypes.data)
        stream.restore(state)
        start += part.size
    return mask


def masked(x: Array, mask: Mask, factor: float) -> Array:
    """See `interface.Kernels.masked`; where SUITS holds."""
    y, bits = empty_like(x), in_order_of(x, mask)
    library().dlcore_masked(x.ctypes.data, bits.ctypes.data, factor, y.ctypes.data, x.size, threads())
    return y


def relu(x: Array) -> Array:
    """See `interface.Kernels.relu`; where SUITS holds."""
    y = empty_like(x)
    library().dlcore_relu(x.ctypes.data, y.ctypes.data, x.size, threads())
    return y


def relu_backward(grad_y: Array, y: Array) -> Array:
    """See `interface.Kernels.relu_backward`; where SUITS holds."""
    grad_x, grads = empty_like(y), in_order_of(y, grad_y)
    library().dlcore_relu_backward(grads.ctypes.data, y.ctypes.data, grad_x.ctypes.data, y.size, threads())
    return grad_x


def add_rows(total: Array, rows: NDArray[np.int64], values: Array) -> None:
    """See `interface.Kernels.add_rows`; where SUITS holds."""
    require_rows(total, rows, values)
    given, numbers = np.ascontiguousarray(values), np.ascontiguousarray(rows)
    shape = Rows(*given.shape, threads())
    places = (total.ctypes.data, len(total), numbers.ctypes.data, given.ctypes.data)
    library().dlcore_add_rows(ctypes.addressof(shape), *places)


def _suits_bernoulli(generator: RandomGenerator, probability: float, size: Sizes) -> bool:
    return math.prod(size) >= _WORTH_A_STATE * (len(generator.streams(size)) or 1)


def _suits_masked(x: Array, mask: Mask, factor: float) -> bool:
    return is_dense(x) and mask.dtype == np.bool_ and mask.shape == x.shape


def _suits_relu_backward(grad_y: Array, y: Array) -> bool:
    return is_dense(y) and grad_y.shape == y.shape


def _suits_rows(total: Array, rows: NDArray[np.int64], values: Array) -> bool:
    is_whole = total.ndim == 2 and total.flags.carray and rows.dtype == np.int64
    return is_whole and total.dtype == values.dtype == np.float32 and values.shape == (len(rows), total.shape[1])


SUITS = {
    "sgd": _suits_sgd,
    **dict.fromkeys(("adam", "rmsprop"), _suits_update),
    "bernoulli": _suits_bernoulli,
    "masked": _suits_masked,
    "relu": is_dense,
    "relu_backward": _suits_relu_backward,
    "add_rows": _suits_rows,
}
"""What these kernels take; the rest is `reference`'s."""
