"""The native kernels against slow loops in double precision, on every instruction set of this CPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from dlcore.kernels import native, native_build
from tests.dlcore.kernels.instruction_sets import limited_to
from tests.waiting import LIMIT_S

pytestmark = pytest.mark.skipif(not native.is_available(), reason="no C++ compiler here")


@pytest.fixture(params=["avx512", "avx2"])
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test with these instructions."""
    yield from limited_to(request.param)


def slow_convolution(x: np.ndarray, w: np.ndarray, b: np.ndarray, padding: native.Padding, dilation: int) -> np.ndarray:
    """(N, H, W, C) and (K, C, 3, 3) -> (N, H', W', K), in double precision."""
    top, left, bottom, right = padding
    padded = np.pad(x.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)))
    height, width = padded.shape[1] - 2 * dilation, padded.shape[2] - 2 * dilation
    y = np.zeros((len(x), height, width, len(w))) + b
    for i in range(3):
        for j in range(3):
            rows = slice(i * dilation, i * dilation + height)
            columns = slice(j * dilation, j * dilation + width)
            y += padded[:, rows, columns] @ w[:, :, i, j].T.astype(np.float64)
    return y


def slow_pooling(y: np.ndarray, pool: str) -> np.ndarray:
    """Maxima of 2x2 windows; with "ceil" an odd last row and column have windows of their own."""
    if pool == "none":
        return y
    height, width = y.shape[1:3]
    extra = 1 if pool == "ceil" else 0
    windows = [
        [y[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max(axis=(1, 2)) for j in range((width + extra) // 2)]
        for i in range((height + extra) // 2)
    ]
    return np.array(windows).transpose(2, 0, 1, 3)


# (N, H, W, C, K), padding, dilation, pool, has residual, threads, block (negative: shared by the threads)
CASES = [
    ((1, 14, 14, 16, 32), (1, 1, 1, 1), 1, "none", False, 1, 0),
    ((2, 13, 15, 24, 20), (1, 1, 1, 1), 1, "floor", False, 2, 0),
    ((2, 13, 15, 17, 7), (1, 1, 1, 1), 1, "ceil", False, 2, 5),
    ((1, 19, 19, 32, 84), (6, 6, 6, 6), 6, "none", False, 2, -7),
    ((3, 7, 9, 40, 48), (0, 0, 0, 0), 1, "none", True, 1, 1),
    ((1, 5, 5, 17, 33), (2, 2, 2, 2), 2, "none", True, 2, 0),
    ((2, 6, 7, 16, 16), (1, 0, 2, 1), 1, "none", True, 1, 0),
]


@pytest.mark.parametrize(("sizes", "padding", "dilation", "pool", "has_residual", "threads", "block"), CASES)
@pytest.mark.parametrize("relu", [False, True])
def test_winograd_is_the_convolution(
    instructions: str,
    sizes: tuple[int, ...],
    padding: native.Padding,
    dilation: int,
    pool: str,
    has_residual: bool,
    threads: int,
    block: int,
    relu: bool,
) -> None:
    rng = np.random.default_rng(1)
    images, height, width, planes_in, planes = sizes
    x = rng.standard_normal((images, height, width, planes_in), dtype=np.float32)
    w = rng.standard_normal((planes, planes_in, 3, 3), dtype=np.float32) / np.float32(np.sqrt(9 * planes_in))
    b = rng.standard_normal(planes, dtype=np.float32)
    expected = slow_convolution(x, w, b, padding, dilation)
    residual = rng.standard_normal(expected.shape, dtype=np.float32) if has_residual else None
    expected = expected + residual if residual is not None else expected
    expected = slow_pooling(np.maximum(expected, 0) if relu else expected, pool)
    y = np.full(expected.shape, np.nan, np.float32)
    run = native.WinogradConvolution(
        x, native.WinogradWeights.prepare(w), b, y, padding,
        dilation=dilation, relu=relu, pool=pool, residual=residual, threads=threads, block=block,
    )  # fmt: skip
    run.use_workspace(np.full(run.workspace_size, np.nan, np.float32))
    run()
    np.testing.assert_allclose(y, expected, atol=3e-5)


def test_an_image_does_not_depend_on_its_neighbours_threads_or_blocks(instructions: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((5, 24, 20, 20), dtype=np.float32).transpose(0, 3, 1, 2)
    w = rng.standard_normal((24, 20, 3, 3), dtype=np.float32)
    alone = native.winograd(x[3:4], w, None, (1, 1, 1, 1), 1, True, 1)
    together = native.winograd(x, w, None, (1, 1, 1, 1), 1, True, 2)
    assert np.array_equal(alone[0], together[3])


def test_wrong_arrays_are_refused() -> None:
    weights = native.WinogradWeights.prepare(np.zeros((8, 4, 3, 3), np.float32))
    x, y = np.zeros((1, 6, 6, 4), np.float32), np.zeros((1, 6, 5, 8), np.float32)
    with pytest.raises(ValueError, match=r"got y of shape \(1, 6, 5, 8\), expected a contiguous \(1, 6, 6, 8\)"):
        native.WinogradConvolution(x, weights, np.zeros(8, np.float32), y, (1, 1, 1, 1))


@pytest.mark.parametrize("size_bytes", [1, 8, 13, 16, 32, 64, 100])
@pytest.mark.parametrize("count", [0, 1, 7, 2100])
def test_hamming_counts_bits(instructions: str, size_bytes: int, count: int) -> None:
    rng = np.random.default_rng(3)
    queries = rng.integers(0, 256, (3, size_bytes), dtype=np.uint8)
    codes = rng.integers(0, 256, (count, size_bytes), dtype=np.uint8)
    expected = np.unpackbits(queries[:, None] ^ codes[None], axis=2).sum(axis=2)
    assert np.array_equal(native.hamming(queries, codes), expected)


def slow_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, top_k: int) -> list[int]:
    def area(box: np.ndarray) -> float:
        return float(max(box[2] - box[0], 0) * max(box[3] - box[1], 0))

    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i))[: top_k or None]:
        shared = [
            np.concatenate([np.maximum(boxes[i, :2], boxes[j, :2]), np.minimum(boxes[i, 2:], boxes[j, 2:])])
            for j in kept
        ]
        unions = [area(boxes[i]) + area(boxes[j]) - area(s) for j, s in zip(kept, shared, strict=True)]
        if all(area(s) <= threshold * u for s, u in zip(shared, unions, strict=True)):
            kept.append(i)
    return kept


@pytest.mark.parametrize(("threshold", "top_k"), [(0.45, 0), (0.1, 60), (0.0, 0), (1.0, 5)])
def test_nms_keeps_what_the_slow_loop_keeps(threshold: float, top_k: int) -> None:
    rng = np.random.default_rng(4)
    corner = rng.uniform(0, 0.8, (150, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 0.4, (150, 2))], axis=1).astype(np.float32)
    boxes[7, 2:] = boxes[7, :2]
    scores = rng.integers(0, 50, 150).astype(np.float32)
    assert native.nms(boxes, scores, threshold, top_k).tolist() == slow_nms(boxes, scores, threshold, top_k)


def test_processes_that_build_at_once_share_one_library(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLCORE_CACHE", str(tmp_path))
    command = [sys.executable, "-m", "dlcore.kernels.native", "build"]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {builder.communicate(timeout=LIMIT_S)[0] for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0]
    assert len(printed) == 1
    assert len(list((tmp_path / "native").glob("*.so"))) == 1


def test_no_compiler_is_a_clear_message(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(native_build, "library_path", lambda: tmp_path / "native" / "absent.so")
    with pytest.raises(native_build.NativeUnavailableError, match="got no C\\+\\+ compiler 'no-such-compiler'"):
        native_build.build()
