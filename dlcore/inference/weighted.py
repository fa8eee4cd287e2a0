"""Rules of a plan for what has weights of its own: convolutions, blocks of them, products, recurrent layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, map_leaves
from dlcore.inference import recurrence, steps
from dlcore.inference.forms import FP32, Form, Stored
from dlcore.inference.fuse import Convolution, Inverted, Product, Weighted, suits_winograd
from dlcore.inference.lowering import Lowering
from dlcore.inference.trace import Op
from dlcore.inference.whole_layers import eager, module_of
from dlcore.kernels import Padding, native_separable
from dlcore.kernels.memory import channels_to_end, empty
from dlcore.kernels.reference import output_size
from dlcore.nn.layer import (
    CAddTable,
)
from dlcore.nn.layers.cells import GatedCell
from dlcore.nn.module import Module


def _taken(state: Lowering, op: Weighted) -> tuple[list[Stored], list[Form]]:
    """What `op` takes, the first in the form that its precision wants, what is added as it is stored; and these
    forms."""
    if op.precision == "fp32" or not all(isinstance(state.values[source], np.ndarray) for source in op.sources):
        op.precision = "fp32"
        arrays = state.arrays(op)
        return list(arrays), [FP32] * len(arrays)
    first, *others = op.sources
    stored = state.forms.get(first, FP32)
    form = stored if stored.precision == op.precision else state.storage.low(first, op.precision)
    found = [(state.in_form(first, form), form), *map(state.stored, others)]
    return [x for x, _ in found], [form for _, form in found]


def convolution(state: Lowering, op: Convolution) -> Activity:
    (x, *others), (form, *added) = _taken(state, op)
    planes, rank = op.weight.shape[1] * op.window.groups, len(op.window.kernel)
    if x.ndim - rank not in (1, 2) or x.shape[-1 - rank] != planes:
        raise ValueError(
            f"plan: {op.label}: got input {x.shape}, expected (N, {planes}, ...) with {rank} spatial dimensions"
        )
    batch = state.image(op, x if x.ndim == rank + 2 else x[None])
    padding = op.window.padding(batch.shape[2:], op.label)
    size = output_size(batch.shape, op.window.kernel, op.window.stride, padding, op.window.dilation)
    if op.pool != "none":
        size = tuple((side + (op.pool == "ceil")) // 2 for side in size)
    shape = (len(batch), len(op.weight), *size)
    is_sum = bool(others) and others[0].shape == (shape if x.ndim == rank + 2 else shape[1:])
    given = state.storage.of(op) if is_sum or not others else FP32
    y = state.result(op, shape, given)
    result = y if x.ndim == rank + 2 else y[0]
    if not others:
        return _convolved(state, op, (batch, None, y), padding, result, (form, None, given))
    if is_sum:
        residual = state.image(op, others[0].reshape(y.shape))
        return _convolved(state, op, (batch, residual, y), padding, result, (form, added[0], given))
    _convolved(state, replace(op, relu=False, ceiling=np.inf), (batch, None, y), padding, result, (form, None, FP32))
    other = state.in_form(op.sources[1], FP32)
    total = state.new(op, np.broadcast_shapes(result.shape, other.shape))
    state.program.append(steps.add(result, other, total, op))
    return total


def _convolved(
    state: Lowering,
    op: Convolution,
    arrays: tuple[Stored, Stored | None, Stored],
    padding: Padding,
    result: Stored,
    forms: steps.Forms,
) -> Array:
    """The step of (x, residual, y), all in channels-last memory and stored as `forms` say; gives `result`, which is
    y."""
    x, residual, y = arrays
    if suits_winograd(op):
        state.program.append(steps.winograd(op, x, residual, y, padding, state.threads))
        if np.isfinite(op.ceiling):
            state.program.append(steps.limit(y, op.ceiling))
    else:
        state.program.append(steps.convolution(op, x, residual, y, padding, forms))
    return result


def inverted(state: Lowering, op: Inverted) -> Activity:
    """All convolutions of the block in one pass where that is faster, else one after the other."""
    x, *others = state.arrays(op)
    *wide, deep, out = op.parts
    window, rows = deep.window, wide[0] if wide else deep
    planes = rows.weight.shape[1] if wide else len(rows.weight)
    is_odd = x.ndim != 4 or x.shape[1] != planes or not x.size
    padding = (0,) * 4 if is_odd else window.padding(x.shape[2:], deep.label)
    parts = steps.block_parts(op)
    if is_odd or not native_separable.suits(x.shape[2:], *parts, window.stride, padding, len(x)):
        return state.within(op, op.parts)
    size = output_size(x.shape, window.kernel, window.stride, padding, window.dilation)
    shape = (len(x), len(out.weight), *size)
    if others and others[0].shape != shape:
        return state.within(op, op.parts)
    residual = state.image(op, others[0]) if others else None
    x, y = state.image(op, x), state.new(op, shape)
    state.program.append(steps.inverted(parts, (x, residual, y), window.stride[0], padding, state.threads))
    return y


def product(state: Lowering, op: Product) -> Activity:
    (x, *_), (form, *_) = _taken(state, op)
    columns = op.weight.shape[1]
    if x.ndim not in (1, 2) or x.shape[-1] != columns:
        raise ValueError(f"plan: {op.label}: got input {x.shape}, expected (N, {columns})")
    order = state.flattened.get(op.sources[0])
    if order is not None:
        weights = op.weight.reshape(-1, *order)
        op.weight = channels_to_end(weights).reshape(len(weights), -1)
    rows = state.rows(op, x).reshape(-1, columns)
    given = state.storage.of(op)
    y = state.result(op, (len(rows), len(op.weight)), given)
    state.program.append(steps.product(op, rows, y, (form, None, given)))
    return y if x.ndim == 2 else y[0]


def recurrent(state: Lowering, op: Op) -> Activity:
    """All steps at once, where the cell has a kernel for that."""
    module = module_of(op)
    y = _recurrence(state, op, module.cell, module)
    return eager(state, op) if y is None else y


def _recurrence(
    state: Lowering, op: Op, cell: Module, holder: Module | None, is_reversed: bool = False
) -> Array | None:
    """The result of `cell` over the steps of what `op` takes, from the states that `holder` has when it runs, else from
    zeros."""
    x = state.array(op)
    if (
        not isinstance(cell, GatedCell)
        or x.ndim != 3
        or x.shape[-1] != cell.input_size
        or (kernel := cell.whole()) is None
    ):
        return None
    y = state.new(op, (*x.shape[:2], cell.hidden_size), is_image=False)
    states = [empty((len(x), cell.hidden_size)) for _ in range(cell.state_count)]
    step = recurrence.recurrence(kernel, (state.rows(op, x), y), states, holder, is_reversed, state.threads)
    state.program.append(step)
    return y


def both_ways(state: Lowering, op: Op) -> Activity:
    """Both directions at once each, then their merge."""
    module = module_of(op)
    ways = [_recurrence(state, op, cell, None, back) for cell, back in zip(module.modules, (False, True), strict=True)]
    parts: Any = [way for way in ways if way is not None]
    if len(parts) < 2:
        return eager(state, op)
    merge = CAddTable() if module.merge is None else module.merge
    for part in parts:
        part.fill(1)
    y = map_leaves(lambda leaf: state.like(op, leaf), merge.apply(parts)[0])
    state.program.append(steps.eager(merge, parts, y))
    return y
