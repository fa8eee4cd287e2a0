"""The reference kernels against slow loops, other libraries, and the rule that a gradient is the adjoint of its operation."""

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
}
POOLS = {
    "halves": ((2, 2), (2, 2), (0, 0, 0, 0)),
    "overlapping": ((3, 3), (2, 2), (1, 1, 1, 1)),
    "uneven": ((3, 2), (2, 1), (0, 1, 1, 0)),
}


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def slow_convolution(x, w, stride, padding, dilation, groups):
    """By scipy, one pair of planes at a time: a dilated kernel is one with zeros between."""
    top, left, bottom, right = padding
    wide = np.zeros((*w.shape[:2], *((n - 1) * d + 1 for n, d in zip(w.shape[2:], dilation, strict=True))))
    wide[:, :, :: dilation[0], :: dilation[1]] = w
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    per_group_in, per_group_out = x.shape[1] // groups, w.shape[0] // groups
    images = [
        [
            sum(
                scipy.signal.correlate2d(image[k // per_group_out * per_group_in + c], wide[k, c], "valid")
                for c in range(per_group_in)
            )
            for k in range(w.shape[0])
        ]
        for image in padded
    ]
    return np.array(images)[:, :, :: stride[0], :: stride[1]]


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: str) -> None:
    x_shape, w_shape, geometry = CONVOLUTIONS[case]
    x, w, b = random(*x_shape), random(*w_shape), random(w_shape[0])
    expected = slow_convolution(x, w, *geometry) + b[:, None, None]
    np.testing.assert_allclose(reference.conv2d(x, w, b, *geometry), expected, atol=1e-5)
    np.testing.assert_allclose(reference.conv2d(x, w, b, *geometry, relu=True), np.maximum(expected, 0), atol=1e-5)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_gradients_are_adjoint(case: str) -> None:
    x_shape, w_shape, geometry = CONVOLUTIONS[case]
    x, w = random(*x_shape), random(*w_shape)
    y = reference.conv2d(x, w, None, *geometry)
    grad_y = random(*y.shape)
    grad_x = reference.conv2d_grad_x(x.shape, w, grad_y, *geometry)
    grad_w, grad_b = reference.conv2d_grad_w(x, w.shape[2:], grad_y, *geometry)
    product = np.vdot(y, grad_y)
    assert np.vdot(x, grad_x) == pytest.approx(product, rel=1e-4)
    assert np.vdot(w, grad_w) == pytest.approx(product, rel=1e-4)
    np.testing.assert_allclose(grad_b, [grad_y[:, k].sum() for k in range(len(w))], rtol=1e-4)


def windows(x, kernel, stride, padding):
    """(position, pixels (N, C, n) of the window that lie in the image, their coordinates)."""
    rows = (x.shape[2] + padding[0] + padding[2] - kernel[0]) // stride[0] + 1
    columns = (x.shape[3] + padding[1] + padding[3] - kernel[1]) // stride[1] + 1
    for i, j in itertools.product(range(rows), range(columns)):
        top, left = i * stride[0] - padding[0], j * stride[1] - padding[1]
        inside = [
            (r, c)
            for r, c in itertools.product(range(top, top + kernel[0]), range(left, left + kernel[1]))
            if 0 <= r < x.shape[2] and 0 <= c < x.shape[3]
        ]
        yield (i, j), inside


@pytest.mark.parametrize("case", POOLS)
def test_max_pooling(case: str) -> None:
    x = np.round(random(2, 3, 7, 6) * 2)  # with equal values
    y, saved = reference.max_pool2d(x, *POOLS[case])
    grad_y = random(*y.shape)
    grad_x = np.zeros_like(x)
    for (i, j), inside in windows(x, *POOLS[case]):
        for n, c in np.ndindex(x.shape[:2]):
            winner = max(inside, key=lambda at: x[n, c, *at])
            assert y[n, c, i, j] == x[n, c, *winner]
            grad_x[n, c, *winner] += grad_y[n, c, i, j]
    np.testing.assert_allclose(reference.max_pool2d_backward(grad_y, saved), grad_x, atol=1e-6)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("case", POOLS)
def test_average_pooling(case: str, count_include_pad: bool) -> None:
    x = random(2, 3, 7, 6)
    y, saved = reference.avg_pool2d(x, *POOLS[case], count_include_pad)
    for (i, j), inside in windows(x, *POOLS[case]):
        divisor = np.prod(POOLS[case][0]) if count_include_pad else len(inside)
        expected = sum(x[:, :, r, c] for r, c in inside) / divisor
        np.testing.assert_allclose(y[:, :, i, j], expected, atol=1e-6)
    grad_y = random(*y.shape)
    assert np.vdot(reference.avg_pool2d_backward(grad_y, saved), x) == pytest.approx(np.vdot(grad_y, y), rel=1e-4)


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


def test_a_window_larger_than_the_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one window"):
        reference.max_pool2d(random(1, 1, 2, 2), (3, 3), (1, 1), (0, 0, 0, 0))
