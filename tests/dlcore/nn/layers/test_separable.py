"""Layers of the family separable: a row per layer and variant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from dlcore.nn.layer import SpatialConvolutionMap, SpatialSeparableConvolution
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import image, normal

TABLE = [[1, 1], [2, 1], [4, 2], [1, 3], [3, 3], [3, 3]]


def correlate(plane, kernel, stride):
    return signal.correlate2d(plane, kernel, mode="valid")[:: stride[0], :: stride[1]]


def slow_separable(module, x):
    """Plane by plane, then a weighted sum, with the weights in BigDL's shapes."""
    depth, point = module.get_weights()[:2]
    padded = np.pad(x, [(0, 0), (0, 0), (module.pad_h,) * 2, (module.pad_w,) * 2])
    stride = module.stride_h, module.stride_w
    planes = [
        [correlate(padded[n, c], depth[m, c], stride) for c in range(x.shape[1]) for m in range(len(depth))]
        for n in range(len(x))
    ]
    y = np.einsum("kc,nchw->nkhw", point[:, :, 0, 0], np.array(planes))
    return y + (0 if module.bias is None else module.bias.value[:, None, None])


def slow_map(module, x):
    """Pair by pair of the table."""
    padded = np.pad(x, [(0, 0), (0, 0), (module.pad_h,) * 2, (module.pad_w,) * 2])
    kernels, bias = module.get_weights()
    rows = []
    for n in range(len(x)):
        sums = [0.0] * len(bias)
        for (source, target), kernel in zip(TABLE, kernels, strict=True):
            sums[target - 1] += correlate(padded[n, source - 1], kernel, (module.dh, module.dw))
        rows.append([total + b for total, b in zip(sums, bias, strict=True)])
    return np.array(rows)


CASES = {
    "SpatialSeparableConvolution": LayerCase(
        lambda: SpatialSeparableConvolution(4, 3, 2, 3, 2, 2, 1, 1, 0), image, slow_separable
    ),
    "SpatialSeparableConvolution-plain": LayerCase(
        lambda: SpatialSeparableConvolution(4, 3, 1, 3, 3, with_bias=False), image, slow_separable
    ),
    "SpatialSeparableConvolution-NHWC": LayerCase(
        lambda: SpatialSeparableConvolution(4, 3, 2, 3, 3, pad_w=-1, pad_h=-1, data_format="NHWC"),
        normal(2, 5, 6, 4),
    ),
    "SpatialConvolutionMap": LayerCase(
        lambda: SpatialConvolutionMap(np.array(TABLE), 3, 2, 2, 1, 1, 0), image, slow_map
    ),
    "SpatialConvolutionMap-list": LayerCase(lambda: SpatialConvolutionMap(TABLE, 2, 2), image, slow_map),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


def test_weights_have_bigdls_shapes():
    shapes = [w.shape for w in SpatialSeparableConvolution(4, 3, 2, 5, 3).get_weights()]
    assert shapes == [(2, 4, 3, 5), (3, 8, 1, 1), (3,)]
    last = SpatialSeparableConvolution(4, 3, 2, 5, 3, data_format="NHWC")
    assert [w.shape for w in last.get_weights()] == [(3, 5, 4, 2), (1, 1, 8, 3), (3,)]
    first = SpatialSeparableConvolution(4, 3, 2, 5, 3)
    first.set_weights([w.transpose(3, 2, 0, 1) if w.ndim == 4 else w for w in last.get_weights()])
    x = normal(2, 6, 7, 4)
    np.testing.assert_allclose(first.forward(x.transpose(0, 3, 1, 2)), last.forward(x).transpose(0, 3, 1, 2), atol=1e-5)


def test_a_table_of_another_form_is_refused():
    with pytest.raises(ValueError, match=r"SpatialConvolutionMap: got conn_table of shape \(2, 3\), expected \(K, 2\)"):
        SpatialConvolutionMap(np.ones((2, 3)), 2, 2)
    with pytest.raises(ValueError, match="numbers of planes, from 1"):
        SpatialConvolutionMap([[0, 1]], 2, 2)
