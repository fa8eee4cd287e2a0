"""Every backend gives what `reference` gives, in the promised memory order; the dispatch picks what it should."""

import inspect
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from dlcore import kernels
from dlcore.kernels import backends, interface, mkl, native, onednn_api, reference

BACKENDS = ("auto", "onednn", "mkl", "native", "reference")
GEOMETRIES = {
    "plain": ((1, 1), (1, 1, 1, 1), (1, 1), 1),
    "valid": ((1, 1), (0, 0, 0, 0), (1, 1), 1),
    "uneven": ((2, 1), (0, 1, 2, 0), (1, 1), 1),
    "dilated": ((1, 1), (2, 2, 2, 2), (2, 2), 1),
    "grouped": ((2, 2), (1, 1, 1, 1), (1, 1), 2),
}


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def images(*shape: int) -> np.ndarray:
    return kernels.channels_last(random(*shape))


def convolutions():
    """Channels below, at and above a vector's width; enough pixels for Winograd in some."""
    sizes = {"small": (2, 3, 8, 9, 5), "odd": (2, 18, 17, 19, 24), "wide": (3, 32, 24, 24, 40)}
    for (size, (n, c, h, w, k)), (name, geometry) in ((s, g) for s in sizes.items() for g in GEOMETRIES.items()):
        groups = geometry[3]
        if c % groups or k % groups:
            continue
        x, weights, b = images(n, c, h, w), random(k, c // groups, 3, 3), random(k)
        y = reference.conv2d(x, weights, b, *geometry)
        yield f"{size}-{name}", x, weights, b, images(*y.shape), geometry
    x, weights, b = images(2, 16, 8, 8), random(16, 1, 3, 3), random(16)
    yield "depthwise", x, weights, b, images(2, 16, 8, 8), ((1, 1), (1, 1, 1, 1), (1, 1), 16)
    x, weights = np.ascontiguousarray(images(2, 16, 24, 24)), random(20, 16, 1, 1)
    yield "pointwise-row-major", x, weights, random(20), random(2, 20, 24, 24), ((1, 1), (0, 0, 0, 0), (1, 1), 1)
    empty = np.zeros((0, 4, 8, 8), np.float32)
    yield "empty", empty, random(5, 4, 3, 3), random(5), np.zeros((0, 5, 8, 8), np.float32), GEOMETRIES["plain"]


def cases():
    """(name, operation, arguments, gradient for the paired backward operation or None)."""
    for name, x, w, b, grad_y, geometry in convolutions():
        yield name, "conv2d", (x, w, b, *geometry), None
        yield f"{name}-relu", "conv2d", (x, w, None, *geometry, True), None
        yield name, "conv2d_grad_x", (x.shape, w, grad_y, *geometry), None
        yield name, "conv2d_grad_w", (x, w.shape[2:], grad_y, *geometry, name != "odd-plain"), None
    windows = {
        "half": ((2, 2), (2, 2), (0, 0, 0, 0)),
        "ceil": ((2, 2), (2, 2), (0, 0, 1, 1)),
        "3x3": ((3, 3), (2, 2), (1, 1, 1, 1)),
    }
    for name, window in windows.items():
        for x in (images(2, 5, 9, 7), images(3, 32, 9, 9), np.zeros((0, 4, 9, 9), np.float32)):
            shape = reference.max_pool2d(x, *window)[0].shape
            yield f"{name}-{x.shape}", "max_pool2d", (x, *window), images(*shape)
            for count_include_pad in (True, False):
                yield f"{name}-{x.shape}", "avg_pool2d", (x, *window, count_include_pad), images(*shape)
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
    yield "any", "softmax", (random(3, 4, 5), 1), None
    yield "images", "relu", (images(2, 3, 4, 5),), None
    yield "images", "relu_backward", (images(2, 3, 4, 5), images(5, 4, 3, 2).transpose()), None
    corners = np.random.default_rng(1).random((90, 2)).astype(np.float32)
    boxes = np.hstack([corners, corners + np.float32(0.3)])
    for top_k in (-1, 0, 25):
        yield f"{top_k}", "nms", (boxes, np.round(random(90), 1), 0.45, top_k), None
    yield "none", "nms", (boxes[:0], random(90)[:0], 0.45, 10), None
    for length in (1, 8, 16, 37):
        codes = np.random.default_rng(3).integers(0, 256, (70, length), np.uint8)
        yield f"{length}", "hamming", (codes[:11], codes), None


CASES = [pytest.param(*case[1:], id=f"{case[1]}-{case[0]}") for case in cases()]


def outputs(operation: str, arguments: tuple, grad_y: np.ndarray | None) -> list:
    """What the operation gives, and what the backward operation of its `saved` gives."""
    result = getattr(kernels, operation)(*arguments)
    if grad_y is None:
        return list(result) if isinstance(result, tuple) else [result]
    back = getattr(kernels, backends.PAIRS[operation])(grad_y, result[-1])
    return [*result[:-1], *(back if isinstance(back, tuple) else (back,))]


@pytest.mark.parametrize("backend", BACKENDS[:-1])
@pytest.mark.parametrize(("operation", "arguments", "grad_y"), CASES)
def test_agrees_with_reference(backend: str, operation: str, arguments: tuple, grad_y: np.ndarray | None) -> None:
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
        y = kernels.conv2d(random(2, 16, 24, 24), random(16, 16, 3, 3), None, (1, 1), (1, 1, 1, 1), (1, 1), 1)
        pooled, saved = kernels.max_pool2d(y, (2, 2), (2, 2), (0, 0, 0, 0))
        for image in (y, pooled, kernels.max_pool2d_backward(pooled, saved)):
            assert image.transpose(0, 2, 3, 1).flags.c_contiguous


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
    grad_x, grad_w, grad_b = kernels.conv2d_backward(x, w, grad_y, *geometry)
    assert (grad_x.shape, grad_w.shape, grad_b.shape) == (x.shape, w.shape, (4,))
    assert kernels.conv2d_backward(x, w, grad_y, *geometry, need_w=False)[1:] == (None, None)
    assert kernels.conv2d_backward(x, w, grad_y, *geometry, need_x=False, has_bias=False)[::2] == (None, None)


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
    expected, wrong = kernels.conv2d(*call), []

    def work() -> None:
        wrong.extend(1 for _ in range(50) if not np.array_equal(kernels.conv2d(*call), expected))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


FORKED = """
import os, numpy as np
from dlcore import kernels
def run():
    x = kernels.channels_last(np.arange(2 * 32 * 24 * 24, dtype=np.float32).reshape(2, 32, 24, 24) % 7)
    w = np.ones((32, 32, 3, 3), np.float32)
    y = kernels.conv2d(x, w, None, (1, 1), (1, 1, 1, 1), (1, 1), 1)
    return float(kernels.max_pool2d(y, (2, 2), (2, 2), (0, 0, 0, 0))[0].sum() + kernels.linear(y[0, 0], y[1, 1], None).sum())
before = run()
child = os.fork()
if not child:
    os._exit(0 if run() == before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_computes_the_same() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "0"


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
        grad_w, grad_b = native.conv2d_grad_w(x, (3, 3), grad_y, *geometry)
    finally:
        native.limit_instruction_set(best)
    expected_w, expected_b = reference.conv2d_grad_w(x, (3, 3), grad_y, *geometry)
    np.testing.assert_allclose(grad_w, expected_w, atol=2e-5 * np.abs(expected_w).max())
    np.testing.assert_allclose(grad_b, expected_b, atol=1e-4)
