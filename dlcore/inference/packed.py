"""Steps by oneDNN whose weights are packed once into the order it likes best, bound to fixed arrays."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.kernels import onednn_api as api
from dlcore.kernels.memory import empty
from dlcore.nn.convolution import Window

Step: TypeAlias = Callable[[], None]


def _packed(weights: Array, wanted: api.Layout) -> Array:
    """A copy of contiguous `weights` in the memory order `wanted`."""
    given = np.ascontiguousarray(weights, np.float32)
    source = api.Layout.plain(given.shape)
    packed = empty(((wanted.size_bytes + 3) // 4,))
    description = api.Description("reorder", source, api.engine(), wanted, api.engine(), None)
    api.Primitive(description, {api.SRC: source, api.DST: wanted})(given.ctypes.data, packed.ctypes.data)
    return packed


def _bound(description: api.Description, arrays: dict[int, tuple[api.Layout, Array]]) -> Step:
    """A call of the primitive on these arrays, which it keeps alive."""
    primitive = api.Primitive(description, {kind: layout for kind, (layout, _) in arrays.items()})
    return _Bound(primitive, [array for _, array in arrays.values()])


class _Bound:
    def __init__(self, primitive: api.Primitive, arrays: list[Array]) -> None:
        self._arrays = arrays
        self._call = partial(primitive, *(array.ctypes.data for array in arrays))

    def __call__(self) -> None:
        self._call()


def _weighted(
    kind: str,
    arrays: tuple[Array, Array, Array, Array],
    order: Callable[..., api.Layout],
    relu: bool,
    *geometry: kernels.Pair,
) -> Step:
    """Forward `kind` of (x, weight, bias, y), x and y lying in memory as `order` says."""
    x, weight, bias, y = arrays
    source, biases, target = order(x.shape), api.Layout.plain(bias.shape), order(y.shape)
    algorithm = (api.CONVOLUTION_DIRECT,) if geometry else ()
    description = api.Description(
        f"{kind}_forward", api.engine(), api.FORWARD_INFERENCE, *algorithm,
        source, api.Layout.any(weight.shape), biases, target, *geometry, api.Attributes(relu),
    )  # fmt: skip
    packing = description.layout("weights")
    return _bound(
        description,
        {
            api.SRC: (source, x),
            api.WEIGHTS: (packing, _packed(weight, packing)),
            api.BIAS: (biases, np.ascontiguousarray(bias, np.float32)),
            api.DST: (target, y),
        },
    )


def convolution(
    arrays: tuple[Array, Array, Array, Array], window: Window, padding: kernels.Padding, relu: bool
) -> Step:
    """arrays: x (N, C, H, W), weight (K, C / groups, kh, kw), bias (K,), y; x and y in channels-last memory."""
    x, weight, bias, y = arrays
    top, left, bottom, right = padding
    if window.groups > 1:
        weight = weight.reshape(window.groups, -1, *weight.shape[1:])
    gaps = (window.dilation[0] - 1, window.dilation[1] - 1)
    geometry = (window.stride, gaps, (top, left), (bottom, right))
    return _weighted("convolution", (x, weight, bias, y), api.Layout.channels_last, relu, *geometry)


def product(arrays: tuple[Array, Array, Array, Array], relu: bool) -> Step:
    """arrays: x (N, I), weight (O, I), bias (O,), y (N, O)."""
    return _weighted("inner_product", arrays, api.Layout.plain, relu)


def max_pooling(x: Array, y: Array, kernel: kernels.Pair, stride: kernels.Pair, padding: kernels.Padding) -> Step:
    """Maxima of windows; x and y (N, C, H, W) in channels-last memory."""
    top, left, bottom, right = padding
    source, target = api.Layout.channels_last(x.shape), api.Layout.channels_last(y.shape)
    description = api.Description(
        "pooling_forward", api.engine(), api.FORWARD_INFERENCE, api.POOLING_MAX,
        source, target, stride, kernel, (0, 0), (top, left), (bottom, right), None,
    )  # fmt: skip
    return _bound(description, {api.SRC: (source, x), api.DST: (target, y)})
