"""Recurrent cells whose products are convolutions: for sequences of images and of volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from dlcore import kernels
from dlcore.activity import Array
from dlcore.kernels.interface import Gradients
from dlcore.nn.container import ParallelTable
from dlcore.nn.layers.affine import CMul
from dlcore.nn.layers.cells import SIGMOID, TANH, Cell, Products, PullStep, States, activation_of
from dlcore.nn.layers.convolution import SpatialConvolution
from dlcore.nn.layers.long_short_term import Gates, gated_step
from dlcore.nn.layers.shared_product import SharedProduct
from dlcore.nn.layers.volumetric import VolumetricConvolution
from dlcore.nn.module import Module
from dlcore.nn.weights import Regularizer

__all__ = ["ConvLSTMPeephole", "ConvLSTMPeephole3D"]


class SharedConvolution(SharedProduct):
    """Convolutions of one geometry, side by side, at each step of one pass: x (..., N, C, *size) -> (..., N, planes,
    *size)."""

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        return kernels.conv(x, weight, bias, *self._geometry(x))

    def backward(self, x: Array, weight: Array, grad: Array, *needs: bool) -> Gradients:
        return kernels.conv_backward(x, weight, grad, *self._geometry(x), *needs)

    def _geometry(self, x: Array) -> tuple[Any, ...]:
        window = self.layers[0].window
        return window.stride, window.padding(x.shape[2:], self.layers[0].label()), window.dilation, window.groups


@dataclass(eq=False)
class ConvolutionalCell(Cell):
    """A long short-term memory of (N, C, *size) whose products are convolutions that keep the size; a subclass adds
    what is penalised, and with_peephole."""

    convolution: ClassVar[Callable[..., Any]]
    rank: ClassVar[int]
    input_size: int
    output_size: int
    kernel_i: int
    kernel_c: int
    stride: int = 1
    padding: int = -1

    def __post_init__(self) -> None:
        self.activations()
        first, second, third, last = (self._gate(name) for name in "ifgo")
        self.forget_gate, self.input_gate, self.hidden, self.output_gate = second, first, third, last

    def _gate(self, name: str) -> ParallelTable:
        """The convolutions of x and h, and, unless it is g, the factors of c."""
        planes = self.input_size, self.output_size
        penalties = {"wRegularizer": self.wRegularizer, "bRegularizer": self.bRegularizer}
        gate = ParallelTable().add(self._convolution(planes[0], self.kernel_i, True, penalties))
        gate.add(self._convolution(planes[1], self.kernel_c, False, {"wRegularizer": self.uRegularizer}))
        if self.with_peephole and name != "g":
            gate.add(CMul([1, planes[1], *[1] * self.rank], self.cRegularizer))
        return gate

    def _convolution(self, planes: int, kernel: int, with_bias: bool, penalties: dict[str, Any]) -> Module:
        sizes = [size for size in (kernel, self.stride, self.padding) for _ in range(self.rank)]
        built: Module = type(self).convolution(planes, self.output_size, *sizes, with_bias=with_bias, **penalties)
        return built

    def gates(self) -> dict[str, ParallelTable]:
        """The layers of each gate."""
        return {"i": self.input_gate, "f": self.forget_gate, "g": self.hidden, "o": self.output_gate}

    def activations(self) -> tuple[Module, Module]:
        """(inner, outer)."""
        return SIGMOID, TANH

    def initial_states(self, shape: tuple[int, ...], kind: DTypeLike) -> States:
        return [np.zeros((shape[0], self.output_size, *shape[2:]), kind) for _ in range(2)]

    def products(self, count: int) -> Products:
        return [SharedConvolution([gate[position] for gate in self.gates().values()]) for position in (0, 1)]

    def project(self, x: Array, products: Products) -> tuple[Array, Callable[..., Any]]:
        size = x.shape[3:]
        if len(size) != self.rank or x.shape[2] != self.input_size:
            raise ValueError(
                f"{self.label()}: got steps of shape {x.shape[1:]}, expected (N, {self.input_size}, ...) with "
                f"{self.rank} spatial "
                "dimensions"
            )
        for layer in (products[0].layers[0], products[1].layers[0]):
            if layer.window.size(size, self.label()) != size:
                raise ValueError(
                    f"{self.label()}: got stride {self.stride} and padding {self.padding}, which change the size "
                    f"{size}; expected "
                    "stride=1 and padding=-1, or (kernel - 1) / 2 for both kernels"
                )
        return products[0](x)  # type: ignore[no-any-return]

    def step(self, share: Array, states: States, products: Products) -> tuple[States, PullStep]:
        peepholes = {name: gate[2] for name, gate in self.gates().items() if len(gate) == 3}
        return gated_step(Gates("ifgo", *self.activations(), peepholes), share, states, products[1])


@dataclass(eq=False)
class ConvLSTMPeephole(ConvolutionalCell):
    """LSTM of images whose products are convolutions; if with_peephole, i and f also see c, and o sees c', each with a
    factor per plane.

    x: [(N, input_size, H, W), [h, c]] -> [h', [h', c']], h and c (N, output_size, H, W).
    Weights, for each of f, i, g and o: a convolution of x (kernel_i) with bias, one of h (kernel_c) without, and the
    factors (1, output_size, 1, 1), which g does not have. activation (tanh unless given) is that of g and the output,
    inner_activation (sigmoid) that of i, f and o. The convolutions keep the size: padding -1, or half the kernel.
    Source: BigDL's ConvLSTMPeephole; Shi et al. 2015.
    """

    convolution = SpatialConvolution
    rank = 2
    activation: Module | str | None = None
    inner_activation: Module | str | None = None
    wRegularizer: Regularizer | None = None
    uRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    cRegularizer: Regularizer | None = None
    with_peephole: bool = True

    def activations(self) -> tuple[Module, Module]:
        return activation_of(self.inner_activation, SIGMOID, self), activation_of(self.activation, TANH, self)


@dataclass(eq=False)
class ConvLSTMPeephole3D(ConvolutionalCell):
    """ConvLSTMPeephole of volumes.

    x: [(N, input_size, D, H, W), [h, c]] -> [h', [h', c']], h and c (N, output_size, D, H, W).
    Source: BigDL's ConvLSTMPeephole3D.
    """

    convolution = VolumetricConvolution
    rank = 3
    wRegularizer: Regularizer | None = None
    uRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    cRegularizer: Regularizer | None = None
    with_peephole: bool = True
