"""Activations with parameters of their own, and batch normalisation."""

from __future__ import annotations

from typing import Any

from dlcore.keras.construction import KerasLayer, keras_layer
from dlcore.keras.core import Shape, known, swaps, width
from dlcore.keras.named import chain, start
from dlcore.keras.planes import is_last
from dlcore.nn.layers import activation, normalization
from dlcore.nn.layers.shape import InferReshape, Transpose
from dlcore.nn.module import Module

__all__ = ["ELU", "BatchNormalization", "LeakyReLU", "SReLU", "ThresholdedReLU"]


@keras_layer
class ELU(KerasLayer):
    """x where positive, else alpha (exp(x) - 1).

    x: any shape -> same shape. Source: BigDL's and Keras's ELU; Clevert et al. 2016.
    """

    alpha: float = 1.0

    def compose(self, shape: Shape) -> Module:
        return activation.ELU(self.alpha)


@keras_layer
class LeakyReLU(KerasLayer):
    """x where positive, else alpha x. x: any shape -> same shape. Source: BigDL's and Keras's LeakyReLU; Maas et al.
    2013."""

    alpha: float = 0.01

    def compose(self, shape: Shape) -> Module:
        return activation.LeakyReLU(self.alpha)


@keras_layer
class ThresholdedReLU(KerasLayer):
    """x where x > theta, else 0. x: any shape -> same shape. Source: BigDL's and Keras's ThresholdedReLU; Konda et al.
    2014."""

    theta: float = 1.0

    def compose(self, shape: Shape) -> Module:
        return activation.Threshold(self.theta, 0.0)


@keras_layer
class SReLU(KerasLayer):
    """S-shaped: a_left (x - t_left) + t_left below t_left, a_right (x - t_right) + t_right above t_right, x between.

    x: (N, *input_shape) -> same shape.
    Each of the four is learned per element, one for each of `shared_axes` (1-based without the batch). t_right is the
    place itself, as in BigDL; Keras learns its distance from t_left.
    Source: BigDL's SReLU; Jin et al. 2015.
    """

    t_left_init: str = "zero"
    a_left_init: str = "glorot_uniform"
    t_right_init: str = "glorot_uniform"
    a_right_init: str = "one"
    shared_axes: Any = None

    def compose(self, shape: Shape) -> Module:
        shared = None if self.shared_axes is None else list(self.shared_axes)
        module = activation.SReLU(list(known(self, shape)), shared)
        for name in ("t_left", "a_left", "t_right", "a_right"):
            start(getattr(module, name), getattr(self, f"{name}_init"))
        return module


@keras_layer
class BatchNormalization(KerasLayer):
    """(x - mean) / sqrt(var + epsilon) gamma + beta for each feature; evaluation uses running means.

    x: (N, F), (N, C, ...), or (N, ..., C) with dim_ordering 'tf' or axis -1 -> same shape.
    running = momentum running + (1 - momentum) batch, with the unbiased variance, as in BigDL.
    Source: BigDL's and Keras's BatchNormalization; Ioffe and Szegedy 2015.

    Raises:
        ValueError: mode is not 0 (by feature), or axis neither the first after the batch nor the last.
    """

    epsilon: float = 0.001
    mode: int = 0
    axis: int = 1
    momentum: float = 0.99
    beta_init: str = "zero"
    gamma_init: str = "one"
    dim_ordering: str = "th"

    def compose(self, shape: Shape) -> Module:
        ndim = len(shape) + 1
        if self.mode != 0 or self.axis not in (1, -1, ndim - 1):
            raise ValueError(
                f"{self.label()}: got mode {self.mode} and axis {self.axis}, expected mode 0, and axis 1 or -1 (the "
                f"last)"
            )
        is_at_end = ndim > 2 and (is_last(self) or self.axis != 1)
        kind = normalization.BatchNormalization if ndim == 2 else normalization.SpatialBatchNormalization
        module = kind(width(self, shape, -1 if is_at_end else 0), self.epsilon, 1.0 - self.momentum)
        start(module.weight, self.gamma_init)
        start(module.bias, self.beta_init)
        return self._placed(module, shape, is_at_end)

    def _placed(self, module: Module, shape: Shape, is_at_end: bool) -> Module:
        """`module`, which takes (N, F) or (N, C, H, W), for inputs of `shape`."""
        ndim = len(shape) + 1
        sizes = (*shape[-1:], *shape[:-1]) if is_at_end else shape
        if ndim not in (2, 4):
            whole = [-1 if size is None else size for size in sizes]
            module = chain(InferReshape([0, -1, 1], batch_mode=True), module, InferReshape(whole, batch_mode=True))
        if not is_at_end:
            return module
        order, back = (0, ndim - 1, *range(1, ndim - 1)), (0, *range(2, ndim), 1)
        return chain(Transpose(swaps(order)), module, Transpose(swaps(back)))
