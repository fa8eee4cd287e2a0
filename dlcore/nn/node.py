"""A node of a graph: a module and what it takes. Modules make nodes when they are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from dlcore.nn.module import Module


@dataclass(eq=False, repr=False)
class Node:
    """A module and the nodes whose outputs it takes; more than one make a table."""

    module: Module
    previous: list[Node] = field(default_factory=list)
    _next: WeakSet[Node] = field(default_factory=WeakSet, init=False)

    def __post_init__(self) -> None:
        for node in self.previous:
            node._next.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """All but the nodes that follow, which say so themselves."""
        return {name: value for name, value in vars(self).items() if name != "_next"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._next = WeakSet()
        for node in self.previous:
            node._next.add(self)

    @classmethod
    def of(cls, module: Module, *previous: Any) -> Node:
        """A node of `module` after `previous`: Nodes, or lists of Nodes; None counts as none.

        Raises:
            TypeError: `previous` holds something else.
        """
        nodes: list[Any] = []
        for given in previous:
            nodes.extend(given if isinstance(given, (list, tuple)) else [] if given is None else [given])
        for node in nodes:
            if not isinstance(node, Node):
                raise TypeError(
                    f"{module.label()}: got {type(node).__name__}, expected a graph node; use forward(x) for arrays"
                )
        return cls(module, nodes)

    def element(self) -> Module:
        """The module."""
        return self.module

    def remove_pre_edges(self) -> Node:
        """Take nothing any more: what is built of this node from now on needs it as an input. Graphs that are built
        stay."""
        for node in self.previous:
            node._next.discard(self)
        self.previous = []
        return self

    def remove_next_edges(self) -> Node:
        """Let no node take this one any more. Graphs that are built stay."""
        for node in list(self._next):
            node.previous = [previous for previous in node.previous if previous is not self]
        self._next.clear()
        return self

    def __repr__(self) -> str:
        return f"Node({self.module.label()})"
