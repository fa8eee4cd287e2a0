"""Transposed convolutions: the gradient of a convolution, used as a forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from dlcore import kernels
from dlcore.activity import Array, Pullback
from dlcore.kernels import Sizes
from dlcore.nn.layers.convolution import Window
from dlcore.nn.layout import Layout, channel_sum
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter
from dlcore.nn.pullback import SelectivePullback
from dlcore.nn.shapes import blank
from dlcore.nn.weights import Regularizer, create_weights, default_init, needed

__all__ = ["SpatialFullConvolution", "VolumetricFullConvolution"]


@dataclass(eq=False)
class _Transposed(Module):
    """What they share: weight (in, out / n_group, *kernel), as BigDL has it (n_group, in / n_group, out / n_group,
    *kernel)."""

    n_input_plane: int
    n_output_plane: int

    @property
    def window(self) -> Window:
        """The geometry of the convolution whose gradient this is."""
        raise NotImplementedError

    @property
    def added(self) -> Sizes:
        """What is added to each size of the output, which a stride leaves open."""
        raise NotImplementedError

    def _create(
        self, has_bias: bool, regularizers: tuple[Regularizer | None, Regularizer | None]
    ) -> tuple[Parameter, Parameter | None]:
        window, taken, given = self.window, self.n_input_plane, self.n_output_plane
        window.check(self.label())
        if not all(0 <= a < s for a, s in zip(self.added, window.stride, strict=True)):
            raise ValueError(f"{self.label()}: got adj {self.added}, expected 0 <= adj < stride, {window.stride}")
        if taken % window.groups or given % window.groups:
            raise ValueError(
                f"{self.label()}: got {taken} -> {given} planes, expected multiples of n_group={window.groups}"
            )
        taps = 1
        for size in window.kernel:
            taps *= size
        return create_weights(
            self,
            (taken, given // window.groups, *window.kernel),
            (given,) if has_bias else None,
            (taken // window.groups * taps, given // window.groups * taps),
            regularizers,
            default_init(taken * taps),
        )

    def exported(self, name: str, value: Array) -> Array:
        return value.reshape(self.window.groups, -1, *value.shape[1:]) if name == "weight" else value

    def imported(self, name: str, value: Array) -> Array:
        return value.reshape(value.shape[0] * value.shape[1], *value.shape[2:]) if name == "weight" else value


def _spread(module: _Transposed, weight: Parameter, bias: Parameter | None, x: Array) -> tuple[Array, Pullback]:
    window = module.window
    layout = _layout(module, x)
    entered, shape = layout.enter(x), layout.enter(module.outline(x)).shape
    geometry = (window.stride, window.pad * 2, window.dilation, window.groups)
    y = kernels.conv_grad_x(shape, weight.value, entered, *geometry)
    if bias is not None:
        y += bias.value.reshape(-1, *[1] * len(window.kernel))

    def pull(grad: Array, needs_x: bool) -> Array | None:
        entered_grad = layout.enter(grad)
        if not weight.frozen:
            grad_w, _ = kernels.conv_grad_w(entered_grad, window.kernel, entered, *geometry, False)
            weight.accumulate(needed(grad_w))
        if bias is not None and not bias.frozen:
            bias.accumulate(channel_sum(entered_grad))
        if not needs_x:
            return None
        back: Array = layout.leave(kernels.conv(entered_grad, weight.value, None, *geometry))
        return back

    return layout.leave(y), SelectivePullback(pull)


def _layout(module: _Transposed, x: Array) -> Layout:
    return Layout.of(x, "NCHW", module.n_input_plane, module.label(), len(module.window.kernel))


def _outlined(module: _Transposed, x: Array) -> Array:
    window, layout = module.window, _layout(module, x)
    n, _, *image = layout.enter(x).shape
    terms = zip(image, window.kernel, window.stride, window.pad, module.added, strict=True)
    size = [(side - 1) * stride - 2 * pad + kernel + adj for side, kernel, stride, pad, adj in terms]
    return layout.leave(blank((n, module.n_output_plane, *size)))


@dataclass(eq=False)
class SpatialFullConvolution(_Transposed):
    """Transposed 2-D convolution.

    x: (N, n_input_plane, H, W) -> (N, n_output_plane, (H - 1) dh - 2 pad_h + kh + adj_h, ...);
    weight (in, out / n_group, kh, kw).
    Source: BigDL's SpatialFullConvolution; Zeiler et al. 2010.

    Raises:
        ValueError: planes not divisible by n_group, adj not below the stride, or another number of input planes.
    """

    kw: int
    kh: int
    dw: int = 1
    dh: int = 1
    pad_w: int = 0
    pad_h: int = 0
    adj_w: int = 0
    adj_h: int = 0
    n_group: int = 1
    no_bias: bool = False
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    @property
    def window(self) -> Window:
        """(height, width)."""
        return Window((self.kh, self.kw), (self.dh, self.dw), (self.pad_h, self.pad_w), (1, 1), self.n_group)

    @property
    def added(self) -> Sizes:
        """(height, width)."""
        return self.adj_h, self.adj_w

    def __post_init__(self) -> None:
        self.weight, self.bias = self._create(not self.no_bias, (self.wRegularizer, self.bRegularizer))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _spread(self, self.weight, self.bias, x)

    def outline(self, x: Array) -> Array:
        return _outlined(self, x)


@dataclass(eq=False)
class VolumetricFullConvolution(_Transposed):
    """Transposed 3-D convolution.

    x: (N, n_input_plane, T, H, W) -> (N, n_output_plane, (T - 1) dt - 2 pad_t + kt + adj_t, ...), also without N;
    weight (in, out / n_group, kt, kh, kw).
    Source: BigDL's VolumetricFullConvolution.

    Raises:
        ValueError: planes not divisible by n_group, adj not below the stride, or another number of input planes.
    """

    kt: int
    kw: int
    kh: int
    dt: int = 1
    dw: int = 1
    dh: int = 1
    pad_t: int = 0
    pad_w: int = 0
    pad_h: int = 0
    adj_t: int = 0
    adj_w: int = 0
    adj_h: int = 0
    n_group: int = 1
    no_bias: bool = False
    wRegularizer: Regularizer | None = None
    bRegularizer: Regularizer | None = None
    weight: Parameter = field(init=False, repr=False)
    bias: Parameter | None = field(init=False, repr=False)

    @property
    def window(self) -> Window:
        """(time, height, width)."""
        kernel, stride = (self.kt, self.kh, self.kw), (self.dt, self.dh, self.dw)
        return Window(kernel, stride, (self.pad_t, self.pad_h, self.pad_w), (1, 1, 1), self.n_group)

    @property
    def added(self) -> Sizes:
        """(time, height, width)."""
        return self.adj_t, self.adj_h, self.adj_w

    def __post_init__(self) -> None:
        self.weight, self.bias = self._create(not self.no_bias, (self.wRegularizer, self.bRegularizer))

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        return _spread(self, self.weight, self.bias, x)

    def outline(self, x: Array) -> Array:
        return _outlined(self, x)
