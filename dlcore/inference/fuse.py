"""Rewrites of a traced network that compute the same in fewer passes over memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.inference.dispatch import computes_as, rule_of
from dlcore.inference.trace import Layer, Network, Op, Value, leaves
from dlcore.kernels import native
from dlcore.nn.layer import (
    BatchNormalization,
    CAddTable,
    Clamp,
    HardTanh,
    Linear,
    ReLU6,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialDilatedConvolution,
    SpatialMaxPooling,
    VolumetricConvolution,
)
from dlcore.nn.layers.convolution import Window
from dlcore.nn.module import Module


@dataclass(eq=False)
class Product(Op):
    """weight (O, I) times the input, plus bias (O,), then ReLU if `relu`, and at most `ceiling`.

    `label` names the layer in messages. precision: of the arithmetic, "fp32", "bf16" or "int8".
    """

    weight: Array
    bias: Array
    label: str
    relu: bool = False
    ceiling: float = np.inf
    precision: str = "fp32"


@dataclass(eq=False)
class Convolution(Op):
    """A convolution of any rank, then in this order: plus a residual (its second source), ReLU, at most `ceiling`,
    pooling by 2x2."""

    weight: Array
    bias: Array
    label: str
    window: Window
    relu: bool = False
    ceiling: float = np.inf
    pool: str = "none"
    has_residual: bool = False
    precision: str = "fp32"


Weighted = Product | Convolution


@dataclass(eq=False)
class Inverted(Op):
    """Convolutions one after the other that nothing else reads: 1x1 (perhaps), plane by plane, 1x1 with perhaps a
    residual.

    parts: the convolutions; the first takes what this takes first, each other one the one before.
    """

    parts: list[Convolution]


def _bias(module: Module, planes: int) -> Array:
    bias = getattr(module, "bias", None)
    return np.zeros(planes, np.float32) if bias is None else bias.value.copy()


def _product(taken: Value, module: Linear) -> Product:
    return Product(taken, module.weight.value, _bias(module, module.output_size), module.label())


def _convolution(taken: Value, module: Any) -> Convolution | None:
    if module.data_format.upper() != "NCHW":
        return None
    return Convolution(taken, module.weight.value, _bias(module, module.n_output_plane), module.label(), module.window)


_WEIGHTED: dict[type, Callable[[Value, Any], Weighted | None]] = {
    Linear: _product,
    SpatialConvolution: _convolution,
    SpatialDilatedConvolution: _convolution,
    VolumetricConvolution: _convolution,
}


def _weighted(op: Op) -> Weighted | None:
    rule = rule_of(_WEIGHTED, op.module) if isinstance(op, Layer) else None
    return None if rule is None else rule(op.taken, op.module)  # type: ignore[attr-defined]


def expose_weights(network: Network) -> None:
    """Convolutions and linear layers become operations whose weights may be changed, unless what they take is
    dynamic."""
    dynamic = network.dynamic()
    for position, op in enumerate(list(network.ops)):
        weighted = _weighted(op) if op not in dynamic else None
        if weighted is not None:
            network.ops[position] = weighted
            network.replace({op: weighted})


def _only_user(network: Network, op: Op, users: dict[Op, list[Op]]) -> Op | None:
    """The one operation that takes `op`'s result, if nothing else needs it."""
    if len(users[op]) != 1 or op in set(leaves(network.output)):
        return None
    return users[op][0]


def _fold_batch_norm(op: Weighted, user: Op) -> bool:
    """weight * s and (bias - mean) * s + beta with s = gamma / sqrt(var + eps), in double precision."""
    kind = BatchNormalization if isinstance(op, Product) else SpatialBatchNormalization
    if not isinstance(user, Layer) or not computes_as(user.module, kind):
        return False
    if getattr(user.module, "data_format", "NCHW").upper() != "NCHW" or user.module.n_output != len(op.weight):
        return False
    if op.relu or (isinstance(op, Convolution) and (op.pool != "none" or op.has_residual)):
        return False
    norm = user.module
    scale = 1.0 / np.sqrt(norm.running_var.value.astype(np.float64) + norm.eps)
    if norm.weight is not None:
        scale *= norm.weight.value
    shift = 0.0 if norm.bias is None else norm.bias.value
    op.weight = (op.weight * scale.reshape(-1, *[1] * (op.weight.ndim - 1))).astype(np.float32)
    op.bias = ((op.bias - norm.running_mean.value) * scale + shift).astype(np.float32)
    return True


_CEILINGS: dict[type, Callable[[Any], float | None]] = {
    ReLU6: lambda module: 6.0,
    Clamp: lambda module: module.max if module.min == 0 else None,
    HardTanh: lambda module: module.max_value if module.min_value == 0 else None,
}
"""Layers that let through what lies between 0 and a number -> that number, None where they do not."""


def _ceiling(module: Module) -> float | None:
    if module.is_rectifier:
        return np.inf
    rule = rule_of(_CEILINGS, module)
    return None if rule is None else rule(module)


def _fuse_relu(op: Weighted, user: Op) -> bool:
    is_pooled = isinstance(op, Convolution) and op.pool != "none"
    ceiling = _ceiling(user.module) if isinstance(user, Layer) and not is_pooled else None
    if ceiling is None:
        return False
    op.relu, op.ceiling = True, min(op.ceiling, ceiling)
    return True


def _fuse_pool(op: Weighted, user: Op) -> bool:
    """Maxima of 2x2 with stride 2, only behind a convolution that the Winograd kernel computes; it knows how."""
    if not isinstance(op, Convolution) or op.has_residual or op.pool != "none" or not isinstance(user, Layer):
        return False
    pooling = user.module
    if not computes_as(pooling, SpatialMaxPooling) or pooling.format.upper() != "NCHW" or not suits_winograd(op):
        return False
    window = pooling.window
    if window.kernel != (2, 2) or window.stride != (2, 2) or window.pad != (0, 0) or op.window.dilation != (1, 1):
        return False
    op.pool = "ceil" if window.is_ceil else "floor"
    return True


def uses(backend: str) -> bool:
    """Whether the kernels in use include those of `backend`."""
    return backend in kernels.active().split("+")


def suits_winograd(op: Convolution) -> bool:
    """Whether the Winograd kernel computes this convolution here, and faster than others."""
    window = op.window
    padding = (*window.pad, *window.pad)
    return (
        op.precision == "fp32"
        and uses("native")
        and native.has_winograd()
        and native.winograd_suits(op.weight.shape, window.stride, padding, window.dilation, window.groups)
    )


_ABSORBED: tuple[Callable[[Weighted, Op], bool], ...] = (_fold_batch_norm, _fuse_relu, _fuse_pool)


def absorb(network: Network) -> None:
    """Let every weighted operation take in what follows it: batch normalisation, residual sum, ReLU, pooling."""
    changed = True
    while changed:
        users = network.users()
        changed = any(_absorb_one(network, op, users) for op in network.ops if isinstance(op, Weighted))


def _absorb_one(network: Network, op: Weighted, users: dict[Op, list[Op]]) -> bool:
    user = _only_user(network, op, users)
    if user is None:
        return False
    if any(rule(op, user) for rule in _ABSORBED):
        network.replace({user: op})
        return True
    return isinstance(op, Convolution) and _add_residual(network, op, user)


def _add_residual(network: Network, op: Convolution, user: Op) -> bool:
    """A sum of this convolution and something else becomes the convolution's residual; it is then computed in the sum's
    place."""
    if not isinstance(user, Layer) or not computes_as(user.module, CAddTable) or len(user.sources) != 2:
        return False
    if user in network.dynamic():
        return False
    other = next((source for source in user.sources if source is not op), op)
    if other is op or op.relu or op.has_residual or op.pool != "none":
        return False
    network.ops.remove(op)
    network.ops.insert(network.ops.index(user), op)
    op.taken, op.has_residual = [op.sources[0], other], True
    network.replace({user: op})
    return True


def _is_pointwise(op: Op) -> bool:
    """A plain 1x1 convolution of images in fp32."""
    if not isinstance(op, Convolution) or op.pool != "none" or op.window.groups > 1 or op.precision != "fp32":
        return False
    window = op.window
    return window.kernel == window.stride == (1, 1) and window.pad == (0, 0)


def _is_depthwise(op: Op) -> bool:
    """A convolution of images plane by plane in fp32, without residual."""
    if not isinstance(op, Convolution) or op.has_residual or op.pool != "none" or op.weight.ndim != 4:
        return False
    if op.precision != "fp32":
        return False
    return op.weight.shape[1] == 1 and op.window.groups == len(op.weight) and op.window.dilation == (1, 1)


def _chain(op: Op, network: Network, users: dict[Op, list[Op]]) -> list[Convolution]:
    """The convolutions of an inverted block that ends with the 1x1 convolution `op`; none where there is no such
    block."""
    deep = op.sources[0]
    if not _is_pointwise(op) or not _is_depthwise(deep) or _only_user(network, deep, users) is not op:
        return []
    wide = deep.sources[0]
    parts = [deep, op]
    if _is_pointwise(wide) and not wide.has_residual and _only_user(network, wide, users) is deep:  # type: ignore[attr-defined]
        parts.insert(0, wide)
    return parts  # type: ignore[return-value]


def join_inverted(network: Network) -> None:
    """Inverted residual blocks become one operation each, in the place of their last convolution."""
    dynamic = network.dynamic()
    for op in list(network.ops):
        parts = _chain(op, network, network.users()) if op.sources and op not in dynamic else []
        if parts:
            block = Inverted([*parts[0].sources, *op.sources[1:]], parts)
            network.ops[network.ops.index(op)] = block
            network.ops = [each for each in network.ops if each not in parts]
            network.replace({op: block})


def fuse(network: Network, precision_of: Callable[[Weighted], str] = lambda op: "fp32") -> Network:
    """All rewrites; `network` is changed in place. precision_of: what a convolution or product computes in."""
    expose_weights(network)
    for op in network.ops:
        if isinstance(op, Weighted):
            op.precision = precision_of(op)
    absorb(network)
    if uses("native"):
        join_inverted(network)
    return network
