"""Products that the steps of one pass share: over a sequence in time, or over a tree level by level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.kernels.interface import Gradients
from dlcore.nn.weights import needed


class SharedProduct:
    """Linear layers of one input size, side by side, at each step of one pass; `settle` then adds up their gradients.

    x: (..., N, size) -> (..., N, the layers' outputs one after the other). The gradient of the weights is one product
    over all steps.
    masks: (K, N, size), the factors of dropout for each of K equal parts of the outputs, the same at all steps (Gal and
    Ghahramani 2016); None without dropout.
    """

    def __init__(self, layers: Sequence[Any], masks: Array | None = None) -> None:
        self.layers, self.masks = list(layers), masks
        count = 1 if masks is None else len(masks)
        biases = [layer.bias.value for layer in layers if layer.bias is not None]
        self._weights = np.split(_joined([layer.weight.value for layer in layers]), count)
        self._biases = np.split(_joined(biases), count) if biases else [None] * count
        self._steps: list[tuple[list[Array], list[Array]]] = []

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """The layers' output for rows of input."""
        return kernels.linear(np.ascontiguousarray(x), weight, bias)

    def backward(self, x: Array, weight: Array, grad: Array, *needs: bool) -> Gradients:
        """The gradients of `forward`: of x, weight and bias, where they are needed."""
        return kernels.linear_backward(np.ascontiguousarray(x), weight, np.ascontiguousarray(grad), *needs)

    def __call__(self, x: Array) -> tuple[Array, Callable[..., Any]]:
        """The output for one step, or for several in front, and `pull(grad, needs_x=True)`, which gives the gradient of
        `x`."""
        rest = 1 - self._weights[0].ndim
        inputs = [x] if self.masks is None else [x * mask for mask in self.masks]
        rows = [part.reshape(-1, *x.shape[rest:]) for part in inputs]
        parts = zip(rows, self._weights, self._biases, strict=True)
        y = _joined([self.forward(*part) for part in parts], axis=1)
        shape = y.shape  # all that is kept of the result: a sequence has many

        def pull(grad: Array, needs_x: bool = True) -> Array | None:
            grads = np.split(grad.reshape(shape), len(rows), axis=1)
            self._steps.append((rows, grads))
            return self._grad_x(rows, grads, x.shape) if needs_x else None

        return y.reshape(*x.shape[:rest], *y.shape[1:]), pull

    def _grad_x(self, rows: list[Array], grads: list[Array], shape: tuple[int, ...]) -> Array:
        parts = zip(rows, self._weights, grads, strict=True)
        backs = [needed(self.backward(*part, True, False, False)[0]).reshape(shape) for part in parts]
        if self.masks is None:
            return backs[0]
        total: Array = sum(back * mask for back, mask in zip(backs, self.masks, strict=True))
        return total

    def settle(self) -> None:
        """Add up the gradients of weights and biases, of all steps that were pulled back since the last time."""
        steps, self._steps = self._steps, []
        if not steps or not any(layer.learns() for layer in self.layers):
            return
        weights, biases = [], []
        for k, weight in enumerate(self._weights):
            rows, grads = (_joined([step[side][k] for step in steps]) for side in (0, 1))
            _, grad_w, grad_b = self.backward(rows, weight, grads, False, True, self._biases[k] is not None)
            weights.append(needed(grad_w))
            biases.append(grad_b)
        ends = np.cumsum([len(layer.weight.value) for layer in self.layers])[:-1]
        for layer, grad in zip(self.layers, np.split(_joined(weights), ends), strict=True):
            layer.weight.accumulate(grad)
        if biases[0] is not None:
            for layer, grad in zip(self.layers, np.split(_joined(biases), ends), strict=True):
                layer.bias.accumulate(grad)


def _joined(parts: Sequence[Any], axis: int = 0) -> Array:
    """The arrays one after the other; a single one as it is."""
    joined: Array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
    return joined
