"""Recursive layers: over the nodes of trees, children before parents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from dlcore.activity import Array, Places, Pullback, describe, float_type
from dlcore.nn.container import ConcatTable, ParallelTable
from dlcore.nn.layers.cells import SIGMOID, TANH
from dlcore.nn.layers.linear import Linear
from dlcore.nn.layers.shared_product import SharedProduct
from dlcore.nn.module import Module
from dlcore.nn.pullback import SelectivePullback
from dlcore.nn.shapes import blank

__all__ = ["BinaryTreeLSTM"]

_ROUNDING = 1e-3
"""How far from a whole number a place in a tree may be."""
PullPair: TypeAlias = Callable[[Array, Array], Any]
"""Turns the gradients of (c, h) into those of what they were made from."""


@dataclass(frozen=True)
class TreeOrder:
    """The nodes of a batch of trees in the order in which they can be computed; node k of tree b is place b M + k
    (0-based).

    leaves, words: the places of the leaves, and of their words, word k of tree b being b L + k.
    levels: (places, left children, right children) of the other nodes; all children of a level lie in those before.
    """

    leaves: Places
    words: Places
    levels: list[tuple[Places, Places, Places]]

    @classmethod
    def of(cls, trees: Array, word_count: int, label: str) -> TreeOrder:
        """From BigDL's TensorTree (N, M, 3): a row is a node, (left child, right child, 0 or -1 for the root), (0, 0,
        word) for a leaf, or -1 for padding; children are rows, from 1 on, and words count from 1.

        Raises:
            ValueError: no whole numbers, a child or a word that there is not, a node with two parents, or one inside of
            itself.
        """
        broken = trees[~((np.abs(trees - np.rint(trees)) < _ROUNDING) & (np.abs(trees) < 2**31))]
        if broken.size:
            raise ValueError(f"{label}: got {broken[0]:g} in a tree, expected whole numbers")
        rows = np.rint(trees).astype(np.intp).reshape(-1, 3)
        count, tree = trees.shape[1], np.repeat(np.arange(len(trees)), trees.shape[1])
        leaves, inner = np.flatnonzero(rows[:, 0] == 0), np.flatnonzero(rows[:, 0] > 0)
        words, children = rows[leaves, 2], rows[inner, :2]
        if len(words) and not 1 <= words.min() <= words.max() <= word_count:
            raise ValueError(f"{label}: got words {words.min()} to {words.max()}, expected 1 to {word_count}")
        if len(inner) and not 1 <= children.min() <= children.max() <= count:
            raise ValueError(
                f"{label}: got children {children.min()} to {children.max()}, expected 1 to {count}, two for each node"
            )
        places = tree[inner, None] * count + children - 1
        if len(np.unique(places)) != places.size:
            raise ValueError(f"{label}: got a node that is a child twice, expected trees")
        return cls(leaves, tree[leaves] * word_count + words - 1, _levels(len(rows), leaves, inner, places, label))


def _levels(
    size: int, leaves: Places, inner: Places, children: Places, label: str
) -> list[tuple[Places, Places, Places]]:
    is_done = np.zeros(size, bool)
    is_done[leaves] = True
    levels = []
    while len(inner):
        is_ready = is_done[children].all(axis=1)
        if not is_ready.any():
            raise ValueError(f"{label}: got {len(inner)} nodes above themselves or above padding, expected trees")
        levels.append((inner[is_ready], children[is_ready, 0], children[is_ready, 1]))
        is_done[inner[is_ready]] = True
        inner, children = inner[~is_ready], children[~is_ready]
    return levels


def _pulled_to_leaves(order: TreeOrder, pulls: list[PullPair], grad_h: Array) -> tuple[Array, Array]:
    """The gradients of (c, h) of the leaves, from those of h of all nodes, which are changed."""
    grad_c = np.zeros_like(grad_h)
    for nodes, left, right in reversed(order.levels):
        from_left, from_right = pulls.pop()(grad_c[nodes], grad_h[nodes])
        for places, (back_c, back_h) in ((left, from_left), (right, from_right)):
            grad_c[places] += back_c
            grad_h[places] += back_h
    return grad_c[order.leaves], grad_h[order.leaves]


@dataclass(eq=False)
class BinaryTreeLSTM(Module):
    """LSTM over binary trees, from the words at their leaves to the root; a node has a forget gate for each child.

    x: [words (N, L, input_size), trees (N, M, 3)] -> h of every node, (N, M, hidden_size); zeros at padding.
    Trees are BigDL's TensorTree, one row per node: (left child, right child, 0), with -1 in place of 0 at the root;
    (0, 0, word) for a leaf; (-1, -1, -1) for padding, which comes last. Children and words count from 1. The gradient
    of the trees is zero.
    A leaf: c = C w + d, h = o tanh(c), o = sigmoid(O w + e). A node: i, l, r, g, o = A h_left + a + B h_right + b, c =
    i g + l c_left + r c_right, h = o tanh(c); without gate_output h = tanh(c) in both. All nodes of one height are
    computed at once, over the whole batch.
    Weights: A, a, B, b of i, l, r, g and o, each (hidden_size, hidden_size); then C, d, O, e. with_graph chooses, in
    BigDL, between two ways to build the same; it has no effect here.
    Source: BigDL's BinaryTreeLSTM; Tai, Socher and Manning 2015.

    Raises:
        ValueError: rows that are not trees.
    """

    input_size: int
    hidden_size: int
    gate_output: bool = True
    with_graph: bool = True
    composer: ConcatTable = field(init=False, repr=False)
    leaf: ConcatTable = field(init=False, repr=False)

    is_dynamic = True  # not in size: a plan cannot try it on ones, which are no tree

    def __post_init__(self) -> None:
        size = self.hidden_size
        self.composer, self.leaf = ConcatTable(), ConcatTable()
        for _ in range(4 + self.gate_output):
            self.composer.add(ParallelTable().add(Linear(size, size)).add(Linear(size, size)))
        for _ in range(1 + self.gate_output):
            self.leaf.add(Linear(self.input_size, size))

    def apply(self, x: list[Array]) -> tuple[Array, Pullback]:
        words, trees = self._checked(x)
        order = TreeOrder.of(trees, words.shape[1], self.label())
        products = [SharedProduct([gate[side] for gate in self.composer.modules]) for side in (0, 1)]  # type: ignore[index]
        reading = SharedProduct(self.leaf.modules)
        c, h = (np.zeros((trees.shape[0] * trees.shape[1], self.hidden_size), float_type(words)) for _ in range(2))
        read, pull_read = reading(words.reshape(-1, self.input_size)[order.words])
        c[order.leaves], h[order.leaves], pull_leaves = self._leaf_states(read)
        pulls = []
        for nodes, left, right in order.levels:
            c[nodes], h[nodes], pull_level = self._composed(c[left], h[left], c[right], h[right], products)
            pulls.append(pull_level)

        def pull(grad: Array, needs_x: bool) -> list[Any]:
            back = np.zeros((words.shape[0] * words.shape[1], self.input_size), grad.dtype)
            at_leaves = _pulled_to_leaves(order, pulls, grad.reshape(h.shape).copy())
            grad_words = pull_read(pull_leaves(*at_leaves), needs_x)
            for product in (*products, reading):
                product.settle()
            if needs_x:
                np.add.at(back, order.words, grad_words)
            return [back.reshape(words.shape), np.broadcast_to(grad.dtype.type(0), trees.shape)]

        return h.reshape(*trees.shape[:2], self.hidden_size), SelectivePullback(pull)

    def _checked(self, x: Any) -> tuple[Array, Array]:
        shapes = [np.shape(part) for part in x] if isinstance(x, list) else []
        fits = len(shapes) == 2 and len(shapes[0]) == len(shapes[1]) == 3 and shapes[0][0] == shapes[1][0]
        if not fits or shapes[0][2] != self.input_size or shapes[1][2] != 3:
            raise ValueError(
                f"{self.label()}: got input {describe(x)}, expected words (N, L, {self.input_size}) and trees (N, M, 3)"
            )
        return x[0], x[1]

    def _leaf_states(self, values: Array) -> tuple[Array, Array, PullPair]:
        """(c, h) of leaves from the product of their words."""
        size = self.hidden_size
        c = values[:, :size]
        h, pull_shown = self._shown(c, values[:, size:])

        def pull(grad_c: Array, grad_h: Array) -> Array:
            from_c, from_gate = pull_shown(grad_h)
            return np.concatenate([grad_c + from_c, *from_gate], axis=1)

        return c, h, pull

    def _shown(self, c: Array, gate: Array) -> tuple[Array, Callable[[Array], tuple[Array, list[Array]]]]:
        """h from c and the output gate, which is empty if there is none."""
        squashed, pull_squashed = TANH.apply(c)
        if not self.gate_output:
            return squashed, lambda grad: (pull_squashed(grad), [])
        o, pull_o = SIGMOID.apply(gate)
        return o * squashed, lambda grad: (pull_squashed(grad * o), [pull_o(grad * squashed)])

    def _composed(
        self, left_c: Array, left_h: Array, right_c: Array, right_h: Array, products: list[SharedProduct]
    ) -> tuple[Array, Array, PullPair]:
        """(c, h) of nodes from those of their children."""
        size = self.hidden_size
        (from_left, pull_left), (from_right, pull_right) = products[0](left_h), products[1](right_h)
        values = from_left + from_right
        (i, pull_i), (left, pull_l), (right, pull_r) = (
            SIGMOID.apply(values[:, k * size : (k + 1) * size]) for k in range(3)
        )
        g, pull_g = TANH.apply(values[:, 3 * size : 4 * size])
        c = i * g + left * left_c + right * right_c
        h, pull_shown = self._shown(c, values[:, 4 * size :])

        def pull(grad_c: Array, grad_h: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
            from_c, from_gate = pull_shown(grad_h)
            total = grad_c + from_c
            gates = [pull_i(total * g), pull_l(total * left_c), pull_r(total * right_c), pull_g(total * i), *from_gate]
            grad = np.concatenate(gates, axis=1)
            return (total * left, pull_left(grad)), (total * right, pull_right(grad))

        return c, h, pull

    def outline(self, x: list[Array]) -> Array:
        _, trees = self._checked(x)
        shape: Array = blank((*trees.shape[:2], self.hidden_size))
        return shape
