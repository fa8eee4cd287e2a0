"""The reference kernels against slow loops, other libraries, and the rule that a gradient is the adjoint of its
operation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.signal
import scipy.special

from dlcore.kernels import reference
from dlcore.kernels.interface import OPERATIONS

# x shape, w shape, (stride, padding, dilation, groups)
CONVOLUTIONS = {
    "plain": ((2, 3, 6, 5), (4, 3, 3, 3), ((1, 1), (1, 1, 1, 1), (1, 1), 1)),
    "uneven": ((1, 2, 7, 6), (3, 2, 2, 3), ((2, 1), (0, 1, 2, 0), (1, 1), 1)),
    "dilated": ((2, 2, 9, 8), (2, 2, 3, 3), ((1, 2), (2, 2, 2, 2), (2, 3), 1)),
    "grouped": ((2, 4, 5, 5), (6, 2, 3, 3), ((2, 2), (1, 1, 1, 1), (1, 1), 2)),
    "depthwise": ((1, 4, 5, 5), (4, 1, 3, 3), ((1, 1), (1, 1, 1, 1), (1, 1), 4)),
    "sequence": ((2, 4, 9), (6, 2, 3), ((2,), (2, 1), (2,), 2)),
    "volume": ((2, 2, 5, 6, 4), (3, 2, 2, 3, 2), ((2, 1, 1), (0, 1, 1, 1, 2, 0), (1, 2, 1), 1)),
    "four dimensions": (
        (1, 2, 3, 4, 3, 4),
        (2, 2, 2, 2, 1, 3),
        ((1, 2, 1, 1), (1, 0, 0, 1, 0, 1, 0, 0), (1, 1, 1, 1), 1),
    ),
}
# x shape, (kernel, stride, padding)
POOLS = {
    "halves": ((2, 3, 7, 6), ((2, 2), (2, 2), (0, 0, 0, 0))),
    "overlapping": ((2, 3, 7, 6), ((3, 3), (2, 2), (1, 1, 1, 1))),
    "uneven": ((2, 3, 7, 6), ((3, 2), (2, 1), (0, 1, 1, 0))),
    "sequence": ((2, 3, 9), ((3,), (2,), (1, 0))),
    "volume": ((2, 2, 5, 4, 6), ((2, 3, 2), (2, 1, 2), (1, 0, 0, 0, 1, 1))),
    "four dimensions": ((1, 2, 3, 3, 4, 2), ((2, 1, 2, 2), (1, 2, 2, 1), (0,) * 8)),
}


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def slow_convolution(x, w, stride, padding, dilation, groups):
    """By scipy, one pair of planes at a time: a dilated kernel is one with zeros between."""
    rank = len(stride)
    wide = np.zeros((*w.shape[:2], *((n - 1) * d + 1 for n, d in zip(w.shape[2:], dilation, strict=True))))
    wide[:, :, *(slice(None, None, d) for d in dilation)] = w
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *zip(padding[:rank], padding[rank:], strict=True)])
    per_group_in, per_group_out = x.shape[1] // groups, w.shape[0] // groups
    images = [
        [
            sum(
                scipy.signal.correlate(image[k // per_group_out * per_group_in + c], wide[k, c], "valid", "direct")
                for c in range(per_group_in)
            )
            for k in range(w.shape[0])
        ]
        for image in padded
    ]
    return np.array(images)[:, :, *(slice(None, None, s) for s in stride)]


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: str) -> None:
    x_shape, w_shape, geometry = CONVOLUTIONS[case]
    x, w, b = random(*x_shape), random(*w_shape), random(w_shape[0])
    expected = slow_convolution(x, w, *geometry) + b.reshape(-1, *[1] * len(geometry[0]))
    np.testing.assert_allclose(reference.conv(x, w, b, *geometry), expected, atol=1e-5)
    np.testing.assert_allclose(reference.conv(x, w, b, *geometry, relu=True), np.maximum(expected, 0), atol=1e-5)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_gradients_are_adjoint(case: str) -> None:
    x_shape, w_shape, geometry = CONVOLUTIONS[case]
    x, w = random(*x_shape), random(*w_shape)
    y = reference.conv(x, w, None, *geometry)
    grad_y = random(*y.shape)
    grad_x = reference.conv_grad_x(x.shape, w, grad_y, *geometry)
    grad_w, grad_b = reference.conv_grad_w(x, w.shape[2:], grad_y, *geometry)
    product = np.vdot(y, grad_y)
    assert np.vdot(x, grad_x) == pytest.approx(product, rel=1e-4)
    assert np.vdot(w, grad_w) == pytest.approx(product, rel=1e-4)
    np.testing.assert_allclose(grad_b, [grad_y[:, k].sum() for k in range(len(w))], rtol=1e-4)


def windows(x, kernel, stride, padding):
    """(position, coordinates of the pixels of the window that lie in the image)."""
    rank, image = len(kernel), x.shape[2:]
    before, after = padding[:rank], padding[rank:]
    each = zip(image, kernel, stride, before, after, strict=True)
    for position in np.ndindex(*((size + b + a - k) // s + 1 for size, k, s, b, a in each)):
        starts = [i * s - b for i, s, b in zip(position, stride, before, strict=True)]
        reached = itertools.product(*(range(start, start + k) for start, k in zip(starts, kernel, strict=True)))
        yield position, [at for at in reached if all(0 <= i < size for i, size in zip(at, image, strict=True))]


@pytest.mark.parametrize("case", POOLS)
def test_max_pooling(case: str) -> None:
    shape, geometry = POOLS[case]
    x = np.round(random(*shape) * 2)  # with equal values
    y, saved = reference.max_pool(x, *geometry)
    grad_y = random(*y.shape)
    grad_x = np.zeros_like(x)
    for position, inside in windows(x, *geometry):
        for n, c in np.ndindex(x.shape[:2]):
            winner = max(inside, key=lambda at: x[n, c, *at])
            assert y[n, c, *position] == x[n, c, *winner]
            grad_x[n, c, *winner] += grad_y[n, c, *position]
    np.testing.assert_allclose(reference.max_pool_backward(grad_y, saved), grad_x, atol=1e-6)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("case", POOLS)
def test_average_pooling(case: str, count_include_pad: bool) -> None:
    shape, geometry = POOLS[case]
    x = random(*shape)
    y, saved = reference.avg_pool(x, *geometry, count_include_pad)
    for position, inside in windows(x, *geometry):
        divisor = np.prod(geometry[0]) if count_include_pad else len(inside)
        expected = sum(x[:, :, *at] for at in inside) / divisor
        np.testing.assert_allclose(y[:, :, *position], expected, atol=1e-6)
    grad_y = random(*y.shape)
    assert np.vdot(reference.avg_pool_backward(grad_y, saved), x) == pytest.approx(np.vdot(grad_y, y), rel=1e-4)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 3, 2)])
def test_batch_norm(shape: tuple[int, ...], relu: bool) -> None:
    x, gamma, beta, eps = random(*shape), random(shape[1]), random(shape[1] + 1)[1:], 1e-3
    grad_y = random(*shape[::-1]).transpose()

    def formula(x, gamma, beta):
        planes = [x[:, c] for c in range(x.shape[1])]
        results = [
            (plane - plane.mean()) / np.sqrt(plane.var() + eps) * g + s
            for plane, g, s in zip(planes, gamma, beta, strict=True)
        ]
        y = np.stack(results, axis=1)
        return np.maximum(y, 0) if relu else y

    y, mean, var, saved = reference.batch_norm(x, gamma, beta, eps, relu)
    np.testing.assert_allclose(y, formula(x, gamma, beta), atol=1e-5)
    np.testing.assert_allclose(mean, [x[:, c].mean() for c in range(shape[1])], atol=1e-6)
    np.testing.assert_allclose(var, [x[:, c].var() for c in range(shape[1])], atol=1e-6)
    given = [np.array(part, np.float64) for part in (x, gamma, beta)]
    for position, grad in enumerate(reference.batch_norm_backward(grad_y, saved)):
        np.testing.assert_allclose(grad, numerical(formula, given, position, grad_y), atol=2e-4)


def numerical(function, arguments, position, grad_y, step=1e-6):
    """The gradient of sum(function * grad_y) by central differences, in double precision."""
    value = arguments[position]
    grad = np.zeros_like(value)
    for at in np.ndindex(value.shape):
        sides = []
        for change in (step, -step):
            moved = value.copy()
            moved[at] += change
            sides.append(function(*arguments[:position], moved, *arguments[position + 1 :]))
        grad[at] = np.vdot(sides[0] - sides[1], grad_y.astype(np.float64)) / (2 * step)
    return grad


def test_linear() -> None:
    x, w, b, grad_y = random(3, 4), random(5, 4), random(5), random(3, 5)
    expected = np.einsum("ni,oi->no", x, w) + b
    np.testing.assert_allclose(reference.linear(x, w, b), expected, rtol=1e-5)
    np.testing.assert_allclose(reference.linear(x, w, None, relu=True), np.maximum(expected - b, 0), atol=1e-5)
    grad_x, grad_w, grad_b = reference.linear_backward(x, w, grad_y)
    np.testing.assert_allclose(grad_x, np.einsum("no,oi->ni", grad_y, w), rtol=1e-4)
    np.testing.assert_allclose(grad_w, np.einsum("no,ni->oi", grad_y, x), rtol=1e-4)
    np.testing.assert_allclose(grad_b, grad_y.sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(axis: int) -> None:
    x = random(3, 4, 5) * 200
    np.testing.assert_allclose(reference.softmax(x, axis), scipy.special.softmax(x.astype(float), axis), atol=1e-6)


def slow_nms(boxes, scores, iou_threshold, top_k):
    order = sorted(range(len(boxes)), key=lambda k: (-scores[k], k))
    kept: list[int] = []
    for k in order[:top_k] if top_k > 0 else order:
        overlaps = []
        for other in kept:
            a, b = boxes[k], boxes[other]
            width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            both = max(width, 0) * max(height, 0)
            areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
            overlaps.append(both / (areas - both))
        if all(overlap <= iou_threshold for overlap in overlaps):
            kept.append(k)
    return kept


@pytest.mark.parametrize("top_k", [-1, 0, 10])
def test_nms(top_k: int) -> None:
    corners = np.random.default_rng(1).random((60, 2)).astype(np.float32)
    boxes = np.hstack([corners, corners + 0.3])
    scores = np.round(random(60), 1)
    assert reference.nms(boxes, scores, 0.4, top_k).tolist() == slow_nms(boxes.astype(float), scores, 0.4, top_k)


def test_hamming() -> None:
    codes = np.random.default_rng(2).integers(0, 256, (9, 5), np.uint8)
    expected = [[sum(int(a ^ b).bit_count() for a, b in zip(p, q, strict=True)) for q in codes] for p in codes[:4]]
    assert reference.hamming(codes[:4], codes).tolist() == expected


def test_reference_defines_every_operation() -> None:
    assert [name for name in OPERATIONS if not hasattr(reference, name)] == []


def test_double_precision_stays() -> None:
    x, w = random(1, 2, 5, 4).astype(np.float64), random(3, 2, 3, 3).astype(np.float64)
    geometry = ((1, 1), (1, 1, 1, 1), (1, 1), 1)
    y = reference.conv(x, w, None, *geometry)
    np.testing.assert_allclose(y, slow_convolution(x, w, *geometry), atol=1e-14)
    pooled = [pool(y, (2, 2), (2, 2), (0, 0, 0, 0))[0] for pool in (reference.max_pool, reference.avg_pool)]
    gradients = reference.conv_grad_x(x.shape, w, y, *geometry), *reference.conv_grad_w(x, (3, 3), y, *geometry)
    assert {part.dtype for part in (*pooled, *gradients)} == {np.dtype(np.float64)}


def test_a_geometry_of_another_rank_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected 1 sizes each and 2 of padding"):
        reference.max_pool(random(1, 1, 9), (3, 3), (1, 1), (0, 0, 0, 0))


def test_a_window_larger_than_the_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one window"):
        reference.max_pool(random(1, 1, 2, 2), (3, 3), (1, 1), (0, 0, 0, 0))
