"""The steps that a plan runs: calls without arguments, bound to fixed arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from dlcore import kernels
from dlcore.activity import Activity, Array, describe, leaves, map_leaves
from dlcore.inference import packed
from dlcore.inference.forms import FP32, Form, Scaled, Stored, scaled
from dlcore.inference.fuse import Convolution, Inverted, Product, Weighted, uses
from dlcore.kernels import native, native_separable
from dlcore.kernels.memory import contiguous
from dlcore.kernels.native_separable import Part
from dlcore.kernels.onednn_api import POOLING_AVERAGE_WITH_PADDING, POOLING_AVERAGE_WITHOUT_PADDING, POOLING_MAX
from dlcore.nn.module import Module


@dataclass(eq=False)
class Step:
    """One call of a plan.

    kernel: what computes it; work: its floating-point operations, 0 where they are not counted. name, shape: what is
    computed, and what it gives. precision: of its arithmetic; of a conversion, from what to what.
    """

    run: Callable[[], None]
    kernel: str
    work: float = 0.0
    name: str = ""
    shape: str = ""
    precision: str = "fp32"


_FEW_PLANES = 4
NUMPY, LAYER = "numpy", "layer"
"""Kernels of steps: numpy's functions on fixed memory; the layer itself."""


@dataclass(eq=False)
class Dynamic:
    """A result whose size depends on data: another array, or table, at each run."""

    value: Activity = field(default_factory=list)


Operand: TypeAlias = "Activity | Dynamic | Sequence[Operand]"
"""The input or output of a step: fixed memory, a holder of a dynamic result, or a table of these."""


def current(operand: Operand) -> Activity:
    """The arrays that `operand` stands for in this run."""
    if isinstance(operand, Sequence):
        return [current(part) for part in operand]
    return operand.value if isinstance(operand, Dynamic) else operand


def store(result: Activity, into: Activity) -> None:
    """Copy `result` into arrays of the same nesting and shapes."""
    for part, target in zip(leaves(result), leaves(into), strict=True):
        np.copyto(target, part)


def applied(module: Module) -> Callable[[Activity], Any]:
    """The output of `module`; one that keeps states gets inputs of its own, since the memory of a plan is used
    again."""
    if not module.keeps_states():
        return lambda x: module.apply(x)[0]
    return lambda x: module.apply(map_leaves(lambda leaf: leaf.copy(order="K"), x))[0]


def eager(module: Module, x: Activity, y: Activity) -> Step:
    """The module itself: what a plan has no faster step for."""
    planned, function = describe(y), applied(module)

    def run() -> None:
        result = function(x)
        if describe(result) != planned:
            raise ValueError(
                f"plan: {module.label()}: got a result of shape {describe(result)}, expected {planned} as for other "
                f"values "
                "of the same shape; set is_dynamic = True in the class of a layer whose output size depends on data"
            )
        store(result, y)

    return Step(run, LAYER)


def dynamic(function: Callable[[Any], Activity], x: Operand, y: Dynamic) -> Step:
    """`function` of the current value of `x`; the result is `y`'s own, since the memory of a plan is used again."""

    def run() -> None:
        y.value = map_leaves(lambda leaf: leaf.copy(order="K"), function(current(x)))

    return Step(run, LAYER)


def copy(x: Array, y: Array) -> Step:
    """x in the memory order of y; plane by plane where there are few: numpy would go over short rows of channels, three
    times as slow."""
    parts = [(x, y)]
    if x.ndim > 2 and x.shape[1] <= _FEW_PLANES and x.shape == y.shape:
        parts = [(x[:, plane], y[:, plane]) for plane in range(x.shape[1])]

    def run() -> None:
        for source, target in parts:
            np.copyto(target, source)

    return Step(run, NUMPY)


def add(x: Array, residual: Array, y: Array, op: Convolution) -> Step:
    """The sum of two arrays, one of them broadcast or not, then what `op` does after a sum."""

    def run() -> None:
        np.add(x, residual, out=y)
        if op.relu:
            np.clip(y, 0, op.ceiling, out=y)

    return Step(run, NUMPY)


Forms: TypeAlias = tuple[Form, Form | None, Form]
"""How the input, what is added, and the result are stored."""
PLAIN: Forms = (FP32, None, FP32)


def _scaled(op: Weighted, forms: Forms) -> tuple[Stored, Array, tuple[bool, float], packed.Scales | None]:
    """Weights, bias, rectification and scales as oneDNN takes them for this precision."""
    if op.precision != "int8":
        return op.weight, op.bias, (op.relu, op.ceiling), None
    found: Scaled = scaled(op.weight, op.bias, op.ceiling, *forms)
    return found.weight, found.bias, (op.relu, found.ceiling), (found.factors, found.divisor)


def conversion(x: Stored, given: Form, y: Stored, wanted: Form) -> Step:
    """The same numbers stored in another form, by oneDNN."""
    run, name = packed.conversion(x, given, y, wanted)
    return Step(run, f"onednn {name}", precision=f"{given.number} to {wanted.number}")


def convolution(
    op: Convolution, x: Stored, residual: Stored | None, y: Stored, padding: kernels.Padding, forms: Forms = PLAIN
) -> Step:
    """A convolution by oneDNN with packed weights, else by the kernel of the seam. residual: (N, K, ...), in y's shape
    and order."""
    window, work = op.window, 2.0 * y.size * op.weight[0].size
    if uses("onednn"):
        weight, bias, rectified, scales = _scaled(op, forms)
        run, name = packed.convolution((x, weight, bias, y), residual, window, padding, rectified, scales)
        return Step(run, f"onednn {name}", work, precision=op.precision)
    geometry, weight = (window.stride, padding, window.dilation, window.groups), op.weight.copy(order="K")

    def convolve() -> None:
        found = kernels.conv(x, weight, op.bias, *geometry, relu=op.relu and residual is None)
        if residual is not None:
            found += residual
            np.maximum(found, 0 if op.relu else -np.inf, out=found)
        _store_below(found, op.ceiling, y)

    return Step(convolve, kernels.active(), work)


def product(op: Product, x: Stored, y: Stored, forms: Forms = PLAIN) -> Step:
    """A product by oneDNN with packed weights, else by the kernel of the seam."""
    work = 2.0 * len(x) * op.weight.size
    if uses("onednn"):
        weight, bias, rectified, scales = _scaled(op, forms)
        run, name = packed.product((x, weight, bias, y), rectified, scales)
        return Step(run, f"onednn {name}", work, precision=op.precision)
    weight = op.weight.copy(order="K")
    multiply = partial(kernels.linear, x, weight, op.bias, relu=op.relu)
    return Step(lambda: _store_below(multiply(), op.ceiling, y), kernels.active(), work)


def limit(y: Array, ceiling: float) -> Step:
    """min(y, ceiling), in place."""
    return Step(lambda: _store_below(y, ceiling, y), NUMPY)


def _store_below(x: Array, ceiling: float, y: Array) -> None:
    np.minimum(x, np.float32(ceiling), out=y)


def max_pooling(
    x: Stored, y: Stored, kernel: kernels.Sizes, stride: kernels.Sizes, padding: kernels.Padding, form: Form = FP32
) -> Step:
    """Maximum pooling by oneDNN, else by the kernel of the seam. form: that of x and y."""
    if uses("onednn"):
        run, name = packed.pooling(POOLING_MAX, x, y, kernel, stride, padding)
        return Step(run, f"onednn {name}", precision=form.number)
    return Step(lambda: np.copyto(y, kernels.max_pool(x, kernel, stride, padding)[0]), kernels.active())


def average_pooling(
    x: Array, y: Array, kernel: kernels.Sizes, stride: kernels.Sizes, padding: kernels.Padding, has_padding: bool
) -> Step:
    """Mean pooling by oneDNN, else by the kernel of the seam. has_padding: whether the padding counts."""
    if uses("onednn"):
        algorithm = POOLING_AVERAGE_WITH_PADDING if has_padding else POOLING_AVERAGE_WITHOUT_PADDING
        run, name = packed.pooling(algorithm, x, y, kernel, stride, padding)
        return Step(run, f"onednn {name}")
    return Step(lambda: np.copyto(y, kernels.avg_pool(x, kernel, stride, padding, has_padding)[0]), kernels.active())


def winograd(
    op: Convolution, x: Array, residual: Array | None, y: Array, padding: kernels.Padding, threads: int
) -> Step:
    """A convolution of images by the native kernel, everything fused; x, residual and y are (N, C, H, W) in
    channels-last memory."""
    rows = [None if part is None else part.transpose(0, 2, 3, 1) for part in (x, y, residual)]
    run = native.WinogradConvolution(
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
    return Step(run, "native winograd", 2.0 * run.pixels * op.weight.size)


def block_parts(op: Inverted) -> tuple[Part | None, Part, Part]:
    """The convolutions of a block as its kernel takes them."""
    *wide, deep, out = [Part(part.weight, part.bias, 0.0 if part.relu else -np.inf, part.ceiling) for part in op.parts]
    return wide[0] if wide else None, deep, out


def inverted(
    parts: tuple[Part | None, Part, Part],
    arrays: tuple[Array, Array | None, Array],
    stride: int,
    padding: kernels.Padding,
    threads: int,
) -> Step:
    """An inverted block by the native kernel; x, residual and y are (N, C, H, W) in channels-last memory."""
    x, residual, y = (None if part is None else part.transpose(0, 2, 3, 1) for part in arrays)
    run = native_separable.InvertedBlock(x, y, parts, stride, padding, residual=residual, threads=threads)  # type: ignore[arg-type]
    return Step(run, "native inverted block", run.work)


def relu(x: Array, y: Array) -> Step:
    """max(x, 0)."""

    def run() -> None:
        np.maximum(x, 0, out=y)

    return Step(run, NUMPY)


def join(parts: list[Array], y: Array, axis: int) -> Step:
    """Concatenate along `axis`."""
    ends = np.cumsum([part.shape[axis] for part in parts])
    index = [
        (slice(None),) * axis + (slice(end - part.shape[axis], end),) for part, end in zip(parts, ends, strict=True)
    ]

    def run() -> None:
        for part, where in zip(parts, index, strict=True):
            y[where] = part

    return Step(run, NUMPY)


def softmax(x: Array, y: Array, axis: int, is_log: bool) -> Step:
    """Softmax along `axis`, or its logarithm, by oneDNN."""
    run, name = packed.softmax(x, y, axis, is_log)
    return Step(run, f"onednn {name}")


def lrn(x: Array, y: Array, size: int, alpha: float, beta: float, k: float) -> Step:
    """Normalisation across neighbouring planes, by oneDNN."""
    run, name = packed.lrn(x, y, size, alpha, beta, k)
    return Step(run, f"onednn {name}")


def lookup(x: Array, y: Array, module: Any) -> Step:
    """The rows of a LookupTable, which remains the model's, at numbers from 1; x (N,), evenly spaced; y (N, width),
    row-major.

    The table may have become another array by then.
    """
    find, count, width = native.library().dlcore_lookup, module.n_index, y.shape[1]
    source, target = (x.ctypes.data, x.strides[0] // 4, len(x)), (y.ctypes.data, width)

    def run() -> None:
        table = contiguous(module.weight.value)
        if table.shape != (count, width):
            raise ValueError(
                f"plan: {module.label()}: got weight {table.shape}, expected {(count, width)} as it was compiled"
            )
        if (bad := find(*source, table.ctypes.data, count, width, *target)) >= 0:
            raise ValueError(f"{module.label()}: got number {x[bad]:g}, expected 1 to {count}")

    return Step(run, "native lookup")


def tanh(x: Array, y: Array) -> Step:
    """Hyperbolic tangent."""
    return Step(lambda: np.copyto(y, np.tanh(x)), NUMPY)


def multiplied(parts: list[Array], y: Array) -> Step:
    """The product of arrays of one shape, element by element."""

    def run() -> None:
        np.multiply(parts[0], parts[1], out=y)
        for part in parts[2:]:
            np.multiply(y, part, out=y)

    return Step(run, NUMPY)


def total(parts: list[Array], y: Array) -> Step:
    """The sum of arrays of one shape."""

    def run() -> None:
        np.add(parts[0], parts[1], out=y)
        for part in parts[2:]:
            np.add(y, part, out=y)

    return Step(run, NUMPY)


def normalize_scale(x: Array, y: Array, weight: Array, eps: float) -> Step:
    """Each pixel (N, C, H, W) divided by the norm of its channels, times weight (1, C, 1, 1)."""
    rows, out = x.transpose(0, 2, 3, 1), y.transpose(0, 2, 3, 1)
    scale = weight.reshape(-1).copy()

    def run() -> None:
        squares = np.einsum("nhwc,nhwc->nhw", rows, rows)
        np.multiply(rows, (1.0 / np.sqrt(squares + np.float32(eps)))[..., None], out=out)
        np.multiply(out, scale, out=out)

    return Step(run, NUMPY)
