"""From a fused network to steps bound to memory: one rule per kind of operation, eager for the rest."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, leaves, map_leaves
from dlcore.inference import steps
from dlcore.inference.arena import Arena, Buffer
from dlcore.inference.fuse import Convolution, Product, suits_winograd
from dlcore.inference.trace import Layer, Network, Op, Value
from dlcore.inference.trace import leaves as ops_of
from dlcore.kernels import native
from dlcore.kernels.memory import empty
from dlcore.nn.layer import (
    CAddTable,
    InferReshape,
    JoinTable,
    NormalizeScale,
    ReLU,
    Reshape,
    SpatialMaxPooling,
    Tanh,
    Transpose,
    View,
)
from dlcore.nn.layout import axis_of
from dlcore.nn.module import Module


@dataclass
class Lowering:
    """The state of one lowering: what has been computed so far, and where it lies.

    values: operation -> its arrays, of logical shape (N, C, H, W) in channels-last memory where 4-D.
    flattened: operation -> (C, H, W) where its rows are in the order (H, W, C) instead of (C, H, W).
    """

    network: Network
    threads: int
    arena: Arena = field(default_factory=Arena)
    program: list[steps.Step] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    values: dict[Op, Activity] = field(default_factory=dict)
    flattened: dict[Op, tuple[int, ...]] = field(default_factory=dict)
    _buffers: dict[Op, list[Buffer]] = field(default_factory=dict)
    _readers: dict[Op, int] = field(default_factory=dict)

    def run(self, input_shape: tuple[int, ...]) -> None:
        """Lower every operation, in order."""
        self.users = self.network.users()
        self._readers = {op: len(users) for op, users in self.users.items()}
        for op in ops_of(self.network.output):
            self._readers[op] += 1
        self.values[self.network.input] = self.new(self.network.input, input_shape)
        for op in self.network.ops:
            self._lower(op)
            for source in op.sources:
                self._read(source)
        self._share_workspace()

    def _lower(self, op: Op) -> None:
        before = len(self.program)
        kind = type(op.module) if isinstance(op, Layer) else type(op)
        self.values[op] = RULES.get(kind, _eager)(self, op)
        self.names += [kind.__name__] * (len(self.program) - before)

    def _read(self, op: Op) -> None:
        self._readers[op] -= 1
        if self._readers[op]:
            return
        for buffer in self._buffers[op]:
            buffer.results -= 1
            if not buffer.results:
                self.arena.give_back(buffer)

    def _share_workspace(self) -> None:
        convolutions = [step for step in self.program if isinstance(step, native.WinogradConvolution)]
        if convolutions:
            # Not from the arena: its free buffers are in use at other times.
            workspace = empty((max(step.workspace_size for step in convolutions),))
            for step in convolutions:
                step.use_workspace(workspace)

    def new(self, op: Op, shape: tuple[int, ...]) -> Array:
        """Memory for a result of `op`; channels-last if it has four dimensions."""
        buffer = self.arena.take(int(np.prod(shape)))
        buffer.results += 1
        self._buffers.setdefault(op, []).append(buffer)
        flat = buffer.memory[: int(np.prod(shape))]
        if len(shape) != 4:
            return flat.reshape(shape)
        n, c, h, w = shape
        return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2)

    def view(self, op: Op, result: Array) -> Array:
        """`result` lies in the memory of what `op` takes."""
        for source in op.sources:
            for buffer in self._buffers[source]:
                buffer.results += 1
                self._buffers.setdefault(op, []).append(buffer)
        return result

    def taken(self, value: Value) -> Activity:
        """The arrays of what an operation takes."""
        return [self.taken(part) for part in value] if isinstance(value, list) else self.values[value]

    def arrays(self, op: Op) -> list[Array]:
        """The arrays that `op` takes, none of them a table."""
        found = [self.values[source] for source in op.sources]
        return [value for value in found if not isinstance(value, list)]

    def array(self, op: Op) -> Array:
        """The single array that `op` takes.

        Raises:
            ValueError: it takes a table.
        """
        if len(found := self.arrays(op)) != 1 or isinstance(op.taken, list):
            raise ValueError(f"plan: got a table as the input of {type(op).__name__}, expected one array")
        return found[0]


def _module(op: Op) -> Module:
    if not isinstance(op, Layer):
        raise TypeError(f"plan: got {type(op).__name__}, expected a layer")
    return op.module


def _eager(state: Lowering, op: Op) -> Activity:
    x = state.taken(op.taken)
    for leaf in leaves(x):
        leaf.fill(0)
    module = _module(op)
    y = map_leaves(lambda leaf: state.new(op, leaf.shape), module.apply(x)[0])
    state.program.append(steps.eager(module, x, y))
    return y


def _reshape(state: Lowering, op: Op) -> Activity:
    """A view where memory allows; flattening in memory order where only products read it, which then permute their weights."""
    x, module = state.array(op), _module(op)
    y = module.apply(x)[0]
    if np.shares_memory(x, y):
        return state.view(op, y)
    is_flat = x.ndim == 4 and y.ndim == 2 and y.shape == (x.shape[0], x[0].size) and not isinstance(module, Transpose)
    if is_flat and all(type(user) is Product for user in state.users[op]) and op not in ops_of(state.network.output):
        state.flattened[op] = x.shape[1:]
        return state.view(op, x.transpose(0, 2, 3, 1).reshape(y.shape))
    return _eager(state, op)


def _convolution(state: Lowering, op: Convolution) -> Activity:
    x, *others = state.arrays(op)
    n, _, height, width = x.shape
    top, left, bottom, right = padding = op.window.padding((height, width), "plan")
    sizes = (height + top + bottom, width + left + right)
    geometry = zip(sizes, op.window.kernel, op.window.stride, op.window.dilation, strict=True)
    rows, columns = ((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in geometry)
    extra = 1 if op.pool == "ceil" else 0
    if op.pool != "none":
        rows, columns = (rows + extra) // 2, (columns + extra) // 2
    y = state.new(op, (n, len(op.weight), rows, columns))
    residual = others[0] if others else None
    if suits_winograd(op):
        state.program.append(steps.winograd(op, x, residual, y, padding, state.threads))
    else:
        state.program.append(steps.convolution(op, x, residual, y, padding))
    return y


def _product(state: Lowering, op: Product) -> Activity:
    x = state.array(op)
    order = state.flattened.get(op.sources[0])
    if order is not None:
        op.weight = op.weight.reshape(-1, *order).transpose(0, 2, 3, 1).reshape(len(op.weight), -1)
    y = state.new(op, (len(x), len(op.weight)))
    state.program.append(steps.product(op, x, y))
    return y


def _max_pooling(state: Lowering, op: Op) -> Activity:
    x, module = state.array(op), _module(op)
    if module.format.upper() != "NCHW" or x.ndim != 4:
        return _eager(state, op)
    window = module.window
    size, padding = window.fit(x.shape[2:], module.label())
    y = state.new(op, (*x.shape[:2], *size))
    state.program.append(steps.max_pooling(x, y, window.kernel, window.stride, padding))
    return y


def _elementwise(make: Callable[[Array, Array], steps.Step]) -> Callable[[Lowering, Op], Activity]:
    def rule(state: Lowering, op: Op) -> Activity:
        x = state.array(op)
        y = state.new(op, x.shape)
        state.program.append(make(x, y))
        return y

    return rule


def _normalize_scale(state: Lowering, op: Op) -> Activity:
    x, module = state.array(op), _module(op)
    if module.p != 2 or x.ndim != 4:
        return _eager(state, op)
    y = state.new(op, x.shape)
    state.program.append(steps.normalize_scale(x, y, module.weight.value, module.eps))
    return y


def _sum(state: Lowering, op: Op) -> Activity:
    parts = state.arrays(op)
    if len({part.shape for part in parts}) > 1:
        return _eager(state, op)
    y = state.new(op, parts[0].shape)
    state.program.append(steps.total(parts, y))
    return y


def _join(state: Lowering, op: Op) -> Activity:
    module = _module(op)
    parts = state.arrays(op)
    axis = axis_of(module.dimension, parts[0].ndim, module.n_input_dims, module.label())
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    y = state.new(op, tuple(shape))
    state.program.append(steps.join(parts, y, axis))
    return y


RULES: dict[type, Callable[[Lowering, Any], Activity]] = {
    Convolution: _convolution,
    Product: _product,
    SpatialMaxPooling: _max_pooling,
    ReLU: _elementwise(steps.relu),
    Tanh: _elementwise(steps.tanh),
    NormalizeScale: _normalize_scale,
    CAddTable: _sum,
    JoinTable: _join,
    **dict.fromkeys((View, Reshape, InferReshape, Transpose), _reshape),
}
