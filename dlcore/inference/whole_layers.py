"""Rules of a plan for what it takes as it is: layers without a faster step, views, entries of tables, what depends on
data."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, describe, leaves, map_leaves
from dlcore.inference import steps
from dlcore.inference.forms import FP32
from dlcore.inference.fuse import Product
from dlcore.inference.lowering import Lowering
from dlcore.inference.trace import Entry, Fold, Layer, Op, Unfold
from dlcore.inference.trace import leaves as ops_of
from dlcore.kernels.memory import channels_to_end
from dlcore.kernels.prepared import shelf
from dlcore.nn.module import Module


def module_of(op: Op) -> Module:
    if not isinstance(op, Layer):
        raise TypeError(f"plan: got {type(op).__name__}, expected a layer")
    return op.module


_FUNCTIONS: dict[type[Op], Callable[[Any], Callable[[Any], Any]]] = {
    Entry: lambda op: itemgetter(op.position),
    Fold: lambda op: _folded,
    Unfold: lambda op: lambda taken: _unfolded(*taken),
}
"""Operations that are no layers -> what they compute of a dynamic operand."""


def _folded(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])


def _unfolded(rows: Array, x: Array) -> Array:
    return rows.reshape(*x.shape[:2], *rows.shape[1:])


def dynamic(state: Lowering, op: Op) -> steps.Dynamic:
    """Whatever the operation takes and gives at each run."""
    y = steps.Dynamic()
    function = _FUNCTIONS[type(op)](op) if type(op) in _FUNCTIONS else steps.applied(module_of(op))
    state.program.append(steps.dynamic(function, state.operand(op.taken), y))
    return y


def outlined(state: Lowering, op: Op) -> Activity:
    """The layer's result for ones, which are valid both as numbers and as places in tables."""
    return for_ones(state, op, lambda x: module_of(op).apply(x)[0])


def for_ones(state: Lowering, op: Op, function: Callable[[Activity], Any]) -> Activity:
    x, module = state.taken(op), module_of(op)
    for leaf in leaves(x):
        leaf.fill(1)
    try:
        with np.errstate(all="ignore"), shelf():  # what this run prepares is not the plan's
            result: Activity = function(x)
            return result
    except ValueError as error:
        error.add_note(
            f"plan: {module.label()} got ones of shape {describe(x)}; it has to take any values of that shape"
        )
        raise


def eager(state: Lowering, op: Op) -> Activity:
    y = map_leaves(lambda leaf: state.like(op, leaf), for_ones(state, op, module_of(op).outline))
    state.program.append(steps.eager(module_of(op), state.taken(op), y))
    return y


def entry(state: Lowering, op: Entry) -> Activity:
    table = state.taken(op)
    if not isinstance(table, list) or len(table) != op.length:
        raise ValueError(f"plan: got {describe(table)}, expected a table of {op.length} entries")
    return state.view(op, table[op.position])


def fold(state: Lowering, op: Fold) -> Activity:
    x = state.array(op)
    y = _folded(x)
    if np.shares_memory(x, y):
        return state.view(op, y)
    y = state.new(op, y.shape)
    state.program.append(steps.copy(x, _unfolded(y, x)))
    return y


def unfold(state: Lowering, op: Unfold) -> Activity:
    rows, x = state.arrays(op)
    return state.view(op, _unfolded(rows, x))


def view(state: Lowering, op: Op) -> Activity:
    """What lies in the memory of the input already, where it does."""
    y, given = outlined(state, op), state.arrays(op)
    if all(any(np.shares_memory(leaf, x) for x in given) for leaf in leaves(y)):
        return state.view(op, y)
    return eager(state, op)


def reshape(state: Lowering, op: Op) -> Activity:
    """A view where memory allows; flattening in memory order where only products read it, which then permute their
    weights."""
    if (kept := _flat_as_stored(state, op)) is not None:
        return kept
    x, y = state.array(op), outlined(state, op)
    is_flat = x.ndim > 2 and not isinstance(y, list) and y.shape == (x.shape[0], int(np.prod(x.shape[1:])))
    if is_flat and not np.shares_memory(x, y) and _feeds_products(state, op):
        flat = channels_to_end(x).reshape(y.shape)  # type: ignore[union-attr]
        if np.shares_memory(x, flat):
            state.flattened[op] = x.shape[1:]
            return state.view(op, flat)
    return view(state, op)


def _flat_as_stored(state: Lowering, op: Op) -> Activity | None:
    """An image in fewer bits than fp32, flattened in memory order for products alone; None where it is not one."""
    x, form = state.passed(op)
    if form == FP32 or x.ndim < 3 or not _feeds_products(state, op):
        return None
    shape = module_of(op).apply(np.ones(x.shape, np.float32))[0].shape
    flat = channels_to_end(x).reshape(len(x), -1)
    if shape != flat.shape or not np.shares_memory(x, flat):
        return None
    state.flattened[op], state.forms[op] = x.shape[1:], form
    return state.view(op, flat)


def _feeds_products(state: Lowering, op: Op) -> bool:
    return all(type(user) is Product for user in state.users[op]) and op not in ops_of(state.network.output)
