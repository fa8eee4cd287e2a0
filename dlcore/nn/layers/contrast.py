"""Local contrast normalisation (Jarrett et al. 2009). x: (N, C, H, W) or (C, H, W) -> same shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.nn.layout import Layout
from dlcore.nn.module import Module
from dlcore.nn.weights import needed

__all__ = ["SpatialContrastiveNormalization", "SpatialDivisiveNormalization", "SpatialSubtractiveNormalization"]

_TINY = np.float32(1e-12)


class _Neighbourhood:
    """Weighted sums over all planes of a window around each pixel; `inside` (1, 1, H, W) is the weight inside the
    image."""

    def __init__(self, planes: int, kernel: Array | None, shape: tuple[int, ...], label: str) -> None:
        window = np.ones((9, 9), np.float32) if kernel is None else np.atleast_2d(np.asarray(kernel, np.float32))
        if window.shape[0] % 2 == 0 or window.shape[1] % 2 == 0:
            raise ValueError(f"{label}: got a kernel of {window.shape}, expected odd sizes")
        self._weight = np.broadcast_to(window / (window.sum() * planes), (1, planes, *window.shape)).copy()
        half = window.shape[0] // 2, window.shape[1] // 2
        self._geometry = (1, 1), (half[0], half[1], half[0], half[1]), (1, 1), 1
        ones = np.ones((1, planes, *shape[2:]), np.float32)
        self.inside = kernels.conv(ones, self._weight, None, *self._geometry)

    def sums(self, x: Array) -> Array:
        """(N, C, H, W) -> (N, 1, H, W): the weighted sum; divided by `inside` it is the mean."""
        return kernels.conv(x, self._weight, None, *self._geometry)

    def spread(self, grad: Array, x: Array) -> Array:
        """The transpose of `sums`: (N, 1, H, W) -> (N, C, H, W)."""
        grad_x, _, _ = kernels.conv_backward(x, self._weight, grad, *self._geometry, True, False, False)
        return needed(grad_x)


@dataclass(eq=False)
class SpatialSubtractiveNormalization(Module):
    """x minus the weighted mean of its neighbourhood over all planes. The kernel is 9 x 9 ones unless given.

    x: (N, n_input_plane, H, W) or (n_input_plane, H, W) -> same shape.
    Source: BigDL's SpatialSubtractiveNormalization; Jarrett et al. 2009.
    """

    n_input_plane: int = 1
    kernel: Array | None = None

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, "NCHW", self.n_input_plane, self.label())
        entered = layout.enter(x)
        near = _Neighbourhood(self.n_input_plane, self.kernel, entered.shape, self.label())

        def pull(grad: Array) -> Array:
            sent = layout.enter(grad)
            return layout.leave(sent - near.spread(sent.sum(axis=1, keepdims=True) / near.inside, entered))

        return layout.leave(entered - near.sums(entered) / near.inside), pull


@dataclass(eq=False)
class SpatialDivisiveNormalization(Module):
    """x divided by its local deviation, or by thresval where that is <= threshold.

    x: (N, n_input_plane, H, W) or (n_input_plane, H, W) -> same shape.
    The deviation is, as in Torch, the root of the weighted sum of x^2 over the neighbourhood, divided by the weight
    inside the image.
    Source: BigDL's SpatialDivisiveNormalization; Jarrett et al. 2009.
    """

    n_input_plane: int = 1
    kernel: Array | None = None
    threshold: float = 1e-4
    thresval: float = 1e-4

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        layout = Layout.of(x, "NCHW", self.n_input_plane, self.label())
        entered = layout.enter(x)
        near = _Neighbourhood(self.n_input_plane, self.kernel, entered.shape, self.label())
        root: Array = np.sqrt(near.sums(np.square(entered)))
        divisor: Array = root / near.inside
        above = divisor > self.threshold
        divisor[~above] = self.thresval

        def pull(grad: Array) -> Array:
            sent = layout.enter(grad)
            slope = -(sent * entered).sum(axis=1, keepdims=True) / np.square(divisor)
            inner = slope * above / (near.inside * np.maximum(root, _TINY))
            back: Array = sent / divisor + near.spread(inner, entered) * entered
            return layout.leave(back)

        return layout.leave(entered / divisor), pull


@dataclass(eq=False)
class SpatialContrastiveNormalization(Module):
    """SpatialSubtractiveNormalization, then SpatialDivisiveNormalization.

    x: (N, n_input_plane, H, W) or (n_input_plane, H, W) -> same shape.
    Source: BigDL's SpatialContrastiveNormalization; Jarrett et al. 2009.
    """

    n_input_plane: int = 1
    kernel: Array | None = None
    threshold: float = 1e-4
    thresval: float = 1e-4

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        centred, pull_mean = SpatialSubtractiveNormalization(self.n_input_plane, self.kernel).apply(x)
        divide = SpatialDivisiveNormalization(self.n_input_plane, self.kernel, self.threshold, self.thresval)
        y, pull_deviation = divide.apply(centred)
        return y, lambda grad: pull_mean(pull_deviation(grad))
