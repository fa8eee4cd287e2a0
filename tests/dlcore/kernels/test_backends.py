"""Every backend gives what `reference` gives, in the promised memory order; the dispatch picks what it should."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
import warnings
from typing import Any

import numpy as np
import pytest

from dlcore import kernels
from dlcore.kernels import backends, interface, mkl, native, onednn_api, reference
from tests.dlcore.kernels import training_cases
from tests.dlcore.kernels.training_cases import images, random

BACKENDS = ("auto", "onednn", "mkl", "native", "reference")
GEOMETRIES = {
    "plain": ((1, 1), (1, 1, 1, 1), (1, 1), 1),
    "valid": ((1, 1), (0, 0, 0, 0), (1, 1), 1),
    "uneven": ((2, 1), (0, 1, 2, 0), (1, 1), 1),
    "dilated": ((1, 1), (2, 2, 2, 2), (2, 2), 1),
    "grouped": ((2, 2), (1, 1, 1, 1), (1, 1), 2),
}


def convolutions():
    """Channels below, at and above a vector's width; enough pixels for Winograd in some."""
    sizes = {"small": (2, 3, 8, 9, 5), "odd": (2, 18, 17, 19, 24), "wide": (3, 32, 24, 24, 40)}
    for (size, (n, c, h, w, k)), (name, geometry) in ((s, g) for s in sizes.items() for g in GEOMETRIES.items()):
        groups = geometry[3]
        if c % groups or k % groups:
            continue
        x, weights, b = images(n, c, h, w), random(k, c // groups, 3, 3), random(k)
        y = reference.conv(x, weights, b, *geometry)
        yield f"{size}-{name}", x, weights, b, images(*y.shape), geometry
    x, weights, b = images(2, 16, 8, 8), random(16, 1, 3, 3), random(16)
    yield "depthwise", x, weights, b, images(2, 16, 8, 8), ((1, 1), (1, 1, 1, 1), (1, 1), 16)
    for name, (n, c, h, w), kernel, stride, padding in (
        ("depthwise 5x5", (3, 20, 9, 11), 5, 1, (2, 2, 2, 2)),
        ("depthwise 5x5, half", (2, 33, 12, 10), 5, 2, (1, 2, 2, 1)),
        ("depthwise 7x7", (1, 16, 8, 8), 7, 1, (0, 0, 0, 0)),
        ("depthwise 7x7, small", (2, 5, 3, 4), 7, 2, (3, 3, 3, 3)),
    ):
        x, weights, b, geometry = (
            images(n, c, h, w),
            random(c, 1, kernel, kernel),
            random(c),
            ((stride,) * 2, padding, (1, 1), c),
        )
        yield name, x, weights, b, images(*reference.conv(x, weights, b, *geometry).shape), geometry
    x, weights = np.ascontiguousarray(images(2, 16, 24, 24)), random(20, 16, 1, 1)
    yield "pointwise-row-major", x, weights, random(20), random(2, 20, 24, 24), ((1, 1), (0, 0, 0, 0), (1, 1), 1)
    yield from convolutions_of_other_ranks()
    empty = np.zeros((0, 4, 8, 8), np.float32)
    yield "empty", empty, random(5, 4, 3, 3), random(5), np.zeros((0, 5, 8, 8), np.float32), GEOMETRIES["plain"]


def convolutions_of_other_ranks():
    """Sequences, volumes, and one dimension more than any backend but `reference` knows."""
    shapes = {
        "sequence": ((3, 12, 20), (6, 6, 4), ((2,), (3, 1), (1,), 2)),
        "dilated sequence": ((2, 16, 30), (18, 16, 3), ((1,), (2, 2), (2,), 1)),
        "volume": ((2, 4, 5, 9, 8), (6, 4, 2, 3, 3), ((1, 2, 1), (1, 1, 0, 0, 1, 2), (1, 1, 2), 1)),
        "flat volume": ((1, 16, 3, 24, 24), (16, 16, 1, 3, 3), ((1, 1, 1), (0, 1, 1, 0, 1, 1), (1, 1, 1), 1)),
        "four dimensions": ((1, 3, 3, 4, 5, 4), (4, 3, 2, 1, 3, 2), ((1, 1, 2, 1), (0, 0, 1, 1) * 2, (1, 1, 1, 1), 1)),
    }
    for name, (x_shape, w_shape, geometry) in shapes.items():
        x, w, b = images(*x_shape), random(*w_shape), random(w_shape[0])
        yield name, x, w, b, images(*reference.conv(x, w, b, *geometry).shape), geometry


def cases():
    """(name, operation, arguments, gradient for the paired backward operation or None)."""
    for name, x, w, b, grad_y, geometry in convolutions():
        yield name, "conv", (x, w, b, *geometry), None
        yield f"{name}-relu", "conv", (x, w, None, *geometry, True), None
        yield name, "conv_grad_x", (x.shape, w, grad_y, *geometry), None
        yield name, "conv_grad_w", (x, w.shape[2:], grad_y, *geometry, name != "odd-plain"), None
    planes = (images(2, 5, 9, 7), images(3, 32, 9, 9), np.zeros((0, 4, 9, 9), np.float32))
    windows = {
        "half": (((2, 2), (2, 2), (0, 0, 0, 0)), planes),
        "ceil": (((2, 2), (2, 2), (0, 0, 1, 1)), planes),
        "3x3": (((3, 3), (2, 2), (1, 1, 1, 1)), planes),
        "sequence": (((3,), (2,), (1, 0)), (images(2, 5, 9), images(3, 32, 8))),
        "volume": (((2, 3, 2), (2, 2, 1), (1, 0, 0, 1, 1, 0)), (images(2, 5, 4, 7, 5),)),
        "four dimensions": (((2, 1, 2, 2), (1, 1, 2, 1), (0,) * 8), (images(1, 2, 3, 3, 4, 4),)),
    }
    for name, (window, pictures) in windows.items():
        for x in pictures:
            shape = reference.max_pool(x, *window)[0].shape
            yield f"{name}-{x.shape}", "max_pool", (x, *window), images(*shape)
            for count_include_pad in (True, False):
                yield f"{name}-{x.shape}", "avg_pool", (x, *window, count_include_pad), images(*shape)
    for shape in ((6, 10), (4, 24, 5, 6), (2, 32, 8, 8), (2, 3, 4, 5)):
        x = images(*shape) if len(shape) == 4 else random(*shape)
        for relu in (False, True):
            given = (x, random(shape[1]), random(shape[1] + 1)[1:], 1e-4, relu)
            yield f"{shape}-{relu}", "batch_norm", given, random(*shape[::-1]).transpose()
    x, w, b, grad_y = random(7, 33), random(12, 33), random(12), random(7, 12)
    yield "rows", "linear", (x, w, b), None
    yield "relu", "linear", (x, w, None, True), None
    yield "no rows", "linear", (x[:0], w, b), None
    yield "strided", "linear", (random(33, 7).T, w[:, ::-1], b), None
    yield "rows", "linear_backward", (x, w, grad_y), None
    yield "x only", "linear_backward", (x, w, grad_y, True, False, True), None
    yield "no rows", "linear_backward", (x[:0], w, grad_y[:0]), None
    yield "broadcast", "matmul", (random(3, 1, 4, 5), random(2, 5, 6)), None
    yield "transposed", "matmul", (random(5, 4).T, random(6, 5).T), None
    yield "one row", "matmul", (random(1, 5), random(5, 1)), None
    yield from training_cases.cases()
    corners = np.random.default_rng(1).random((90, 2)).astype(np.float32)
    boxes = np.hstack([corners, corners + np.float32(0.3)])
    for top_k in (-1, 0, 25):
        yield f"{top_k}", "nms", (boxes, np.round(random(90), 1), 0.45, top_k), None
    yield "none", "nms", (boxes[:0], random(90)[:0], 0.45, 10), None
    yield from recurrences()
    for length in (1, 8, 16, 37):
        codes = np.random.default_rng(3).integers(0, 256, (70, length), np.uint8)
        yield f"{length}", "hamming", (codes[:11], codes), None
        yield f"{length}", "hamming_top_k", (codes[:11], [codes[:40], codes[40:]], 9), None
        yield f"{length}", "hamming_within", (codes[:11], codes, 4 * length), None


def recurrences():
    """Steps, sequences, values in and out; the gradients are those of the outputs and of each last state."""
    for steps, count, width, hidden in ((5, 3, 7, 4), (3, 1, 33, 18), (1, 2, 3, 32), (2, 0, 3, 4)):
        x, state, name = random(steps, count, width), random(count, hidden), f"{steps}-{count}-{width}-{hidden}"
        w, u, b = random(4 * hidden, width), random(4 * hidden, hidden) / 4, random(4 * hidden)
        grads = random(steps, count, hidden), state[:, ::-1], random(hidden, count).T
        yield name, "lstm", (x.swapaxes(0, 1).copy().swapaxes(0, 1), w, u, b, state, grads[2]), grads
        given = (x, w[hidden:], u[: 2 * hidden], u[2 * hidden : 3 * hidden], b[hidden:], state)
        yield name, "gru", given, grads[:2]


CASES = [pytest.param(*case[1:], id=f"{case[1]}-{case[0]}") for case in cases()]


def outputs(operation: str, arguments: tuple, grad_y: np.ndarray | tuple | None) -> list:
    """What the operation gives, and what the backward operation of its `saved` gives."""
    result = getattr(kernels, operation)(*arguments)
    if grad_y is None:
        return list(result) if isinstance(result, tuple) else [result]
    grads = grad_y if isinstance(grad_y, tuple) else (grad_y,)
    back = getattr(kernels, backends.PAIRS[operation])(*grads, result[-1])
    return [*result[:-1], *(back if isinstance(back, tuple) else (back,))]


@pytest.mark.parametrize("backend", BACKENDS[:-1])
@pytest.mark.parametrize(("operation", "arguments", "grad_y"), CASES)
def test_agrees_with_reference(
    backend: str, operation: str, arguments: tuple, grad_y: np.ndarray | tuple | None
) -> None:
    with kernels.using("reference"):
        expected = outputs(operation, arguments, grad_y)
    with kernels.using(backend):
        got = outputs(operation, arguments, grad_y)
    assert len(got) == len(expected)
    for ours, theirs in zip(got, expected, strict=True):
        if theirs is None:
            assert ours is None
            continue
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        scale = max(float(np.abs(theirs.astype(np.float64)).max(initial=0)), 1.0)
        np.testing.assert_allclose(ours, theirs, atol=3e-5 * scale)


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_come_channels_last(backend: str) -> None:
    with kernels.using(backend):
        y = kernels.conv(random(2, 16, 24, 24), random(16, 16, 3, 3), None, (1, 1), (1, 1, 1, 1), (1, 1), 1)
        pooled, saved = kernels.max_pool(y, (2, 2), (2, 2), (0, 0, 0, 0))
        for image in (y, pooled, kernels.max_pool_backward(pooled, saved)):
            assert image.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rank", [1, 3, 4])
def test_images_of_any_rank_come_channels_last(backend: str, rank: int) -> None:
    with kernels.using(backend):
        x, ones = random(2, 16, *[5] * rank), (1,) * rank
        y = kernels.conv(x, random(20, 16, *[2] * rank), None, ones, (0,) * 2 * rank, ones, 1)
        pooled, saved = kernels.avg_pool(y, (2,) * rank, (2,) * rank, (0,) * 2 * rank)
        for image in (y, pooled, kernels.avg_pool_backward(pooled, saved)):
            assert np.moveaxis(image, 1, -1).flags.c_contiguous


def test_a_pass_back_goes_to_the_backend_of_the_way_forward() -> None:
    """oneDNN knows three dimensions, `reference` any: passes of both may be open at once."""
    volume, more = images(1, 2, 4, 4, 4), images(1, 2, 4, 4, 4, 4)
    with kernels.using("onednn"):
        first, saved_first = kernels.max_pool(volume, (2,) * 3, (2,) * 3, (0,) * 6)
        second, saved_second = kernels.max_pool(more, (2,) * 4, (2,) * 4, (0,) * 8)
        assert kernels.max_pool_backward(first, saved_first).sum() == pytest.approx(first.sum(), rel=1e-5)
        assert kernels.max_pool_backward(second, saved_second).sum() == pytest.approx(second.sum(), rel=1e-5)


@pytest.mark.parametrize("backend", backends.FASTEST)
def test_backends_keep_to_the_interface(backend: str) -> None:
    module = backends.load(backend)
    for operation in interface.OPERATIONS:
        if not hasattr(module, operation):
            continue
        declared = list(inspect.signature(getattr(interface.Kernels, operation)).parameters.values())[1:]
        defined = list(inspect.signature(getattr(module, operation)).parameters.values())
        assert [(p.name, p.default) for p in defined] == [(p.name, p.default) for p in declared], operation
    for forward, backward in backends.PAIRS.items():
        assert hasattr(module, forward) == hasattr(module, backward)


def test_whole_backward_pass() -> None:
    x, w, grad_y = images(2, 3, 6, 6), random(4, 3, 3, 3), images(2, 4, 6, 6)
    geometry = GEOMETRIES["plain"]
    grad_x, grad_w, grad_b = kernels.conv_backward(x, w, grad_y, *geometry)
    assert (grad_x.shape, grad_w.shape, grad_b.shape) == (x.shape, w.shape, (4,))
    assert kernels.conv_backward(x, w, grad_y, *geometry, need_w=False)[1:] == (None, None)
    assert kernels.conv_backward(x, w, grad_y, *geometry, need_x=False, has_bias=False)[::2] == (None, None)


def test_forced_backend_is_active() -> None:
    expected = {"reference": "reference", "onednn": "onednn", "mkl": "mkl", "native": "native"}
    for name, active in expected.items():
        with kernels.using(name):
            assert kernels.active() == active
    with kernels.using("auto"):
        assert kernels.active() == "onednn+native"


def test_environment_forces_a_backend() -> None:
    program = "from dlcore import kernels; print(kernels.active())"
    environment = {**os.environ, "DLCORE_KERNELS": "mkl"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "mkl"


@pytest.mark.parametrize(
    ("module", "names", "backend", "message"),
    [
        (onednn_api, "NAMES", "onednn", "install the package onednn-cpu-gomp"),
        (mkl, "NAMES", "mkl", "install the package mkl"),
    ],
)
def test_missing_library(module, names, backend, message, monkeypatch) -> None:
    monkeypatch.setattr(module, names, ("libthat-is-not-there.so",))
    module.library.cache_clear()
    try:
        with pytest.raises(kernels.BackendUnavailableError, match=message), kernels.using(backend):
            pass
        with kernels.using("auto"):
            assert backend not in kernels.active()
            np.testing.assert_allclose(kernels.matmul(np.eye(2, dtype=np.float32), random(2, 2)), random(2, 2))
    finally:
        module.library.cache_clear()


def test_threads_share_primitives() -> None:
    x, w = images(2, 8, 32, 32), random(8, 8, 3, 3)
    call = (x, w, None, (2, 2), (1, 1, 1, 1), (1, 1), 1)
    expected, wrong = kernels.conv(*call), []

    def work() -> None:
        wrong.extend(1 for _ in range(50) if not np.array_equal(kernels.conv(*call), expected))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_retained_memory_is_used_again() -> None:
    program = """
import resource, numpy as np
from dlcore.kernels import memory
print(memory.retain_freed_memory())
def step(): [np.ones(1 << 20, np.float32) for _ in range(20)]
step(); before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(); print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    retained, faults = done.stdout.split()
    assert retained == "False" or int(faults) < 1000


def test_arrays_begin_at_cache_lines() -> None:
    for shape in ((3,), (2, 5), (1, 3, 4, 5)):
        assert kernels.empty(shape).ctypes.data % 64 == 0
    assert kernels.channels_last(images(2, 3, 4, 5)).base is not None


@pytest.mark.parametrize("instruction_set", ["avx2", "avx512"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_weight_gradient_of_each_instruction_set(instruction_set: str, dilation: int) -> None:
    best = native.instruction_set()
    x, grad_y = images(3, 21, 13, 18), images(3, 35, 13, 18)
    geometry = ((1, 1), (dilation,) * 4, (dilation, dilation), 1)
    try:
        if native.limit_instruction_set(instruction_set) != instruction_set:
            pytest.skip(f"this CPU has no {instruction_set}")
        grad_w, grad_b = native.conv_grad_w(x, (3, 3), grad_y, *geometry)
    finally:
        native.limit_instruction_set(best)
    expected_w, expected_b = reference.conv_grad_w(x, (3, 3), grad_y, *geometry)
    np.testing.assert_allclose(grad_w, expected_w, atol=2e-5 * np.abs(expected_w).max())
    np.testing.assert_allclose(grad_b, expected_b, atol=1e-4)


def of_type(kind: str, arguments: tuple | np.ndarray | None) -> Any:
    """Small whole numbers, so that every type holds them."""
    if isinstance(arguments, tuple):
        return tuple(of_type(kind, each) for each in arguments)
    return np.rint(4 * np.abs(arguments)).astype(kind) if isinstance(arguments, np.ndarray) else arguments


@pytest.mark.parametrize("kind", ["int64", "uint8", "float16", ">f4"])
@pytest.mark.parametrize(("operation", "arguments", "grad_y"), [case for case in CASES if "hamming" not in case.id])
def test_other_numbers_are_computed_with_as_floats(
    operation: str, arguments: tuple, grad_y: np.ndarray | tuple | None, kind: str
) -> None:
    """Libraries would read their bits as those of floats."""
    found = outputs(operation, of_type(kind, arguments), of_type(kind, grad_y))
    expected = outputs(operation, of_type("float32", arguments), of_type("float32", grad_y))
    for got, wanted in zip(found, expected, strict=True):
        assert (got is None) == (wanted is None)
        if got is not None:
            assert got.dtype == wanted.dtype
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("forward", "back"), [(np.float32, np.float64), (np.float64, np.float32), (np.float64, np.int64)]
)
@pytest.mark.parametrize(("operation", "arguments", "grad_y"), [case for case in CASES if case.values[2] is not None])
def test_gradients_are_of_the_type_of_the_way_forward(
    operation: str, arguments: tuple, grad_y: np.ndarray | tuple, forward: type, back: type
) -> None:
    found = outputs(operation, of_type(forward, arguments), of_type(back, grad_y))
    for got, wanted in zip(
        found, outputs(operation, of_type(forward, arguments), of_type(forward, grad_y)), strict=True
    ):
        assert got.dtype == forward
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
def test_statistics_of_an_empty_batch_are_no_numbers(backend: str) -> None:
    x, planes = np.zeros((0, 3, 4, 5), np.float32), np.ones(3, np.float32)
    with kernels.using(backend), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y, mean, var, saved = kernels.batch_norm(x, planes, planes, 1e-3)
        grad_x, grad_gamma, grad_beta = kernels.batch_norm_backward(y, saved)
    assert y.shape == grad_x.shape == x.shape
    assert np.isnan(mean).all() and np.isnan(var).all()
    np.testing.assert_array_equal([grad_gamma, grad_beta], np.zeros((2, 3)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_suppression_refuses_boxes_without_scores(backend: str) -> None:
    with kernels.using(backend), pytest.raises(ValueError, match=r"got boxes \(2, 4\) and scores \(3,\)"):
        kernels.nms(np.zeros((2, 4), np.float32), np.zeros(3, np.float32), 0.5, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_without_sign_are_in_order(backend: str) -> None:
    boxes = np.array([[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]], np.float32)
    with kernels.using(backend):
        assert kernels.nms(boxes, np.array([0, 200, 7], np.uint8), 0.5, 0).tolist() == [1, 2, 0]
