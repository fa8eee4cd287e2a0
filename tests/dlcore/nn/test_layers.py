# ruff: noqa: F403, F405
"""Every layer through the one harness, by table: a row per layer and variant."""

import numpy as np
import pytest
from scipy import ndimage, signal, special
from scipy.spatial import distance

from dlcore.nn import layer
from dlcore.nn.layer import *  # the table names every layer
from dlcore.nn.module import Module
from dlcore.nn.regularizer import L2Regularizer
from dlcore.testing import LayerCase, check_layer

RNG = np.random.default_rng(5)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def apart(*shape):
    """Values of which no two, nor any and a kink of an activation, are closer than 0.05."""
    count = int(np.prod(shape))
    values = np.linspace(-2.975, 3.025, count) if count > 1 else np.ones(1)
    return RNG.permutation(values).astype(np.float32).reshape(shape)


def slow_convolution(module, x):
    """Correlation plane by plane with SciPy, then strides."""
    config = module.config()
    pads = [(config["pad_h"],) * 2, (config["pad_w"],) * 2]
    stride = (config.get("stride_h") or config.get("dh"), config.get("stride_w") or config.get("dw"))
    dilation = (config.get("dilation_h", 1), config.get("dilation_w", 1))
    w, groups = module.weight.value, config.get("n_group", 1)
    holes = np.zeros((*w.shape[:2], *[(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]))
    holes[:, :, :: dilation[0], :: dilation[1]] = w
    padded = np.pad(x, [(0, 0), (0, 0), *pads])
    y = np.zeros((len(x), len(w), *[p - k + 1 for p, k in zip(padded.shape[2:], holes.shape[2:], strict=True)]))
    per_group, taken = len(w) // groups, x.shape[1] // groups
    for n, k, c in np.ndindex(len(x), len(w), taken):
        plane = padded[n, k // per_group * taken + c]
        y[n, k] += signal.correlate2d(plane, holes[k, c], mode="valid")
    bias = 0 if module.bias is None else module.bias.value[:, None, None]
    return y[:, :, :: stride[0], :: stride[1]] + bias


def slow_full_convolution(module, x):
    """Each input pixel adds its scaled kernel to the output."""
    c, w = module, module.weight.value
    height, width = (
        (s - 1) * d + k + a
        for s, d, k, a in zip(x.shape[2:], (c.dh, c.dw), (c.kh, c.kw), (c.adj_h, c.adj_w), strict=True)
    )
    y = np.zeros((len(x), w.shape[1], height, width))
    for i, j in np.ndindex(x.shape[2:]):
        rows, columns = slice(i * c.dh, i * c.dh + c.kh), slice(j * c.dw, j * c.dw + c.kw)
        y[:, :, rows, columns] += np.einsum("nc,ckhw->nkhw", x[:, :, i, j], w)
    y = y[:, :, c.pad_h : height - c.pad_h, c.pad_w : width - c.pad_w]
    return y + (0 if c.bias is None else c.bias.value[:, None, None])


def global_mean(_, x):
    return x.mean((2, 3), keepdims=True)


def conv(*args, **options):
    return LayerCase(lambda: SpatialConvolution(*args, **options), normal(2, args[0], 6, 7), slow_convolution)


image, rows, cube = normal(2, 4, 6, 6), normal(4, 5), normal(2, 3, 4)
distinct, table = apart(2, 3, 4), [normal(2, 3, 4), normal(2, 3, 4)]

CONVOLUTION = {
    "SpatialConvolution": conv(4, 6, 3, 3),
    "SpatialConvolution-stride-pad": conv(4, 6, 3, 2, 2, 1, 1, 2),
    "SpatialConvolution-groups": conv(4, 6, 3, 3, 1, 1, 1, 1, n_group=2, with_bias=False),
    "SpatialConvolution-depthwise": conv(4, 4, 3, 3, 1, 1, 1, 1, n_group=4),
    "SpatialConvolution-1x1": conv(4, 6, 1, 1),
    "SpatialConvolution-same": LayerCase(lambda: SpatialConvolution(4, 3, 3, 3, 2, 2, -1, -1), image),
    "SpatialConvolution-NHWC": LayerCase(
        lambda: SpatialConvolution(4, 3, 3, 3, data_format="NHWC"), normal(2, 5, 6, 4)
    ),
    "SpatialConvolution-first": LayerCase(
        lambda: SpatialConvolution(4, 3, 3, 3, propagate_back=False), image, slow_convolution, is_differentiable=False
    ),
    "SpatialConvolution-L2": LayerCase(
        lambda: SpatialConvolution(4, 3, 3, 3, wRegularizer=L2Regularizer(0.1)), image, is_differentiable=False
    ),
    "SpatialShareConvolution": LayerCase(lambda: SpatialShareConvolution(4, 6, 3, 3), image, slow_convolution),
    "SpatialDilatedConvolution": LayerCase(
        lambda: SpatialDilatedConvolution(4, 6, 3, 3, 1, 2, 2, 3, 2, 3), normal(2, 4, 8, 9), slow_convolution
    ),
    "SpatialFullConvolution": LayerCase(lambda: SpatialFullConvolution(4, 3, 3, 3, 2, 2, 1, 1, 1, 1), image, None),
    "SpatialFullConvolution-plain": LayerCase(
        lambda: SpatialFullConvolution(4, 3, 3, 2, 2, 1, 1, 0, no_bias=True), image, slow_full_convolution
    ),
}


def row_distances(module, x):
    return np.array([[np.linalg.norm(row - w) for w in module.weight.value] for row in x])


def largest_piece(module, x):
    return (x @ module.inner.weight.value.T + module.inner.bias.value).reshape(len(x), 2, 3).max(1)


def slow_volume(module, x):
    """Correlation volume by volume with SciPy, then strides."""
    c = module
    padded = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in (c.pad_t, c.pad_h, c.pad_w)]])
    y = [
        [sum(signal.correlate(p, k, mode="valid") for p, k in zip(v, w, strict=True)) for w in c.weight.value]
        for v in padded
    ]
    return np.array(y)[:, :, :: c.d_t, :: c.d_h, :: c.d_w] + c.bias.value[:, None, None, None]


def slow_places(module, x):
    """The window at each place times the weights of that place."""
    (rows, columns), c = module.grid, module
    padded = np.pad(x, [(0, 0), (0, 0), (c.pad_h, c.pad_h), (c.pad_w, c.pad_w)])
    y = np.zeros((len(x), c.n_output_plane, rows, columns))
    for i, j in np.ndindex(rows, columns):
        window = padded[
            :, :, i * c.stride_h : i * c.stride_h + c.kernel_h, j * c.stride_w : j * c.stride_w + c.kernel_w
        ]
        place = i * columns + j
        y[:, :, i, j] = window.reshape(len(x), -1) @ c.weight.value[place].T + c.bias.value[place]
    return y


def slow_steps(module, x):
    c, steps = module, len(module.bias.value)
    windows = [x[:, t * c.stride_w : t * c.stride_w + c.kernel_w].reshape(len(x), -1) for t in range(steps)]
    return np.stack([w @ c.weight.value[t].T + c.bias.value[t] for t, w in enumerate(windows)], axis=1)


volume = normal(2, 2, 5, 6, 4)
VOLUME = {
    "VolumetricConvolution": LayerCase(
        lambda: VolumetricConvolution(2, 3, 3, 2, 3, 2, 1, 2, 1, 1, 0), volume, slow_volume
    ),
    "VolumetricConvolution-same": LayerCase(
        lambda: VolumetricConvolution(2, 3, 3, 2, 3, 1, 1, 1, -1, -1, -1, with_bias=False), volume
    ),
    "VolumetricMaxPooling": LayerCase(
        lambda: VolumetricMaxPooling(2, 2, 3, 1, 2, 3),
        apart(2, 2, 3, 6, 4),
        lambda _, x: np.lib.stride_tricks.sliding_window_view(x, (2, 3, 2), axis=(2, 3, 4))[:, :, :, ::3, ::2].max(
            (5, 6, 7)
        ),
    ),
    "VolumetricMaxPooling-padded": LayerCase(
        lambda: VolumetricMaxPooling(3, 3, 2, 2, 2, 2, 1, 1, 1), apart(2, 2, 3, 6, 4)
    ),
    "VolumetricAveragePooling": LayerCase(
        lambda: VolumetricAveragePooling(2, 2, 3, 1, 2, 3),
        volume,
        lambda _, x: np.lib.stride_tricks.sliding_window_view(x, (2, 3, 2), axis=(2, 3, 4))[:, :, :, ::3, ::2].mean(
            (5, 6, 7)
        ),
    ),
    "VolumetricAveragePooling-inside": LayerCase(
        lambda: VolumetricAveragePooling(3, 3, 2, 2, 2, 2, 1, 1, 1, count_include_pad=False), volume
    ),
}
LOCAL = {
    "LocallyConnected2D": LayerCase(lambda: LocallyConnected2D(4, 6, 6, 3, 3, 2, 2, 1, 1, 1), image, slow_places),
    "LocallyConnected2D-NHWC": LayerCase(
        lambda: LocallyConnected2D(6, 6, 4, 3, 3, 2, data_format="NHWC", with_bias=False), image
    ),
    "LocallyConnected1D": LayerCase(lambda: LocallyConnected1D(6, 4, 5, 3, 2), normal(2, 6, 4), slow_steps),
}
bell = np.outer([1, 2, 1], [1, 3, 1]).astype(np.float32)
CONTRAST = {
    "SpatialSubtractiveNormalization": LayerCase(lambda: SpatialSubtractiveNormalization(4, bell), image),
    "SpatialDivisiveNormalization": LayerCase(lambda: SpatialDivisiveNormalization(4, bell), image),
    "SpatialContrastiveNormalization": LayerCase(lambda: SpatialContrastiveNormalization(4), image, tolerance=2e-2),
}
LINEAR = {
    "Cosine": LayerCase(
        lambda: Cosine(5, 3),
        rows,
        lambda m, x: np.array([[1 - distance.cosine(row, w) for w in m.weight.value] for row in x]),
    ),
    "Euclidean": LayerCase(lambda: Euclidean(5, 3), rows, row_distances),
    "Maxout": LayerCase(lambda: Maxout(5, 3, 2), rows, largest_piece, step=1e-3, tolerance=2e-2),
    "Highway": LayerCase(lambda: Highway(5), rows),
    "Highway-Tanh": LayerCase(lambda: Highway(5, activation=Tanh()), rows),
    "Linear": LayerCase(lambda: Linear(5, 3), rows, lambda m, x: x @ m.weight.value.T + m.bias.value),
    "Linear-no-bias": LayerCase(lambda: Linear(5, 3, with_bias=False), rows, lambda m, x: x @ m.weight.value.T),
}
POOLING = {
    "TemporalMaxPooling": LayerCase(
        lambda: TemporalMaxPooling(2, 1), distinct, lambda _, x: np.maximum(x[:, :-1], x[:, 1:])
    ),
    "SpatialMaxPooling": LayerCase(lambda: SpatialMaxPooling(2, 2, 2, 2), apart(2, 2, 6, 6)),
    "SpatialMaxPooling-ceil": LayerCase(lambda: SpatialMaxPooling(3, 2, 2, 3, 1, 1, True), apart(2, 2, 6, 6)),
    "SpatialMaxPooling-same": LayerCase(lambda: SpatialMaxPooling(3, 3, 2, 2, -1, -1), apart(2, 2, 5, 6)),
    "SpatialAveragePooling": LayerCase(lambda: SpatialAveragePooling(3, 2, 2, 1, 1, 1), image),
    "SpatialAveragePooling-inside": LayerCase(
        lambda: SpatialAveragePooling(3, 3, 2, 2, 1, 1, ceil_mode=True, count_include_pad=False), image
    ),
    "SpatialAveragePooling-sum": LayerCase(lambda: SpatialAveragePooling(2, 2, 2, 2, divide=False), image),
    "SpatialAveragePooling-global": LayerCase(
        lambda: SpatialAveragePooling(1, 1, global_pooling=True), image, global_mean
    ),
}
NORMALISATION = {
    "BatchNormalization": LayerCase(lambda: BatchNormalization(5), rows, tolerance=2e-2),
    "BatchNormalization-plain": LayerCase(lambda: BatchNormalization(5, affine=False), rows, tolerance=2e-2),
    "SpatialBatchNormalization": LayerCase(lambda: SpatialBatchNormalization(4), image, tolerance=2e-2),
    "SpatialBatchNormalization-NHWC": LayerCase(
        lambda: SpatialBatchNormalization(6, data_format="NHWC"), image, tolerance=2e-2
    ),
    "LayerNormalization": LayerCase(lambda: LayerNormalization(4), cube, tolerance=2e-2),
    "Normalize": LayerCase(lambda: Normalize(2.0), rows, lambda _, x: x / np.linalg.norm(x, axis=1, keepdims=True)),
    "Normalize-3": LayerCase(
        lambda: Normalize(3.0), rows, lambda _, x: x / np.linalg.norm(x, 3, axis=1, keepdims=True)
    ),
    "Normalize-inf": LayerCase(
        lambda: Normalize(float("inf")), apart(4, 5), lambda _, x: x / np.abs(x).max(1, keepdims=True)
    ),
    "NormalizeScale": LayerCase(
        lambda: NormalizeScale(2.0, 20.0, [1, 4, 1, 1]),
        image,
        lambda _, x: 20 * x / np.linalg.norm(x, axis=1, keepdims=True),
    ),
}


def cross_map(_, x):
    padded = np.pad(x.astype(np.float64) ** 2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    return x * (2 + 0.5 / 3 * (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:])) ** -0.75


def within_channel(_, x):
    window = np.ones((3, 3))
    sums = [
        [signal.correlate2d(plane.astype(np.float64) ** 2, window, mode="same") for plane in sample] for sample in x
    ]
    return x * (1 + 0.5 / 9 * np.array(sums)) ** -0.75


NORMALISATION |= {
    "SpatialCrossMapLRN": LayerCase(lambda: SpatialCrossMapLRN(3, 0.5, 0.75, 2.0), image, cross_map),
    "SpatialCrossMapLRN-NHWC": LayerCase(lambda: SpatialCrossMapLRN(3, data_format="NHWC"), image),
    "SpatialWithinChannelLRN": LayerCase(lambda: SpatialWithinChannelLRN(3, 0.5), image, within_channel),
}
ACTIVATION = {
    "SReLU": LayerCase(lambda: SReLU([3, 4]), distinct, step=1e-3),
    "SReLU-shared": LayerCase(lambda: SReLU([3, 4], [1]), distinct, step=1e-3),
    "ReLU": LayerCase(ReLU, distinct, lambda _, x: np.maximum(x, 0)),
    "ReLU6": LayerCase(ReLU6, 2.1 * distinct, lambda _, x: np.clip(x, 0, 6)),
    "HardTanh": LayerCase(lambda: HardTanh(-1.0, 2.0), distinct, lambda _, x: np.clip(x, -1, 2)),
    "Clamp": LayerCase(lambda: Clamp(-2, 1), distinct, lambda _, x: np.clip(x, -2, 1)),
    "Tanh": LayerCase(Tanh, cube, lambda _, x: np.tanh(x)),
    "Sigmoid": LayerCase(Sigmoid, cube, lambda _, x: special.expit(x)),
    "HardSigmoid": LayerCase(HardSigmoid, distinct, lambda _, x: np.clip(0.2 * x + 0.5, 0, 1), step=1e-3),
    "LogSigmoid": LayerCase(LogSigmoid, cube, lambda _, x: np.log(special.expit(x))),
    "SoftMax": LayerCase(SoftMax, image, lambda _, x: special.softmax(x, axis=1)),
    "SoftMax-rows": LayerCase(SoftMax, rows, lambda _, x: special.softmax(x, axis=1)),
    "SoftMin": LayerCase(SoftMin, rows, lambda _, x: special.softmax(-x, axis=1)),
    "LogSoftMax": LayerCase(LogSoftMax, rows, lambda _, x: special.log_softmax(x, axis=1)),
    "ELU": LayerCase(lambda: ELU(0.7), distinct, lambda _, x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1))),
    "LeakyReLU": LayerCase(lambda: LeakyReLU(0.1), distinct, lambda _, x: np.where(x > 0, x, 0.1 * x)),
    "RReLU": LayerCase(RReLU, distinct),
    "PReLU": LayerCase(PReLU, distinct, lambda _, x: np.where(x > 0, x, 0.25 * x)),
    "PReLU-planes": LayerCase(lambda: PReLU(3), distinct, lambda _, x: np.where(x > 0, x, 0.25 * x)),
    "SoftPlus": LayerCase(lambda: SoftPlus(2.0), cube, lambda _, x: np.log1p(np.exp(2 * x)) / 2),
    "SoftSign": LayerCase(SoftSign, distinct, lambda _, x: x / (1 + np.abs(x))),
    "SoftShrink": LayerCase(
        lambda: SoftShrink(0.3), distinct, lambda _, x: np.sign(x) * np.maximum(np.abs(x) - 0.3, 0)
    ),
    "HardShrink": LayerCase(lambda: HardShrink(0.3), distinct, lambda _, x: np.where(np.abs(x) > 0.3, x, 0)),
    "TanhShrink": LayerCase(TanhShrink, cube, lambda _, x: x - np.tanh(x)),
    "Threshold": LayerCase(lambda: Threshold(0.1, -0.2), distinct, lambda _, x: np.where(x > 0.1, x, -0.2)),
    "BinaryThreshold": LayerCase(BinaryThreshold, distinct, lambda _, x: x > 1e-6),
}
POINTWISE = {
    "Abs": LayerCase(Abs, distinct, lambda _, x: abs(x)),
    "Square": LayerCase(Square, cube, lambda _, x: x**2),
    "Sqrt": LayerCase(Sqrt, np.abs(cube) + 1, lambda _, x: x**0.5),
    "Exp": LayerCase(Exp, cube, lambda _, x: np.exp(x)),
    "Log": LayerCase(Log, np.abs(cube) + 1, lambda _, x: np.log(x)),
    "Power": LayerCase(lambda: Power(3.0, 1.5, 0.5), cube, lambda _, x: (0.5 + 1.5 * x.astype(np.float64)) ** 3),
    "Negative": LayerCase(Negative, cube, lambda _, x: -x),
    "AddConstant": LayerCase(lambda: AddConstant(1.5), cube, lambda _, x: x + 1.5),
    "MulConstant": LayerCase(lambda: MulConstant(2.5), cube, lambda _, x: 2.5 * x),
    "GradientReversal": LayerCase(GradientReversal, cube, lambda _, x: x, is_differentiable=False),
}
AFFINE = {
    "Mul": LayerCase(Mul, cube, lambda m, x: x * m.weight.value),
    "Add": LayerCase(lambda: Add(5), rows, lambda m, x: x + m.bias.value),
    "CMul": LayerCase(lambda: CMul([1, 4, 1, 1]), image, lambda m, x: x * m.weight.value),
    "CMul-sample": LayerCase(lambda: CMul([3, 1]), cube, lambda m, x: x * m.weight.value),
    "CAdd": LayerCase(lambda: CAdd([3, 4]), cube, lambda m, x: x + m.bias.value),
    "Scale": LayerCase(lambda: Scale([1, 4, 1, 1]), image, lambda m, x: x * m.weight.value + m.bias.value),
}
SHAPE = {
    "Masking": LayerCase(
        lambda: Masking(0.0), np.stack([cube[0] * [[1], [0], [1]], cube[1]]), lambda _, x: x, is_differentiable=False
    ),
    "Index": LayerCase(
        lambda: Index(2),
        [cube, np.array([3, 1, 3])],
        lambda _, x: x[0][:, [2, 0, 2]],
        has_batch=False,
        is_differentiable=False,
    ),
    "Identity": LayerCase(Identity, cube, lambda _, x: x),
    "Contiguous": LayerCase(Contiguous, image, lambda _, x: x),
    "Reshape": LayerCase(lambda: Reshape([2, 6]), cube, lambda _, x: x.reshape(2, 2, 6)),
    "Reshape-batch": LayerCase(lambda: Reshape([12], True), cube, lambda _, x: x.reshape(2, 12)),
    "View": LayerCase(lambda: View([12]), cube, lambda _, x: x.reshape(2, 12)),
    "View-sample": LayerCase(lambda: View([6, 2], 2), cube, lambda _, x: x.reshape(2, 6, 2)),
    "InferReshape": LayerCase(lambda: InferReshape([0, 2, -1]), cube, lambda _, x: x.reshape(2, 2, 6), has_batch=False),
    "InferReshape-batch": LayerCase(
        lambda: InferReshape([-1, 2], True), cube, lambda _, x: x.reshape(2, 6, 2), has_batch=False
    ),
    "Squeeze": LayerCase(lambda: Squeeze(2), normal(2, 1, 4), lambda _, x: x[:, 0]),
    "Unsqueeze": LayerCase(lambda: Unsqueeze(2), cube, lambda _, x: x[:, None]),
    "Transpose": LayerCase(lambda: Transpose([(2, 3), (3, 4)]), image, lambda _, x: x.transpose(0, 2, 3, 1)),
    "Replicate": LayerCase(lambda: Replicate(3, 2), cube, lambda _, x: np.stack([x] * 3, 1)),
    "Tile": LayerCase(lambda: Tile(3, 2), cube, lambda _, x: np.tile(x, (1, 1, 2))),
    "Select": LayerCase(lambda: Select(2, -1), cube, lambda _, x: x[:, -1]),
    "Narrow": LayerCase(lambda: Narrow(3, 2, -1), cube, lambda _, x: x[:, :, 1:]),
    "Reverse": LayerCase(lambda: Reverse(2), cube, lambda _, x: x[:, ::-1]),
    "Padding": LayerCase(
        lambda: Padding(1, -2, 2, 0.5), cube, lambda _, x: np.pad(x, [(0, 0), (2, 0), (0, 0)], constant_values=0.5)
    ),
    "SpatialZeroPadding": LayerCase(
        lambda: SpatialZeroPadding(1, 2, -1, 3),
        image,
        lambda _, x: np.pad(x[:, :, 1:], [(0, 0), (0, 0), (0, 3), (1, 2)]),
    ),
    "Cropping2D": LayerCase(lambda: Cropping2D([1, 2], [0, 3]), image, lambda _, x: x[:, :, 1:4, :3]),
}
TABLE = {
    "CAddTable": LayerCase(CAddTable, table, lambda _, x: x[0] + x[1]),
    "CAveTable": LayerCase(CAveTable, table, lambda _, x: (x[0] + x[1]) / 2),
    "CSubTable": LayerCase(CSubTable, table, lambda _, x: x[0] - x[1]),
    "CMulTable": LayerCase(CMulTable, [*table, cube], lambda _, x: x[0] * x[1] * x[2]),
    "CDivTable": LayerCase(CDivTable, [table[0], np.abs(table[1]) + 1], lambda _, x: x[0] / x[1]),
    "CMaxTable": LayerCase(CMaxTable, list(apart(2, 2, 3)), lambda _, x: np.maximum(*x)),
    "CMinTable": LayerCase(CMinTable, list(apart(2, 2, 3)), lambda _, x: np.minimum(*x)),
    "JoinTable": LayerCase(lambda: JoinTable(1, 2), table, lambda _, x: np.concatenate(x, 1)),
    "JoinTable-planes": LayerCase(lambda: JoinTable(1, 3), [image, image[:, :2]], lambda _, x: np.concatenate(x, 1)),
    "SplitTable": LayerCase(lambda: SplitTable(2), cube, lambda _, x: [x[:, i] for i in range(3)]),
    "BifurcateSplitTable": LayerCase(lambda: BifurcateSplitTable(2), cube, lambda _, x: [x[:, :1], x[:, 1:]]),
    "Pack": LayerCase(lambda: Pack(2), table, lambda _, x: np.stack(x, 1)),
    "SelectTable": LayerCase(lambda: SelectTable(-1), table, lambda _, x: x[1]),
    "NarrowTable": LayerCase(lambda: NarrowTable(2, 2), [*table, cube], lambda _, x: x[1:]),
    "FlattenTable": LayerCase(FlattenTable, [table[0], [table[1], cube]], lambda _, x: [x[0], *x[1]]),
}
PRODUCT = {
    "MM": LayerCase(MM, [normal(2, 3, 4), normal(2, 4, 5)], lambda _, x: x[0] @ x[1]),
    "MM-transposed": LayerCase(
        lambda: MM(True, True), [normal(2, 4, 3), normal(2, 5, 4)], lambda _, x: np.swapaxes(x[1] @ x[0], 1, 2)
    ),
    "MV": LayerCase(
        MV, [normal(2, 3, 4), normal(2, 4)], lambda _, x: np.array([m @ v for m, v in zip(*x, strict=True)])
    ),
    "MV-transposed": LayerCase(lambda: MV(True), [normal(4, 3), normal(4)], lambda _, x: x[1] @ x[0], has_batch=False),
    "DotProduct": LayerCase(DotProduct, [rows, rows[::-1]], lambda _, x: np.diag(x[0] @ x[1].T)),
    "CosineDistance": LayerCase(
        CosineDistance,
        [rows, rows[::-1] ** 2],
        lambda _, x: np.array([1 - distance.cosine(a, b) for a, b in zip(*x, strict=True)]),
    ),
    "PairwiseDistance": LayerCase(
        lambda: PairwiseDistance(3), [rows, rows[::-1] ** 2], lambda _, x: np.linalg.norm(x[0] - x[1], 3, axis=1)
    ),
    "CrossProduct": LayerCase(
        lambda: CrossProduct(3, 5),
        [rows, rows[::-1], rows**2],
        lambda _, x: np.stack([(x[0] * x[1]).sum(1), (x[0] * x[2]).sum(1), (x[1] * x[2]).sum(1)], 1),
    ),
    "Bilinear": LayerCase(
        lambda: Bilinear(5, 4, 2),
        [rows, normal(4, 4)],
        lambda m, x: np.array([[a @ w @ b for w in m.weight.value] for a, b in zip(*x, strict=True)]) + m.bias.value,
    ),
}
RESIZE = {
    "UpSampling1D": LayerCase(lambda: UpSampling1D(2), cube, lambda _, x: x.repeat(2, 1)),
    "UpSampling2D": LayerCase(lambda: UpSampling2D([2, 3]), image, lambda _, x: np.kron(x, np.ones((1, 1, 2, 3)))),
    "UpSampling2D-nhwc": LayerCase(
        lambda: UpSampling2D([2, 3], "nhwc"), image, lambda _, x: np.kron(x, np.ones((1, 2, 3, 1)))
    ),
    "UpSampling3D": LayerCase(
        lambda: UpSampling3D([2, 1, 3]), normal(2, 2, 2, 3, 2), lambda _, x: np.kron(x, np.ones((1, 1, 2, 1, 3)))
    ),
    "ResizeBilinear": LayerCase(lambda: ResizeBilinear(9, 4), image),
    "ResizeBilinear-corners": LayerCase(
        lambda: ResizeBilinear(11, 16, True), image, lambda _, x: ndimage.zoom(x, (1, 1, 11 / 6, 16 / 6), order=1)
    ),
}
PENALTY = {
    "L1Penalty": LayerCase(lambda: L1Penalty(1), cube, lambda _, x: x, is_differentiable=False),
    "ActivityRegularization": LayerCase(
        lambda: ActivityRegularization(0.1, 0.2), cube, lambda _, x: x, is_differentiable=False
    ),
    "NegativeEntropyPenalty": LayerCase(
        NegativeEntropyPenalty, np.abs(cube) + 0.1, lambda _, x: x, is_differentiable=False
    ),
}
EMBEDDING = {
    "LookupTable": LayerCase(
        lambda: LookupTable(6, 3),
        np.array([[1, 6], [6, 2]]),
        lambda m, x: m.weight.value[x - 1],
        is_differentiable=False,
    ),
}
REDUCTION = {
    "Sum": LayerCase(lambda: Sum(2, size_average=True, squeeze=False), cube, lambda _, x: x.sum(1)),
    "Mean": LayerCase(lambda: Mean(1, 2), cube, lambda _, x: x.mean(1)),
    "Max": LayerCase(lambda: Max(2), distinct, lambda _, x: x.max(1)),
    "Min": LayerCase(lambda: Min(2), distinct, lambda _, x: x.min(1)),
}
DROPOUT = {
    "Dropout": LayerCase(lambda: Dropout(0.3), cube),
    "Dropout-unscaled": LayerCase(lambda: Dropout(0.3, scale=False), cube),
    "GaussianDropout": LayerCase(lambda: GaussianDropout(0.3), cube),
    "GaussianNoise": LayerCase(lambda: GaussianNoise(0.3), cube),
    "SpatialDropout1D": LayerCase(lambda: SpatialDropout1D(0.3), cube),
    "SpatialDropout2D": LayerCase(lambda: SpatialDropout2D(0.3), image),
}


def split_graph():
    """A graph with a shared layer, a branch, two inputs and two outputs."""
    first, second = Input(), Input()
    shared = Linear(5, 5).set_name("shared")
    hidden = ReLU()(shared(first))
    joined = CAddTable()([Tanh()(shared(second)), hidden])
    return Graph([first, second], [Linear(5, 2)(joined), hidden])


def small_network():
    network = Sequential().add(SpatialConvolution(4, 3, 3, 3)).add(SpatialBatchNormalization(3)).add(Tanh())
    return network.add(SpatialAveragePooling(2, 2, 2, 2)).add(Reshape([12], True)).add(Linear(12, 2)).add(LogSoftMax())


def with_relu():
    return Sequential().add(Linear(5, 4)).add(ReLU()).add(Linear(4, 2))


CONTAINER = {
    "Sequential": LayerCase(small_network, image, tolerance=3e-2),
    "Sequential-ReLU": LayerCase(with_relu, rows, step=1e-3, tolerance=3e-2),
    "ConcatTable": LayerCase(lambda: ConcatTable().add(Linear(5, 2)).add(Tanh()), rows),
    "Concat": LayerCase(lambda: Concat(2).add(SpatialConvolution(4, 2, 1, 1)).add(Tanh()), image),
    "ParallelTable": LayerCase(lambda: ParallelTable().add(Linear(5, 2)).add(Tanh()), [rows, cube[:, 0].repeat(2, 0)]),
    "MapTable": LayerCase(lambda: MapTable(Linear(5, 2)), [rows, rows[::-1]]),
    "Bottle": LayerCase(
        lambda: Bottle(Linear(4, 2), 2, 2), cube, lambda m, x: x @ m.module.weight.value.T + m.module.bias.value
    ),
    "Graph": LayerCase(split_graph, [rows, rows[::-1]], step=1e-3, tolerance=3e-2),
    "TimeDistributed": LayerCase(
        lambda: TimeDistributed(Linear(4, 2)), cube, lambda m, x: x @ m.model.weight.value.T + m.model.bias.value
    ),
    "InputLayer": LayerCase(InputLayer, cube, lambda _, x: x),
}
CASES = (
    CONVOLUTION | VOLUME | LOCAL | CONTRAST | LINEAR | POOLING | NORMALISATION | ACTIVATION | POINTWISE | AFFINE | EMBEDDING
    | SHAPE | RESIZE | TABLE | PRODUCT | REDUCTION | DROPOUT | PENALTY | CONTAINER
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_nothing_escapes_its_harness():
    abstract = {"Container", "Module"}
    concrete = {name for name, kind in vars(layer).items() if isinstance(kind, type) and issubclass(kind, Module)}
    checked = {name.split("-")[0] for name in CASES}
    assert concrete - abstract - {"Model"} == checked


def test_lookup_gradients_are_summed_by_row():
    table = LookupTable(4, 2, padding_value=3, should_scale_grad_by_freq=True)
    numbers = np.array([[1, 2, 1], [3, 1, 2]])
    table.forward(numbers)
    table.backward(numbers, np.arange(12.0).reshape(2, 3, 2))
    np.testing.assert_allclose(table.weight.grad, [[4, 5], [6, 7], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match="expected 1 to 4"):
        table.forward([0, 1])


def test_lookup_rows_are_shortened():
    table = LookupTable(3, 2, max_norm=1.0)
    table.weight.value[...] = [[3, 4], [0.3, 0.4], [6, 8]]
    np.testing.assert_allclose(table.forward([1, 2]), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(table.weight.value[2], [6, 8])
