"""Steps by oneDNN whose weights are packed once into the order it likes best, bound to fixed arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.inference.forms import Form, Stored
from dlcore.kernels import onednn_api as api
from dlcore.kernels import onednn_recurrent
from dlcore.kernels.memory import empty
from dlcore.kernels.prepared import prepared
from dlcore.nn.layers.convolution import Window

Call: TypeAlias = Callable[[], None]
Bound: TypeAlias = tuple[Call, str]
"""A call, and the name of oneDNN's code for it."""
Scales: TypeAlias = tuple[Array, float]
"""The factors (O,) of sums of products, before the bias, and the divisor of the results."""

_NUMBERS = {np.float32: api.FLOAT, np.uint16: api.BF16, np.uint8: api.UNSIGNED, np.int8: api.SIGNED}
_WEIGHTS = {api.FLOAT: api.FLOAT, api.BF16: api.BF16, api.UNSIGNED: api.SIGNED, api.SIGNED: api.SIGNED}
"""Numbers of the input -> of the weights."""
_RACING = "jit_uni_int8_1x1"
"""oneDNN's code, for CPUs without AVX-512, whose threads disturb one another where a stride is above 1: the results of
one input differ from run to run."""


def _number(x: Stored) -> int:
    return _NUMBERS[x.dtype.type]


def _channels_last(x: Stored) -> api.Layout:
    return api.Layout.channels_last(x.shape, _number(x))


def _plain(x: Stored) -> api.Layout:
    return api.Layout.plain(x.shape, _number(x))


def _packed(weights: Stored, wanted: api.Layout) -> Array:
    """A copy of `weights` in the memory order and the numbers `wanted`."""
    size = (wanted.size_bytes + 3) // 4
    return prepared(size, lambda: _reordered(weights, wanted, size))


def _reordered(weights: Stored, wanted: api.Layout, size: int) -> Array:
    given = np.ascontiguousarray(weights)
    source = _plain(given)
    packed = empty((size,))
    description = api.Description("reorder", source, api.engine(), wanted, api.engine(), None)
    api.Primitive(description, {api.SRC: source, api.DST: wanted})(given.ctypes.data, packed.ctypes.data)
    return packed


def _bound(description: api.Description, arrays: Mapping[int, tuple[api.Layout, Stored]]) -> Bound:
    """A call of the primitive on these arrays, which it keeps alive."""
    primitive = api.Primitive(description, {kind: layout for kind, (layout, _) in arrays.items()})
    return primitive.bind([array for _, array in arrays.values()]), description.implementation()


def _weighted(
    kind: str,
    arrays: tuple[Stored, Stored, Array, Stored],
    order: Callable[[Stored], api.Layout],
    rectified: tuple[bool, float],
    *geometry: kernels.Sizes,
    residual: Stored | None = None,
    scales: Scales | None = None,
) -> Bound:
    """Forward `kind` of (x, weight, bias, y), x, y and residual lying in memory as `order` says; rectified: see
    `api.Attributes`."""
    x, weight, bias, y = arrays
    source, biases, target = order(x), api.Layout.plain(bias.shape), order(y)
    added = None if residual is None else order(residual)
    factors = {} if scales is None else _scales(scales, 3 if weight.ndim - 1 == x.ndim else 1)
    algorithm = (api.CONVOLUTION_DIRECT,) if geometry else ()
    description = api.Description(
        f"{kind}_forward", api.engine(), api.FORWARD_INFERENCE, *algorithm,
        source, api.Layout.any(weight.shape, _WEIGHTS[_number(x)]), biases, target, *geometry,
        api.Attributes(*rectified, added, {part: mask for part, (mask, _) in factors.items()}),
    )  # fmt: skip
    if geometry and max(geometry[0]) > 1 and description.implementation().startswith(_RACING):
        description.choose_next()
    packing = description.layout("weights")
    taken: dict[int, tuple[api.Layout, Stored]] = {
        api.SRC: (source, x),
        api.WEIGHTS: (packing, _packed(weight, packing)),
        api.BIAS: (biases, np.ascontiguousarray(bias, np.float32)),
        api.DST: (target, y),
        **{api.SCALES | part: (api.Layout.plain(each.shape), each) for part, (_, each) in factors.items()},
    }
    if added is not None and residual is not None:
        taken[api.RESIDUAL] = (added, residual)
    return _bound(description, taken)


def _scales(scales: Scales, rows: int) -> dict[int, tuple[int, Array]]:
    """Execution argument -> the dimensions along which its scales differ, as bits (`rows` of the weights), and they
    themselves."""
    factors, divisor = scales
    found = {api.WEIGHTS: (rows, np.ascontiguousarray(factors, np.float32))}
    if divisor != 1:
        found[api.DST] = (0, np.array([divisor], np.float32))
    return found


def conversion(x: Stored, given: Form, y: Stored, wanted: Form) -> Bound:
    """The numbers of `x`, stored as `given`, into `y` as `wanted`; both contiguous in the same memory order, one of
    them fp32."""
    source, target = (api.Layout.plain((x.size,), _number(each)) for each in (x, y))
    scales = {api.SRC: given.scale, api.DST: wanted.scale}
    factors = {part: np.array([scale], np.float32) for part, scale in scales.items() if scale != 1}
    attributes = api.Attributes(scales=dict.fromkeys(factors, 0))
    description = api.Description("reorder", source, api.engine(), target, api.engine(), attributes)
    arrays: dict[int, tuple[api.Layout, Stored]] = {api.SRC: (source, x), api.DST: (target, y)}
    arrays |= {api.SCALES | part: (api.Layout.plain((1,)), scale) for part, scale in factors.items()}
    return _bound(description, arrays)


def convolution(
    arrays: tuple[Stored, Stored, Array, Stored],
    residual: Stored | None,
    window: Window,
    padding: kernels.Padding,
    rectified: tuple[bool, float],
    scales: Scales | None = None,
) -> Bound:
    """arrays: x (N, C, ...), weight (K, C / groups, *kernel), bias (K,), y; x, y and what is added, residual, in
    channels-last memory.

    rectified: whether a ReLU follows, and what it lets through at most. scales: of weights in eight bits.
    """
    x, weight, bias, y = arrays
    rank = len(window.kernel)
    if window.groups > 1:
        weight = weight.reshape(window.groups, -1, *weight.shape[1:])
    gaps = tuple(dilation - 1 for dilation in window.dilation)
    geometry = (window.stride, gaps, padding[:rank], padding[rank:])
    return _weighted(
        "convolution", (x, weight, bias, y), _channels_last, rectified, *geometry, residual=residual, scales=scales
    )


def product(
    arrays: tuple[Stored, Stored, Array, Stored], rectified: tuple[bool, float], scales: Scales | None = None
) -> Bound:
    """arrays: x (N, I), weight (O, I), bias (O,), y (N, O); rectified: whether a ReLU follows, and what it lets through
    at most."""
    return _weighted("inner_product", arrays, _plain, rectified, scales=scales)


def pooling(
    algorithm: int, x: Stored, y: Stored, kernel: kernels.Sizes, stride: kernels.Sizes, padding: kernels.Padding
) -> Bound:
    """Maxima or means of windows, by `algorithm` of `onednn_api`; x and y (N, C, ...) in channels-last memory."""
    rank = len(kernel)
    source, target = _channels_last(x), _channels_last(y)
    description = api.Description(
        "pooling_forward", api.engine(), api.FORWARD_INFERENCE, algorithm,
        source, target, stride, kernel, (0,) * rank, padding[:rank], padding[rank:], None,
    )  # fmt: skip
    return _bound(description, {api.SRC: (source, x), api.DST: (target, y)})


def recurrence(
    kind: str, arrays: tuple[Array, Array], parameters: list[Array], states: list[Array], is_reversed: bool
) -> Bound:
    """arrays: x (N, T, I), y (N, T, H), both row-major; parameters, states: of `kernels.lstm` or `kernels.gru`; states
    (N, H)."""
    x, y = arrays
    sizes = onednn_recurrent.Sizes(kind, x.shape[1], len(x), x.shape[2], y.shape[2], is_reversed, True)
    run = onednn_recurrent.built(sizes, False)
    w, *recurrent, b = parameters
    bias = onednn_recurrent.gates_swapped(kind, b)
    last = [empty(state.shape) for state in states]
    arguments = [x, *states, *run.packed(kind, w, recurrent), bias, y, *last]
    return run.primitive.bind(arguments), run.implementation


def softmax(x: Array, y: Array, axis: int, is_log: bool) -> Bound:
    """exp(x) divided by its sum along `axis`, or the logarithm of that; x and y in channels-last memory if they are
    images."""
    layout = api.Layout.channels_last(x.shape) if x.ndim > 3 else api.Layout.plain(x.shape)
    algorithm = api.LOG_SOFTMAX if is_log else api.SOFTMAX
    description = api.Description(
        "softmax_forward", api.engine(), api.FORWARD_INFERENCE, algorithm, layout, layout, axis, None
    )
    return _bound(description, {api.SRC: (layout, x), api.DST: (layout, y)})


def lrn(x: Array, y: Array, size: int, alpha: float, beta: float, k: float) -> Bound:
    """x (k + alpha / size * sum of x^2 over `size` neighbouring planes)^-beta; x and y (N, C, ...) in channels-last
    memory."""
    layout = api.Layout.channels_last(x.shape)
    numbers = ctypes.c_int64(size), float(alpha), float(beta), float(k)
    description = api.Description(
        "lrn_forward", api.engine(), api.FORWARD_INFERENCE, api.LRN_ACROSS_CHANNELS, layout, layout, *numbers, None
    )
    return _bound(description, {api.SRC: (layout, x), api.DST: (layout, y)})
