"""Graphs of modules: `x = Input(); y = Linear(3, 4)(x); Graph([x], [y])`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dlcore.activity import Pullback, add, zeros_like
from dlcore.nn.activation import ReLU
from dlcore.nn.container import Container
from dlcore.nn.module import Module


@dataclass(eq=False)
class InputLayer(Module):
    """Passes its input on: the module of an `Input` node."""

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        return x, lambda grad: grad


@dataclass(eq=False, repr=False)
class Node:
    """A module and the nodes whose outputs it takes; more than one make a table."""

    module: Module
    previous: list["Node"] = field(default_factory=list)

    @classmethod
    def of(cls, module: Module, previous: Any) -> "Node":
        """A node of `module` after `previous`: a Node, a list of Nodes, or None.

        Raises:
            TypeError: `previous` holds something else.
        """
        nodes = [] if previous is None else list(previous) if isinstance(previous, (list, tuple)) else [previous]
        for node in nodes:
            if not isinstance(node, Node):
                raise TypeError(
                    f"{module.label()}: got {type(node).__name__}, expected a graph node; use forward(x) for arrays"
                )
        return cls(module, nodes)

    def element(self) -> Module:
        """The module."""
        return self.module

    def __repr__(self) -> str:
        return f"Node({self.module.label()})"


def Input(name: str | None = None) -> Node:
    """A node that takes an input of the graph."""
    layer = InputLayer()
    return Node(layer.set_name(name) if name else layer)


@dataclass(eq=False)
class Graph(Container):
    """A module made of connected nodes.

    inputs, outputs: nodes or lists of nodes; with several inputs or outputs the activity is a table in that order.

    Raises:
        ValueError: the nodes form a cycle, or an input cannot be reached.
    """

    are_modules_added = False
    inputs: list[Node]
    outputs: list[Node]

    def __post_init__(self) -> None:
        self.inputs = [self.inputs] if isinstance(self.inputs, Node) else list(self.inputs)
        self.outputs = [self.outputs] if isinstance(self.outputs, Node) else list(self.outputs)
        self.nodes = _ordered(self.outputs)
        position = {id(node): index for index, node in enumerate(self.nodes)}
        for node in self.inputs:
            if id(node) not in position:
                raise ValueError(f"{self.label()}: got input {node!r}, expected one that an output depends on")
        self._sources = [[position[id(p)] for p in node.previous] for node in self.nodes]
        self._input_positions = [position[id(node)] for node in self.inputs]
        self._output_positions = [position[id(node)] for node in self.outputs]
        self.stopped: set[int] = set()
        self._rectified = self._find_rectified()
        self._merged = set(self._rectified.values())
        open_ends = {i for i, sources in enumerate(self._sources) if not sources} - set(self._input_positions)
        if open_ends:
            names = ", ".join(self.nodes[i].module.label() for i in sorted(open_ends))
            raise ValueError(f"{self.label()}: got nodes without input: {names}; list them in inputs")
        self.modules = [node.module for node in self.nodes]

    def _find_rectified(self) -> dict[int, int]:
        """Positions of nodes that only a ReLU takes -> the position of that ReLU: both are computed together."""
        takers: dict[int, list[int]] = {}
        for index, sources in enumerate(self._sources):
            for source in sources:
                takers.setdefault(source, []).append(index)
        ends = {*self._input_positions, *self._output_positions}
        found: dict[int, int] = {}
        for index, by in takers.items():
            is_relu = len(by) == 1 and type(self.nodes[by[0]].module) is ReLU and by[0] not in self._input_positions
            if is_relu and index not in ends and index not in found.values():
                found[index] = by[0]
        return found

    def node(self, name: str) -> Node:
        """The node whose module has this name.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.module.name() == name:
                return node
        raise KeyError(f"{self.label()}: got name {name!r}, expected one of {[n.module.name() for n in self.nodes]}")

    def stop_gradient(self, names: Iterable[str]) -> "Graph":
        """Send no gradient through the named layers to what lies before them."""
        wanted = {id(self.node(name)) for name in names}
        self.stopped |= {index for index, node in enumerate(self.nodes) if id(node) in wanted}
        return self

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        values: list[Any] = [None] * len(self.nodes)
        pullbacks: list[Pullback | None] = [None] * len(self.nodes)
        given = dict(zip(self._input_positions, self._table(x), strict=True))
        for index, (node, sources) in enumerate(zip(self.nodes, self._sources, strict=True)):
            taken = given[index] if index in given else None if index in self._merged else _gather(values, sources)
            if index in self._rectified:
                values[self._rectified[index]], pullbacks[index] = node.module.apply_with_relu(taken)
            elif index in self._merged:
                pullbacks[index] = _passed
            else:
                values[index], pullbacks[index] = node.module.apply(taken)
        outputs = [values[i] for i in self._output_positions]
        inputs = [values[i] for i in self._input_positions]
        del values
        y = outputs[0] if len(outputs) == 1 else outputs
        return y, lambda grad: self._pull(grad, pullbacks, inputs)

    def _table(self, x: Any) -> list[Any]:
        if len(self.inputs) == 1:
            return [x]
        if not isinstance(x, list) or len(x) != len(self.inputs):
            got = f"a table of {len(x)}" if isinstance(x, list) else "one array"
            raise ValueError(f"{self.label()}: got {got}, expected a table of {len(self.inputs)} inputs")
        return x

    def _pull(self, grad_y: Any, pullbacks: list[Pullback | None], inputs: list[Any]) -> Any:
        grads: list[Any] = [None] * len(pullbacks)
        for index, part in zip(self._output_positions, grad_y if len(self.outputs) > 1 else [grad_y], strict=True):
            grads[index] = _sum(grads[index], part)
        taken: dict[int, Any] = {}
        for index in reversed(range(len(pullbacks))):
            pullback, pullbacks[index] = pullbacks[index], None
            if grads[index] is None or pullback is None or index in self.stopped:
                continue
            grad = pullback(grads[index])
            grads[index] = None
            if index in self._input_positions:
                taken[index] = grad
                continue
            sources = self._sources[index]
            for source, part in zip(sources, grad if len(sources) > 1 else [grad], strict=True):
                grads[source] = _sum(grads[source], part)
        result = [taken[i] if i in taken else zeros_like(x) for i, x in zip(self._input_positions, inputs, strict=True)]
        return result[0] if len(result) == 1 else result


def _ordered(outputs: list[Node]) -> list[Node]:
    """All nodes that `outputs` depend on, each after those it takes. Iterative: deep networks exceed the recursion limit."""
    order: list[Node] = []
    state: dict[int, str] = {}
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(outputs)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            state[id(node)] = "done"
            order.append(node)
        elif id(node) not in state:
            state[id(node)] = "open"
            stack.append((node, True))
            for previous in reversed(node.previous):
                if state.get(id(previous)) == "open":
                    raise ValueError(f"got a cycle through {previous!r}, expected a graph without cycles")
                stack.append((previous, False))
    return order


def _passed(grad: Any) -> Any:
    return grad


def _gather(values: list[Any], sources: list[int]) -> Any:
    return values[sources[0]] if len(sources) == 1 else [values[i] for i in sources]


def _sum(total: Any, part: Any) -> Any:
    return part if total is None else add(total, part)


Model = Graph
"""BigDL's name of a graph."""
