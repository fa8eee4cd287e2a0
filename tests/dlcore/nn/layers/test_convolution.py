"""Layers of the family convolution: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from dlcore.nn.layer import (
    SpatialConvolution,
    SpatialDilatedConvolution,
    SpatialShareConvolution,
    TemporalConvolution,
)
from dlcore.nn.regularizer import L2Regularizer
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import image, normal


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


def slow_temporal(module, x):
    """A window after the other times the weights as BigDL has them: step by step, in each step frame by frame."""
    weight, starts = module.get_weights()[0], range(0, x.shape[1] - module.kernel_w + 1, module.stride_w)
    windows = np.stack([x[:, start : start + module.kernel_w].reshape(len(x), -1) for start in starts], axis=1)
    return windows @ weight.T + module.bias.value


def conv(*args, **options):
    return LayerCase(lambda: SpatialConvolution(*args, **options), normal(2, args[0], 6, 7), slow_convolution)


CASES = {
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
    "SpatialConvolution-L2": LayerCase(lambda: SpatialConvolution(4, 3, 3, 3, wRegularizer=L2Regularizer(0.1)), image),
    "SpatialShareConvolution": LayerCase(lambda: SpatialShareConvolution(4, 6, 3, 3), image, slow_convolution),
    "SpatialDilatedConvolution": LayerCase(
        lambda: SpatialDilatedConvolution(4, 6, 3, 3, 1, 2, 2, 3, 2, 3), normal(2, 4, 8, 9), slow_convolution
    ),
    "TemporalConvolution": LayerCase(lambda: TemporalConvolution(4, 3, 2), normal(2, 7, 4), slow_temporal),
    "TemporalConvolution-stride": LayerCase(lambda: TemporalConvolution(4, 3, 3, 2), normal(2, 8, 4), slow_temporal),
    "TemporalConvolution-single": LayerCase(
        lambda: TemporalConvolution(4, 3, 3),
        normal(8, 4),
        lambda module, x: slow_temporal(module, x[None])[0],
        has_batch=False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
def test_initial_weights_may_have_the_shape_in_which_weights_are_given_out(data_format):
    first = SpatialConvolution(4, 6, 3, 2, n_group=2, data_format=data_format)
    weight, bias = first.get_weights()
    second = SpatialConvolution(4, 6, 3, 2, n_group=2, init_weight=weight, init_bias=bias, data_format=data_format)
    np.testing.assert_array_equal(second.weight.value, first.weight.value)
    np.testing.assert_array_equal(second.get_weights()[0], weight)
