"""Rewrites of a traced network that compute the same in fewer passes over memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.inference.trace import Layer, Network, Op, leaves
from dlcore.kernels import native
from dlcore.nn.convolution import Window
from dlcore.nn.layer import (
    BatchNormalization,
    CAddTable,
    Linear,
    ReLU,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialDilatedConvolution,
    SpatialMaxPooling,
)
from dlcore.nn.module import Module


@dataclass(eq=False)
class Product(Op):
    """weight (O, I) times the input, plus bias (O,), then ReLU if `relu`."""

    weight: Array
    bias: Array
    relu: bool = False


@dataclass(eq=False)
class Convolution(Op):
    """A convolution, then in this order: plus a residual (its second source), ReLU, pooling by 2x2."""

    weight: Array
    bias: Array
    window: Window
    relu: bool = False
    pool: str = "none"
    has_residual: bool = False


Weighted = Product | Convolution


def _bias(module: Module, planes: int) -> Array:
    bias = getattr(module, "bias", None)
    return np.zeros(planes, np.float32) if bias is None else bias.value


def _weighted(op: Layer) -> Weighted | None:
    module = op.module
    if isinstance(module, Linear):
        return Product(op.taken, module.weight.value, _bias(module, module.output_size))
    if isinstance(module, (SpatialConvolution, SpatialDilatedConvolution)) and module.data_format.upper() == "NCHW":
        return Convolution(op.taken, module.weight.value, _bias(module, module.n_output_plane), module.window)
    return None


def expose_weights(network: Network) -> None:
    """Convolutions and linear layers become operations whose weights may be changed."""
    for position, op in enumerate(list(network.ops)):
        weighted = _weighted(op) if type(op) is Layer else None
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
    if not isinstance(user, Layer) or type(user.module) is not kind:
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


def _fuse_relu(op: Weighted, user: Op) -> bool:
    if (
        not isinstance(user, Layer)
        or type(user.module) is not ReLU
        or (isinstance(op, Convolution) and op.pool != "none")
    ):
        return False
    op.relu = True
    return True


def _fuse_pool(op: Weighted, user: Op) -> bool:
    """Maxima of 2x2 with stride 2, only behind a convolution that the Winograd kernel computes; it knows how."""
    if not isinstance(op, Convolution) or op.has_residual or op.pool != "none" or not isinstance(user, Layer):
        return False
    pooling = user.module
    if type(pooling) is not SpatialMaxPooling or pooling.format.upper() != "NCHW" or not suits_winograd(op):
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
        uses("native")
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
    """A sum of this convolution and something else becomes the convolution's residual; it is then computed in the sum's place."""
    if not isinstance(user, Layer) or type(user.module) is not CAddTable or len(user.sources) != 2:
        return False
    other = next((source for source in user.sources if source is not op), op)
    if other is op or op.relu or op.has_residual or op.pool != "none":
        return False
    network.ops.remove(op)
    network.ops.insert(network.ops.index(user), op)
    op.taken, op.has_residual = [op.sources[0], other], True
    network.replace({user: op})
    return True


def fuse(network: Network) -> Network:
    """All rewrites; `network` is changed in place."""
    expose_weights(network)
    absorb(network)
    return network
