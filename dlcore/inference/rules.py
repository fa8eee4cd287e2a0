"""The rules of a plan: how each kind of operation becomes steps, eager for the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlcore.activity import Activity, Array
from dlcore.inference import steps
from dlcore.inference.dispatch import rule_of
from dlcore.inference.fuse import Convolution, Inverted, Product, uses
from dlcore.inference.lowering import Lowering, Rule
from dlcore.inference.trace import Entry, Fold, Layer, Op, Unfold
from dlcore.inference.weighted import both_ways, convolution, inverted, product, recurrent
from dlcore.inference.whole_layers import dynamic, eager, entry, fold, module_of, reshape, unfold, view
from dlcore.kernels.memory import is_channels_last
from dlcore.nn.layer import (
    BifurcateSplitTable,
    BiRecurrent,
    CAddTable,
    CMulTable,
    FlattenTable,
    InferReshape,
    JoinTable,
    LogSoftMax,
    LookupTable,
    Narrow,
    NarrowTable,
    NormalizeScale,
    Recurrent,
    ReLU,
    Reshape,
    Select,
    SelectTable,
    SoftMax,
    SpatialAveragePooling,
    SpatialCrossMapLRN,
    SpatialMaxPooling,
    SplitTable,
    Squeeze,
    Tanh,
    Transpose,
    Unsqueeze,
    View,
)
from dlcore.nn.layers.activation import softmax_axis
from dlcore.nn.layers.embedding import DOUBLEMAX
from dlcore.nn.layers.pooling import PoolWindow
from dlcore.nn.layout import axis_of


def _max_pooling(state: Lowering, op: Op) -> Activity:
    (x, form), module = state.passed(op), module_of(op)
    if module.format.upper() != "NCHW" or x.ndim != 4:
        return eager(state, op)
    window = module.window
    size, padding = window.fit(x.shape[2:], module.label())
    x = state.image(op, x)
    y = state.result(op, (*x.shape[:2], *size), form)
    state.program.append(steps.max_pooling(x, y, window.kernel, window.stride, padding, form))
    return y


def _average_pooling(state: Lowering, op: Op) -> Activity:
    x, module = state.array(op), module_of(op)
    if module.format.upper() != "NCHW" or x.ndim != 4 or not module.divide or not x.size:
        return eager(state, op)
    image, pads = tuple(x.shape[2:]), (module.pad_h, module.pad_w)
    window = PoolWindow(image, image, (0, 0), False)
    if not module.global_pooling:
        window = PoolWindow((module.kh, module.kw), (module.dh, module.dw), pads, module.ceil_mode)
    size, padding = window.fit(image, module.label())
    counts = window.counted(image, padding, size, module.count_include_pad)
    is_whole = bool((counts == np.prod(window.kernel)).all())
    if not is_whole and module.count_include_pad:  # of a padding that counts, oneDNN counts what lies beyond it too
        return eager(state, op)
    x = state.image(op, x)
    y = state.new(op, (*x.shape[:2], *size))
    state.program.append(steps.average_pooling(x, y, window.kernel, window.stride, padding, is_whole))
    return y


def _elementwise(make: Callable[[Array, Array], steps.Step]) -> Callable[[Lowering, Op], Activity]:
    def rule(state: Lowering, op: Op) -> Activity:
        x = state.array(op)
        y = state.like(op, x)
        state.program.append(make(x, y))
        return y

    return rule


def _normalize_scale(state: Lowering, op: Op) -> Activity:
    x, module = state.array(op), module_of(op)
    if module.p != 2 or x.ndim != 4:
        return eager(state, op)
    y = state.new(op, x.shape)
    state.program.append(steps.normalize_scale(x, y, module.weight.value, module.eps))
    return y


def _combined(make: Callable[[list[Array], Array], steps.Step]) -> Rule:
    def rule(state: Lowering, op: Op) -> Activity:
        parts = state.arrays(op)
        if len({part.shape for part in parts}) > 1 or len(parts) < 2:
            return eager(state, op)
        y = state.like(op, parts[0])
        state.program.append(make(parts, y))
        return y

    return rule


def _softmax(is_log: bool) -> Rule:
    def rule(state: Lowering, op: Op) -> Activity:
        x, module = state.array(op), module_of(op)
        if not uses("onednn") or not x.size or x.ndim == 5:
            return eager(state, op)
        axis = softmax_axis(x, 1 if is_log else module.pos, module.label())
        if not -x.ndim <= axis < x.ndim:
            return eager(state, op)
        x = state.image(op, x) if x.ndim == 4 else state.rows(op, x)
        y = state.new(op, x.shape)
        state.program.append(steps.softmax(x, y, axis % x.ndim, is_log))
        return y

    return rule


def _lrn(state: Lowering, op: Op) -> Activity:
    x, module = state.array(op), module_of(op)
    if not uses("onednn") or not x.size or x.ndim != 4 or module.data_format.upper() != "NCHW":
        return eager(state, op)
    x = state.image(op, x)
    y = state.new(op, x.shape)
    state.program.append(steps.lrn(x, y, module.size, module.alpha, module.beta, module.k))
    return y


def _lookup(state: Lowering, op: Op) -> Activity:
    x, module = state.array(op), module_of(op)
    if not uses("native") or module.max_norm < DOUBLEMAX:  # rows may be shortened in place
        return eager(state, op)
    numbers = x if x.ndim == 1 else state.rows(op, x).reshape(-1)
    y = state.new(op, (*x.shape, module.n_output), is_image=False)
    state.program.append(steps.lookup(numbers, y.reshape(len(numbers), module.n_output), module))
    return y


def _join(state: Lowering, op: Op) -> Activity:
    module = module_of(op)
    parts = state.arrays(op)
    axis = axis_of(module.dimension, parts[0].ndim, module.n_input_dims, module.label())
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    y = state.new(op, tuple(shape), is_channels_last(parts[0]) if len(shape) == 3 else None)
    state.program.append(steps.join(parts, y, axis))
    return y


OPERATIONS: dict[type[Op], Rule] = {
    Convolution: convolution,
    Inverted: inverted,
    Product: product,
    Entry: entry,
    Fold: fold,
    Unfold: unfold,
}
"""The rules of operations that are no layers."""

LAYERS: dict[type, Rule] = {
    SpatialMaxPooling: _max_pooling,
    SpatialAveragePooling: _average_pooling,
    ReLU: _elementwise(steps.relu),
    Tanh: _elementwise(steps.tanh),
    NormalizeScale: _normalize_scale,
    CAddTable: _combined(steps.total),
    CMulTable: _combined(steps.multiplied),
    SoftMax: _softmax(False),
    LogSoftMax: _softmax(True),
    SpatialCrossMapLRN: _lrn,
    LookupTable: _lookup,
    JoinTable: _join,
    Recurrent: recurrent,
    BiRecurrent: both_ways,
    **dict.fromkeys((View, Reshape, InferReshape), reshape),
    **dict.fromkeys((Transpose, Select, Narrow, Squeeze, Unsqueeze), view),
    **dict.fromkeys((SplitTable, BifurcateSplitTable, SelectTable, NarrowTable, FlattenTable), view),
}
"""The rules of layers, by class; a subclass that keeps `apply` follows its parent's."""


def rule_for(state: Lowering, op: Op) -> Rule:
    """The rule that lowers `op`: by what it is or, of a layer, by its class."""
    if op in state.dynamic:
        return dynamic
    if isinstance(op, Layer):
        return rule_of(LAYERS, op.module) or eager
    return OPERATIONS[type(op)]
