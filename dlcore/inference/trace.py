"""Turn nested modules into a flat list of operations: containers and graphs are taken apart, everything else is one
operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dlcore.inference.dispatch import rule_of
from dlcore.nn.composed import Composed
from dlcore.nn.container import ConcatTable, ParallelTable, Sequential, TimeDistributed
from dlcore.nn.graph import Graph
from dlcore.nn.layer import Concat, Contiguous, Dropout, Identity, InputLayer, JoinTable
from dlcore.nn.module import Module


@dataclass(eq=False)
class Op:
    """One operation; `taken` is what it takes: an operation's result, or a table of results. The input takes
    nothing."""

    taken: Value

    @property
    def sources(self) -> list[Op]:
        """The operations whose results it takes."""
        return list(leaves(self.taken))


Value: TypeAlias = "Op | list[Value]"


@dataclass(eq=False)
class Layer(Op):
    """A module as it is."""

    module: Module

    @property
    def is_dynamic(self) -> bool:
        """Whether the size of what it gives depends on data."""
        return any(module.is_dynamic for _, module in self.module.named_modules())


@dataclass(eq=False)
class Entry(Op):
    """The entry at `position` (0-based) of a table of `length` entries that an operation gives."""

    position: int
    length: int


@dataclass(eq=False)
class Fold(Op):
    """Steps as rows: (N, T, ...) -> (N T, ...)."""


@dataclass(eq=False)
class Unfold(Op):
    """Rows (N T, ...) as steps (N, T, ...), as those of the second thing it takes."""


def leaves(value: Value) -> Iterator[Op]:
    """The operations of a value, in order."""
    if isinstance(value, Op):
        yield value
    else:
        for part in value:
            yield from leaves(part)


def substitute(value: Value, replacement: dict[Op, Op]) -> Value:
    """`value` with operations replaced, chains of replacements followed to their end."""
    if isinstance(value, list):
        return [substitute(part, replacement) for part in value]
    while value in replacement:
        value = replacement[value]
    return value


@dataclass
class Network:
    """Operations in an order in which they can be computed, their input first, and what the model gives."""

    input: Op
    ops: list[Op]
    output: Value

    def users(self) -> dict[Op, list[Op]]:
        """Operation -> the operations that take its result."""
        found: dict[Op, list[Op]] = {op: [] for op in [self.input, *self.ops]}
        for op in self.ops:
            for source in op.sources:
                found[source].append(op)
        return found

    def dynamic(self) -> set[Op]:
        """The operations that give, or take, something whose size depends on data."""
        found: set[Op] = set()
        for op in self.ops:
            if (isinstance(op, Layer) and op.is_dynamic) or not found.isdisjoint(op.sources):
                found.add(op)
        return found

    def replace(self, replacement: dict[Op, Op]) -> None:
        """Drop the replaced operations and let their users take the replacements instead."""
        self.ops = [op for op in self.ops if op not in replacement]
        for op in self.ops:
            op.taken = substitute(op.taken, replacement)
        self.output = substitute(self.output, replacement)


def trace(model: Module) -> Network:
    """Take `model` apart. What passes its input on (dropout, identity) leaves no operation; the input may be a
    table."""
    start = Op([])
    ops: list[Op] = []
    output = _take_apart(model, start, ops)
    return Network(start, ops, output)


def _take_apart(module: Module, x: Value, ops: list[Op]) -> Value:
    return (rule_of(_RULES, module) or _as_it_is)(module, x, ops)


def _as_it_is(module: Module, x: Value, ops: list[Op]) -> Value:
    op = Layer(x, module)
    ops.append(op)
    return op


def _sequential(module: Sequential, x: Value, ops: list[Op]) -> Value:
    for part in module.modules:
        x = _take_apart(part, x, ops)
    return x


def _entries(x: Value, length: int, module: Module, ops: list[Op]) -> list[Value]:
    """The `length` entries of a table that `module` takes."""
    if isinstance(x, list):
        if len(x) != length:
            raise ValueError(f"plan: {module.label()}: got a table of {len(x)} entries, expected {length}")
        return x
    entries: list[Value] = [Entry(x, position, length) for position in range(length)]
    ops.extend(entries)  # type: ignore[arg-type]
    return entries


def _parallel(module: ParallelTable, x: Value, ops: list[Op]) -> Value:
    entries = _entries(x, len(module.modules), module, ops)
    return [_take_apart(part, entry, ops) for part, entry in zip(module.modules, entries, strict=True)]


def _graph(module: Graph, x: Value, ops: list[Op]) -> Value:
    count = len(module.inputs)
    entries = [x] if count == 1 else _entries(x, count, module, ops)
    given = dict(zip(map(id, module.inputs), entries, strict=True))
    found: list[Value] = []
    for node, sources in zip(module.nodes, module.sources, strict=True):
        before = [found[source] for source in sources]
        taken = given[id(node)] if id(node) in given else before[0] if len(before) == 1 else before
        found.append(_take_apart(node.module, taken, ops))
    values = dict(zip(map(id, module.nodes), found, strict=True))
    outputs = [values[id(node)] for node in module.outputs]
    return outputs[0] if len(outputs) == 1 else outputs


def _concat(module: Concat, x: Value, ops: list[Op]) -> Value:
    parts: list[Value] = [_take_apart(part, x, ops) for part in module.modules]
    ops.append(Layer(parts, JoinTable(module.dimension, 0)))
    return ops[-1]


def _time_distributed(module: TimeDistributed, x: Value, ops: list[Op]) -> Value:
    if isinstance(x, list):
        return _as_it_is(module, x, ops)
    ops.append(Fold(x))
    inner = _take_apart(module.model, ops[-1], ops)
    if isinstance(inner, list):
        raise ValueError(f"plan: {module.label()}: got a table from {module.model.label()}, expected one array")
    ops.append(Unfold([inner, x]))
    return ops[-1]


_RULES: dict[type[Module], Callable[..., Value]] = {
    Sequential: _sequential,
    Graph: _graph,
    ParallelTable: _parallel,
    Concat: _concat,
    TimeDistributed: _time_distributed,
    Composed: lambda module, x, ops: _take_apart(module.built(), x, ops),
    ConcatTable: lambda module, x, ops: [_take_apart(part, x, ops) for part in module.modules],
    InputLayer: lambda module, x, ops: x,
    Identity: lambda module, x, ops: x,
    Contiguous: lambda module, x, ops: x,
    Dropout: lambda module, x, ops: x if module.scale else _as_it_is(module, x, ops),
}
