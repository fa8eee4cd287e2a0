"""What a plan runs: calls without arguments, bound to fixed arrays."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from dlcore import kernels
from dlcore.activity import Activity, Array
from dlcore.inference import packed
from dlcore.inference.fuse import Convolution, Product, uses
from dlcore.kernels import native
from dlcore.nn.module import Module

Step: TypeAlias = Callable[[], None]


def store(result: Activity, into: Activity) -> None:
    """Copy `result` into arrays of the same nesting and shapes."""
    if isinstance(result, list) and isinstance(into, list):
        for part, target in zip(result, into, strict=True):
            store(part, target)
    else:
        np.copyto(into, result)  # type: ignore[arg-type]


def eager(module: Module, x: Activity, y: Activity) -> Step:
    """The module itself: what a plan has no faster step for."""
    return lambda: store(module.apply(x)[0], y)


def _add(y: Array, residual: Array, relu: bool) -> None:
    np.add(y, residual, out=y)
    if relu:
        np.maximum(y, 0, out=y)


def convolution(op: Convolution, x: Array, residual: Array | None, y: Array, padding: kernels.Padding) -> Step:
    """By oneDNN with packed weights, else by the kernel of the seam; then the residual."""
    window, relu_now = op.window, op.relu and residual is None
    if uses("onednn"):
        run = packed.convolution((x, op.weight, op.bias, y), window, padding, relu_now)
    else:
        geometry = (window.stride, padding, window.dilation, window.groups)

        def run() -> None:
            np.copyto(y, kernels.conv2d(x, op.weight, op.bias, *geometry, relu=relu_now))

    if residual is None:
        return run

    def run_and_add() -> None:
        run()
        _add(y, residual, op.relu)

    return run_and_add


def product(op: Product, x: Array, y: Array) -> Step:
    """By oneDNN with packed weights, else by the kernel of the seam."""
    if uses("onednn"):
        return packed.product((x, op.weight, op.bias, y), op.relu)
    return lambda: np.copyto(y, kernels.linear(x, op.weight, op.bias, relu=op.relu))


def max_pooling(x: Array, y: Array, kernel: kernels.Pair, stride: kernels.Pair, padding: kernels.Padding) -> Step:
    """By oneDNN, else by the kernel of the seam."""
    if uses("onednn"):
        return packed.max_pooling(x, y, kernel, stride, padding)
    return lambda: np.copyto(y, kernels.max_pool2d(x, kernel, stride, padding)[0])


def winograd(
    op: Convolution, x: Array, residual: Array | None, y: Array, padding: kernels.Padding, threads: int
) -> native.WinogradConvolution:
    """By the native kernel, everything fused; x, residual and y are (N, C, H, W) in channels-last memory."""
    rows = [None if part is None else part.transpose(0, 2, 3, 1) for part in (x, y, residual)]
    return native.WinogradConvolution(
        rows[0],  # type: ignore[arg-type]
        native.WinogradWeights.prepare(op.weight),
        np.ascontiguousarray(op.bias, np.float32),
        rows[1],  # type: ignore[arg-type]
        padding,
        dilation=op.window.dilation[0],
        relu=op.relu,
        pool=op.pool,
        residual=rows[2],
        threads=threads,
    )


def relu(x: Array, y: Array) -> Step:
    """max(x, 0)."""

    def run() -> None:
        np.maximum(x, 0, out=y)

    return run


def join(parts: list[Array], y: Array, axis: int) -> Step:
    """Concatenate along `axis`."""
    ends = np.cumsum([part.shape[axis] for part in parts])
    index = [
        (slice(None),) * axis + (slice(end - part.shape[axis], end),) for part, end in zip(parts, ends, strict=True)
    ]

    def run() -> None:
        for part, where in zip(parts, index, strict=True):
            y[where] = part

    return run


def tanh(x: Array, y: Array) -> Step:
    """Hyperbolic tangent."""
    return lambda: np.copyto(y, np.tanh(x))


def total(parts: list[Array], y: Array) -> Step:
    """The sum of arrays of one shape."""

    def run() -> None:
        np.add(parts[0], parts[1], out=y)
        for part in parts[2:]:
            np.add(y, part, out=y)

    return run


def normalize_scale(x: Array, y: Array, weight: Array, eps: float) -> Step:
    """Each pixel (N, C, H, W) divided by the norm of its channels, times weight (1, C, 1, 1)."""
    rows, out = x.transpose(0, 2, 3, 1), y.transpose(0, 2, 3, 1)
    scale = weight.reshape(-1)

    def run() -> None:
        squares = np.einsum("nhwc,nhwc->nhw", rows, rows)
        np.multiply(rows, (1.0 / np.sqrt(squares + np.float32(eps)))[..., None], out=out)
        np.multiply(out, scale, out=out)

    return run
