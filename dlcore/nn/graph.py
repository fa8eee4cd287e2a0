"""Graphs of modules: `x = Input(); y = Linear(3, 4)(x); Graph([x], [y])`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dlcore.activity import Pullback, add, zeros_like
from dlcore.nn.container import Concat, ConcatTable, Container, ParallelTable, Sequential
from dlcore.nn.module import Module
from dlcore.nn.node import Node
from dlcore.nn.pullback import SelectivePullback, pulled
from dlcore.nn.shapes import ActivityShape, shape_within

__all__ = ["Graph", "Input", "InputLayer", "Model", "Node"]

_OF_NODES = ("nodes", "inputs", "outputs")
_TABLES = "dlcore.nn.layers.table"
"""Where JoinTable is: layers stand beside graphs, and so are named as strings."""


@dataclass(eq=False)
class InputLayer(Module):
    """Passes its input on: the module of an `Input` node. x: anything -> same shape. Source: BigDL's Input."""

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        return x, lambda grad: grad


def Input(name: str | None = None, *, bigdl_type: str = "float") -> Node:
    """A node that takes an input of the graph."""
    layer = InputLayer(bigdl_type=bigdl_type)
    return Node(layer.set_name(name) if name else layer)


@dataclass(eq=False)
class Graph(Container):
    """A module made of connected nodes.

    x: what the input node takes, or a table of one entry per input -> the output, or a table of one entry per output.
    inputs, outputs: nodes or lists of nodes; with several inputs or outputs the activity is a table in that order. Or
    two modules, a preprocessor, which stays as it is, and what is trained on what it gives.
    Source: BigDL's Model.

    Raises:
        ValueError: the nodes form a cycle, or an input cannot be reached.
    """

    are_modules_added = False
    inputs: list[Node]
    outputs: list[Node]

    def __post_init__(self) -> None:
        if isinstance(self.inputs, Module) and isinstance(self.outputs, Module):
            self._be_chain(self.inputs, self.outputs)
            return
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

    def _be_chain(self, preprocessor: Module, trainable: Module) -> None:
        """`trainable` after `preprocessor`, which gets no gradient."""
        count = len(preprocessor.inputs) if isinstance(preprocessor, Graph) else 1
        self.inputs = [Input(bigdl_type=self.bigdl_type) for _ in range(count)]
        node = trainable(preprocessor(*self.inputs))
        self.outputs = [node]
        self.__post_init__()
        self.stopped = {self.nodes.index(node)}

    def __getstate__(self) -> dict[str, Any]:
        """All but the nodes: to copy one node through the other would recurse as deep as the graph is."""
        return {name: value for name, value in super().__getstate__().items() if name not in _OF_NODES}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.nodes = []
        for module, sources in zip(self.modules, self._sources, strict=False):
            self.nodes.append(Node(module, [self.nodes[i] for i in sources]))
        self.inputs = [self.nodes[i] for i in self._input_positions]
        self.outputs = [self.nodes[i] for i in self._output_positions]

    @property
    def sources(self) -> list[list[int]]:
        """For each of `nodes` the positions there of those that it takes, as they were when the graph was built."""
        return self._sources

    def _find_rectified(self) -> dict[int, int]:
        """Positions of nodes that only a ReLU takes -> the position of that ReLU: both are computed together."""
        takers: dict[int, list[int]] = {}
        for index, sources in enumerate(self._sources):
            for source in sources:
                takers.setdefault(source, []).append(index)
        ends = {*self._input_positions, *self._output_positions}
        found: dict[int, int] = {}
        for index, by in takers.items():
            is_only = len(by) == 1 and self._sources[by[0]] == [index] and by[0] not in self._input_positions
            if is_only and self.nodes[by[0]].module.is_rectifier and index not in ends and index not in found.values():
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

    def stop_gradient(self, names: str | Iterable[str]) -> Graph:
        """Send no gradient through the layers of these names to what lies before them; they themselves go on learning.

        Raises:
            KeyError: a name does not exist.
        """
        each = [names] if isinstance(names, str) else names
        wanted = {self.node(name).module.name() for name in each}
        self.stopped |= {index for index, node in enumerate(self.nodes) if node.module.name() in wanted}
        return self

    def set_input_formats(self, input_formats: Any) -> Graph:
        """Itself: BigDL's MKL-DNN engine wants to be told in which memory order inputs come; here arrays know
        theirs."""
        return self

    def set_output_formats(self, output_formats: Any) -> Graph:
        """Itself: see `set_input_formats`."""
        return self

    def new_graph(self, outputs: str | Iterable[str]) -> Graph:
        """A graph of the same layers that ends at the layers of these names and takes the inputs that they need.

        Where no gradient passes here, none does there.

        Raises:
            KeyError: a name does not exist.
            ValueError: there is no name.
        """
        ends = [self.node(name) for name in ([outputs] if isinstance(outputs, str) else outputs)]
        if not ends:
            raise ValueError(f"{self.label()}: got no names of outputs, expected at least one")
        needed = {id(node) for node in _ordered(ends)}
        graph = Graph([node for node in self.inputs if id(node) in needed], ends)
        stopped = {id(self.nodes[index]) for index in self.stopped}
        graph.stopped = {index for index, node in enumerate(graph.nodes) if id(node) in stopped}
        return graph

    def freeze_up_to(self, names: str | Iterable[str]) -> Graph:
        """Stop learning in the layers of these names, and in all that they depend on.

        Raises:
            KeyError: a name does not exist.
        """
        for node in _ordered([self.node(name) for name in ([names] if isinstance(names, str) else names)]):
            for parameter in node.module.named_parameters().values():
                parameter.frozen = True
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
        return y, SelectivePullback(lambda grad, needs_x: self._pull(grad, needs_x, pullbacks, inputs))

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        shapes: list[Any] = []
        given = dict(zip(self._input_positions, self._table(input_shape), strict=True))
        for index, (each, sources) in enumerate(zip(self.held(), self._sources, strict=True)):
            shapes.append(shape_within(*each, given[index] if index in given else _gather(shapes, sources)))
        outputs = [shapes[i] for i in self._output_positions]
        return outputs[0] if len(outputs) == 1 else outputs

    def _table(self, x: Any) -> list[Any]:
        if len(self.inputs) == 1:
            return [x]
        if not isinstance(x, list) or len(x) != len(self.inputs):
            got = f"a table of {len(x)}" if isinstance(x, list) else "one array"
            raise ValueError(f"{self.label()}: got {got}, expected a table of {len(self.inputs)} inputs")
        return x

    def _pull(self, grad_y: Any, needs_x: bool, pullbacks: list[Pullback | None], inputs: list[Any]) -> Any:
        wanted, of_input = self._wanted(needs_x)
        grads: list[Any] = [None] * len(pullbacks)
        for index, part in zip(self._output_positions, grad_y if len(self.outputs) > 1 else [grad_y], strict=True):
            grads[index] = _sum(grads[index], part)
        taken: dict[int, Any] = {}
        for index in reversed(range(len(pullbacks))):
            pullback, pullbacks[index] = pullbacks[index], None
            if grads[index] is None or pullback is None or not wanted[index]:
                continue
            grad = pulled(pullback, grads[index], of_input[index])
            grads[index] = None
            if not of_input[index]:
                continue
            if index in self._input_positions:
                taken[index] = grad
                continue
            sources = self._sources[index]
            for source, part in zip(sources, grad if len(sources) > 1 else [grad], strict=True):
                grads[source] = _sum(grads[source], part)
        result = [taken[i] if i in taken else zeros_like(x) for i, x in zip(self._input_positions, inputs, strict=True)]
        return result[0] if len(result) == 1 else result

    def _wanted(self, needs_x: bool) -> tuple[list[bool], list[bool]]:
        """For each node, whether the gradient of its output is of use, and whether that of its input is."""
        wanted: list[bool] = []
        of_input: list[bool] = []
        for index, (node, sources) in enumerate(zip(self.nodes, self._sources, strict=True)):
            goes_on = needs_x if index in self._input_positions else any(wanted[source] for source in sources)
            of_input.append(goes_on and index not in self.stopped)
            wanted.append(of_input[index] or node.module.learns())
        return wanted, of_input


def _ordered(outputs: list[Node]) -> list[Node]:
    """All nodes that `outputs` depend on, each after those it takes. Iterative: deep networks exceed the recursion
    limit."""
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


def to_graph(module: Module) -> Graph:
    """A graph of the same layers: chains and branches inside `module` become nodes, so that it can be cut at any of
    them.

    Sequential, Concat, ConcatTable and ParallelTable are taken apart, and graphs; what takes each step, row or entry
    with one layer stays one node. Source: BigDL's toGraph.
    """
    start = Input(bigdl_type=module.bigdl_type)
    return Graph([start], _nodes(module, start))


def _nodes(module: Module, taken: Any) -> Any:
    """The node, or the list of nodes of a table, that give what `module` makes of `taken`, likewise a node or a
    list."""
    if type(module) in _TAKEN_APART and getattr(module, "modules", None):
        found = _TAKEN_APART[type(module)](module, taken)
        if found is not None:
            return found
    return module(taken)


def _of_chain(chain: Any, taken: Any) -> Any:
    for module in chain.modules:
        taken = _nodes(module, taken)
    return taken


def _of_branches(branches: Any, taken: Any) -> list[Node] | None:
    """A node for each branch; None where that is no plain table: of one entry, or of tables."""
    nodes = [_nodes(module, taken) for module in branches.modules]
    return nodes if len(nodes) > 1 and all(isinstance(node, Node) for node in nodes) else None


def _of_joined(concat: Any, taken: Any) -> Node | None:
    nodes = _of_branches(concat, taken)
    if nodes is None:
        return None
    join: Module = import_module(_TABLES).JoinTable(concat.dimension, 0)
    return join.set_name(concat._name)(nodes) if concat._name else join(nodes)


def _of_parallel(table: Any, taken: Any) -> list[Node] | None:
    if not isinstance(taken, list) or len(taken) != len(table.modules):
        return None
    nodes = [_nodes(module, part) for module, part in zip(table.modules, taken, strict=True)]
    return nodes if all(isinstance(node, Node) for node in nodes) else None


def _of_graph(graph: Any, taken: Any) -> Any:
    entries = taken if len(graph.inputs) > 1 else [taken]
    if not isinstance(entries, list) or len(entries) != len(graph.inputs) or graph.stopped:
        return None
    made: list[Any] = []
    given = dict(zip(graph._input_positions, entries, strict=True))
    for index, (node, sources) in enumerate(zip(graph.nodes, graph.sources, strict=True)):
        before = given[index] if index in given else [made[source] for source in sources]
        is_entry = index in given and type(node.module) is InputLayer
        made.append(before if is_entry else node.module(before))
    outputs = [made[i] for i in graph._output_positions]
    return outputs[0] if len(outputs) == 1 else outputs


_TAKEN_APART = {
    Sequential: _of_chain,
    ConcatTable: _of_branches,
    Concat: _of_joined,
    ParallelTable: _of_parallel,
    Graph: _of_graph,
}
"""How the nodes of a container are made, by its very class: a subclass may compute something else."""

Model = Graph
"""BigDL's name of a graph."""
