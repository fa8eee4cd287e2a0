"""From nested modules to a flat list of operations: containers and graphs are taken apart, everything else is one operation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dlcore.nn.container import ConcatTable, ParallelTable, Sequential
from dlcore.nn.graph import Graph
from dlcore.nn.layer import Concat, Contiguous, Dropout, Identity, InputLayer, JoinTable
from dlcore.nn.module import Module


@dataclass(eq=False)
class Op:
    """One operation; `taken` is what it takes: an operation's result, or a table of results. The input takes nothing."""

    taken: "Value"

    @property
    def sources(self) -> list["Op"]:
        """The operations whose results it takes."""
        return list(leaves(self.taken))


Value: TypeAlias = "Op | list[Value]"


@dataclass(eq=False)
class Layer(Op):
    """A module as it is."""

    module: Module


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

    def replace(self, replacement: dict[Op, Op]) -> None:
        """Drop the replaced operations and let their users take the replacements instead."""
        self.ops = [op for op in self.ops if op not in replacement]
        for op in self.ops:
            op.taken = substitute(op.taken, replacement)
        self.output = substitute(self.output, replacement)


def trace(model: Module) -> Network:
    """Take `model` apart. What passes its input on (dropout, identity) leaves no operation."""
    start = Op([])
    ops: list[Op] = []
    output = _take_apart(model, start, ops)
    return Network(start, ops, output)


def _take_apart(module: Module, x: Value, ops: list[Op]) -> Value:
    rule = _RULES.get(type(module))
    if rule is not None:
        return rule(module, x, ops)
    op = Layer(x, module)
    ops.append(op)
    return op


def _sequential(module: Sequential, x: Value, ops: list[Op]) -> Value:
    for part in module.modules:
        x = _take_apart(part, x, ops)
    return x


def _parallel(module: ParallelTable, x: Value, ops: list[Op]) -> Value:
    if isinstance(x, Op):
        ops.append(Layer(x, module))
        return ops[-1]
    return [_take_apart(part, each, ops) for part, each in zip(module.modules, x, strict=True)]


def _graph(module: Graph, x: Value, ops: list[Op]) -> Value:
    if len(module.inputs) > 1 and isinstance(x, Op):
        ops.append(Layer(x, module))
        return ops[-1]
    given = dict(zip(map(id, module.inputs), [x] if len(module.inputs) == 1 else x, strict=True))  # type: ignore[arg-type]
    values: dict[int, Value] = {}
    for node in module.nodes:
        before = [values[id(previous)] for previous in node.previous]
        taken = given[id(node)] if id(node) in given else before[0] if len(before) == 1 else before
        values[id(node)] = _take_apart(node.module, taken, ops)
    outputs = [values[id(node)] for node in module.outputs]
    return outputs[0] if len(outputs) == 1 else outputs


def _concat(module: Concat, x: Value, ops: list[Op]) -> Value:
    parts: list[Value] = [_take_apart(part, x, ops) for part in module.modules]
    ops.append(Layer(parts, JoinTable(module.dimension, 0)))
    return ops[-1]


_RULES: dict[type[Module], Callable[..., Value]] = {
    Sequential: _sequential,
    Graph: _graph,
    ParallelTable: _parallel,
    Concat: _concat,
    ConcatTable: lambda module, x, ops: [_take_apart(part, x, ops) for part in module.modules],
    InputLayer: lambda module, x, ops: x,
    Identity: lambda module, x, ops: x,
    Contiguous: lambda module, x, ops: x,
    Dropout: lambda module, x, ops: x,
}
