"""Attention: each position of a sequence gets a mean over the positions of another, weighted by how well they match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback, describe, zeros_like
from dlcore.nn.init import Xavier, Zeros
from dlcore.nn.layers.dropout import Dropout
from dlcore.nn.layers.linear import Linear
from dlcore.nn.layers.table import entries
from dlcore.nn.layout import unbroadcast
from dlcore.nn.module import Module

__all__ = ["Attention", "FeedForwardNetwork", "MultiHeadAttention"]

HIDDEN = -1e9
"""What is added to the score of a position that must not be seen."""

Heads: TypeAlias = Array
"""(N, heads, T, D): a sequence of T positions, cut into heads."""


def by_row(layer: Module, x: Array) -> tuple[Array, Pullback]:
    """Apply `layer`, which takes rows (N, columns), at each position of `x` (..., columns)."""
    y, pullback = layer.apply(x.reshape(-1, x.shape[-1]))

    def pull(grad: Array) -> Array:
        back: Array = pullback(grad.reshape(y.shape)).reshape(x.shape)
        return back

    return y.reshape(*x.shape[:-1], y.shape[-1]), pull


def dense(input_size: int, output_size: int, with_bias: bool = True) -> Linear:
    """A Linear that begins as BigDL's Transformers do: weights by Xavier, bias zero."""
    layer = Linear(input_size, output_size, with_bias)
    for parameter, init in ((layer.weight, Xavier()), (layer.bias, Zeros())):
        if parameter is not None:
            parameter.init = init
            parameter.reset()
    return layer


def keeping(share: float, name: str, module: Module) -> Dropout:
    """A Dropout that keeps this share: BigDL's Transformers take what is kept, its other layers what is dropped.

    Raises:
        ValueError: it keeps nothing, or more than all.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(
            f"{module.label()}: got {name} {share}, expected the share that is kept, above 0 and up to 1; 1.0 drops "
            f"nothing"
        )
    return Dropout(1.0 - share)


def causal_bias(length: int, seen: int) -> Array:
    """(1, 1, T, S): hides from each of T places those of S that lie behind it."""
    hidden: Array = np.triu(np.full((length, seen), HIDDEN, np.float32), 1)[None, None]
    return hidden


def attend(
    query: Heads, key: Heads, value: Heads, bias: Array | None, drop: Module
) -> tuple[Heads, Callable[[Heads], tuple[Heads, Heads, Heads, Array]]]:
    """softmax(query key^T / sqrt(D) + bias) value, and the function from its gradient to those of query, key, value,
    scores."""
    scale = query.shape[-1] ** -0.5
    scores = kernels.matmul(query, np.swapaxes(key, -1, -2)) * scale
    share = kernels.softmax(scores if bias is None else scores + bias, -1)
    taken, pull_taken = drop.apply(share)

    def pull(grad: Heads) -> tuple[Heads, Heads, Heads, Array]:
        grad_share = pull_taken(kernels.matmul(grad, np.swapaxes(value, -1, -2)))
        grad_scores = share * (grad_share - (grad_share * share).sum(axis=-1, keepdims=True))
        grad_query = kernels.matmul(grad_scores, key) * scale
        grad_key = kernels.matmul(np.swapaxes(grad_scores, -1, -2), query) * scale
        return grad_query, grad_key, kernels.matmul(np.swapaxes(taken, -1, -2), grad), grad_scores

    return kernels.matmul(taken, value), pull


def _spreads(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether an array of `shape` broadcasts to `to`."""
    return len(shape) <= len(to) and all(size in (1, full) for size, full in zip(shape[::-1], to[::-1], strict=False))


class Projected(Module):
    """Attention of several heads between linear projections; a subclass says what it takes, and calls `_project`
    first."""

    hidden_size: int
    num_heads: int
    query: Linear
    key: Linear
    value: Linear
    output_transform: Linear
    drop: Dropout

    def _project(self, drop: Dropout, with_bias: bool) -> None:
        if self.num_heads < 1 or self.hidden_size % self.num_heads:
            raise ValueError(
                f"{self.label()}: got hidden_size {self.hidden_size} and {self.num_heads} heads, expected a multiple "
                f"of them"
            )
        for name in ("query", "key", "value", "output_transform"):
            setattr(self, name, dense(self.hidden_size, self.hidden_size, with_bias))
        self.drop = drop

    def split(self, x: Array) -> Heads:
        """(N, T, hidden_size) -> (N, heads, T, hidden_size / heads)."""
        return x.reshape(*x.shape[:2], self.num_heads, self.hidden_size // self.num_heads).transpose(0, 2, 1, 3)

    def joined(self, x: Heads) -> Array:
        """The inverse of `split`."""
        return x.transpose(0, 2, 1, 3).reshape(len(x), x.shape[2], self.hidden_size)

    def between(
        self, x: Array, y: Array, bias: Array | None
    ) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
        """What the places of `x` take from those of `y`, and the function to the gradients of x, y and the scores.

        x: (N, T, hidden_size), y: (N, S, hidden_size), bias: broadcasts to (N, heads, T, S) -> (N, T, hidden_size).
        """
        for part in (x, y):
            if part.ndim != 3 or part.shape[-1] != self.hidden_size:
                raise ValueError(f"{self.label()}: got input {part.shape}, expected (N, T, {self.hidden_size})")
        scores = len(x), self.num_heads, x.shape[1], y.shape[1]
        if len(x) != len(y) or (bias is not None and not _spreads(bias.shape, scores)):
            raise ValueError(
                f"{self.label()}: got input {x.shape}, memory {y.shape} and scores to add "
                f"{None if bias is None else bias.shape}, "
                f"expected one N, and scores that broadcast to {scores}; a mask is (N, S) or (N, T, S)"
            )
        (query, pull_query), (key, pull_key), (value, pull_value) = (
            by_row(layer, part) for layer, part in ((self.query, x), (self.key, y), (self.value, y))
        )
        mixed, pull_mixed = attend(self.split(query), self.split(key), self.split(value), bias, self.drop)
        result, pull_result = by_row(self.output_transform, self.joined(mixed))

        def pull(grad: Array) -> tuple[Array, Array, Array]:
            *grads, grad_scores = pull_mixed(self.split(pull_result(grad)))
            grad_query, grad_key, grad_value = map(self.joined, grads)
            return pull_query(grad_query), pull_key(grad_key) + pull_value(grad_value), grad_scores

        return result, pull

    def after(self, x: Array, past: list[Array]) -> tuple[Array, list[Array]]:
        """What one more place `x` (N, 1, hidden_size) takes from itself and those before it, whose keys and values (N,
        heads, T, D) are `past`, [] at first; and the keys and values of all. Without gradients."""
        query, key, value = (self.split(by_row(layer, x)[0]) for layer in (self.query, self.key, self.value))
        if past:
            key, value = np.concatenate([past[0], key], axis=2), np.concatenate([past[1], value], axis=2)
        mixed, _ = attend(query, key, value, None, self.drop)
        return by_row(self.output_transform, self.joined(mixed))[0], [key, value]


@dataclass(eq=False)
class Attention(Projected):
    """Attention of a sequence to another: softmax(q k^T / sqrt(D) + bias) v in each head, between projections.

    x: [(N, T, hidden_size), (N, S, hidden_size), bias] -> (N, T, hidden_size).
    For self-attention give the same sequence twice. bias: broadcasts to (N, num_heads, T, S); 0 where a position is
    seen and -1e9 where it is hidden. attention_dropout: the share of the weights that is kept in training, as in BigDL;
    1.0 keeps all. The projections have no bias.
    Source: BigDL's Attention; Vaswani et al. 2017.

    Raises:
        ValueError: hidden_size is no multiple of num_heads, or the table holds something else.
    """

    hidden_size: int
    num_heads: int
    attention_dropout: float

    def __post_init__(self) -> None:
        self._project(keeping(self.attention_dropout, "attention_dropout", self), with_bias=False)

    def apply(self, x: list[Any]) -> tuple[Array, Pullback]:
        if len(entries(x, self)) != 3:
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected [(N, T, C), (N, S, C), bias]")
        first, second, bias = x
        y, pullback = self.between(first, second, bias)

        def pull(grad: Array) -> list[Array]:
            grad_first, grad_second, grad_scores = pullback(grad)
            return [grad_first, grad_second, unbroadcast(grad_scores, bias.shape)]

        return y, pull


@dataclass(eq=False)
class MultiHeadAttention(Projected):
    """Attention whose projections have biases, with a mask instead of a bias of the scores.

    x: (N, T, hidden_size), or [x, memory (N, S, hidden_size)], or [x, memory, mask] -> (N, T, hidden_size).
    mask: (N, S) or (N, T, S), not 0 where a position of memory is seen; is_causal also hides all later positions.
    dropout: the share of the weights that is dropped in training.
    Source: Vaswani et al. 2017.

    Raises:
        ValueError: hidden_size is no multiple of num_heads, or the input is something else.

    Example:
        >>> MultiHeadAttention(8, 2, is_causal=True).forward(np.ones((2, 5, 8))).shape
        (2, 5, 8)
    """

    hidden_size: int
    num_heads: int
    dropout: float = 0.0
    with_bias: bool = True
    is_causal: bool = False

    def __post_init__(self) -> None:
        self._project(Dropout(self.dropout), self.with_bias)

    def apply(self, x: Any) -> tuple[Array, Pullback]:
        parts = x if isinstance(x, list) else [x, x]
        if not 2 <= len(parts) <= 3:
            raise ValueError(
                f"{self.label()}: got input {describe(x)}, expected (N, T, C), [x, memory] or [x, memory, mask]"
            )
        y, pullback = self.between(parts[0], parts[1], self._bias(parts))

        def pull(grad: Array) -> Any:
            grad_x, grad_memory, _ = pullback(grad)
            if not isinstance(x, list):
                return grad_x + grad_memory
            return [grad_x, grad_memory, *map(zeros_like, parts[2:])]

        return y, pull

    def _bias(self, parts: list[Array]) -> Array | None:
        bias = causal_bias(parts[0].shape[1], parts[1].shape[1]) if self.is_causal else None
        for mask in parts[2:]:
            seen = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
            hidden = np.where(seen != 0, np.float32(0), np.float32(HIDDEN))
            bias = hidden if bias is None else bias + hidden
        return bias


@dataclass(eq=False)
class FeedForwardNetwork(Module):
    """Two linear layers with a ReLU between them, at each position separately.

    x: (N, T, hidden_size) -> same shape.
    relu_dropout: the share of the ReLU's output that is kept in training, as in BigDL; 1.0 keeps all.
    Source: BigDL's FeedForwardNetwork; Vaswani et al. 2017.
    """

    hidden_size: int
    filter_size: int
    relu_dropout: float
    filter_layer: Linear = field(init=False, repr=False)
    output_layer: Linear = field(init=False, repr=False)
    drop: Dropout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.filter_layer = dense(self.hidden_size, self.filter_size)
        self.output_layer = dense(self.filter_size, self.hidden_size)
        self.drop = keeping(self.relu_dropout, "relu_dropout", self)

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        wide, pull_wide = by_row(self.filter_layer, x)
        rectified = kernels.relu(wide)
        kept, pull_kept = self.drop.apply(rectified)
        y, pull_y = by_row(self.output_layer, kept)
        return y, lambda grad: pull_wide(kernels.relu_backward(pull_kept(pull_y(grad)), rectified))
