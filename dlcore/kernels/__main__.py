"""Show what computes here, and how fast: `python -m dlcore.kernels [--json]`.

It prints the CPU and its vector instructions, the backends found, and for each operation, on a typical shape, the
backend that serves it, its best time, its GFLOP/s and their share of what multiply-adds alone reach on as many threads.
Convolutions are counted as computed directly, so Winograd may exceed that peak.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.kernels import backends, cpu, native
from dlcore.rng import RandomGenerator

FEWEST, MOST, ENOUGH_S = 3, 50, 0.2
"""How often a call is repeated: a number of times within these bounds, or for so many seconds in all."""
FEATURES = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_vpopcntdq",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
)


@dataclass
class Row:
    """One operation on one shape; gflops and of_peak are None if it does no arithmetic worth counting."""

    operation: str
    shape: str
    backend: str
    ms: float
    gflops: float | None
    of_peak: float | None


@dataclass(frozen=True)
class Example:
    """A call to measure, and its floating-point operations (0: not counted)."""

    operation: str
    shape: str
    arguments: tuple[Any, ...]
    work: float = 0.0

    def __call__(self) -> None:
        getattr(kernels, self.operation)(*self.arguments)

    def seconds(self) -> float:
        """The time of the fastest of several calls."""
        self()
        times: list[float] = []
        while len(times) < FEWEST or (len(times) < MOST and sum(times) < ENOUGH_S):
            start = time.perf_counter()
            self()
            times.append(time.perf_counter() - start)
        return min(times)


def _values(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _convolutions() -> Iterator[Example]:
    for x_shape, w_shape in (
        ((1, 64, 56, 56), (64, 64, 3, 3)),
        ((1, 256, 14, 14), (256, 256, 1, 1)),
        ((1, 144, 56, 56), (144, 1, 3, 3)),
    ):
        x, w, kernel = kernels.channels_last(_values(*x_shape)), _values(*w_shape), w_shape[2:]
        groups = x_shape[1] // w_shape[1]
        given = ((1, 1), (kernel[0] // 2,) * 4, (1, 1), groups)
        y = kernels.conv(x, w, None, *given)
        work, name = 2.0 * y.size * w[0].size, f"{x_shape} {kernel[0]}x{kernel[1]}" + " depthwise" * (groups > 1)
        yield Example("conv", name, (x, w, None, *given), work)
        yield Example("conv_grad_x", name, (x_shape, w, y, *given), work)
        yield Example("conv_grad_w", name, (x, kernel, y, *given), work)


def _products() -> Iterator[Example]:
    x, w, name, work = _values(128, 1024), _values(1024, 1024), "(128, 1024) by 1024", 2.0 * 128 * 1024 * 1024
    yield Example("linear", name, (x, w, None), work)
    yield Example("linear_backward", name, (x, w, x), 2 * work)
    yield Example("matmul", name, (x, w), work)
    steps, count, size = 20, 16, 256
    h, b = np.zeros((count, size), np.float32), _values(4 * size)
    sequences, gates = _values(steps, count, size), _values(4 * size, size) / np.float32(16)
    work, name = 16.0 * steps * count * size * size, f"({steps}, {count}, {size})"
    yield Example("lstm", name, (sequences, gates, gates, b, h, h), work)
    yield Example("gru", name, (sequences, gates[size:], gates[: 2 * size], gates[:size], b[size:], h), 0.75 * work)


def _training(x: Array) -> Iterator[Example]:
    """Examples that are single passes over memory, by the number of their values."""
    rows, planes = _values(512, 1000), np.ones(1000, np.float32)
    for operation in ("softmax", "log_softmax"):
        yield Example(operation, f"{rows.shape}", (rows, 1))
        yield Example(f"{operation}_backward", f"{rows.shape}", (rows, rows, 1))
    yield Example("layer_norm", f"{rows.shape}", (rows, planes, planes, 1e-6))
    yield Example("lrn", f"{x.shape} of 5", (x, 5, 1e-4, 0.75, 1.0))
    yield Example("relu", f"{x.shape}", (x,))
    yield Example("relu_backward", f"{x.shape}", (x, x))
    yield Example("bernoulli", "1,000,000", (RandomGenerator(1), 0.5, (1_000_000,)))
    yield Example("masked", "1,000,000", (_values(1_000_000), np.ones(1_000_000, np.bool_), 2.0))
    yield Example(
        "add_rows", "700 of 650 to 10,000", (np.zeros((10_000, 650), np.float32), np.arange(700), _values(700, 650))
    )
    slots = [np.ones(1_000_000, np.float32) for _ in range(4)]
    yield Example("sgd", "1,000,000, momentum", (*slots[:3], 0.0, 0.0, 0.9, 1.0, False))
    yield Example("adam", "1,000,000", (*slots, 0.0, 1.0, kernels.AdamMeans(0.9, 0.999, 1e-8)))
    yield Example("rmsprop", "1,000,000", (*slots[:3], 0.0, 0.0, 0.99, 0.01, 1e-8))


def _others() -> Iterator[Example]:
    x, planes = kernels.channels_last(_values(8, 64, 56, 56)), np.ones(64, np.float32)
    for kind in ("max_pool", "avg_pool"):
        yield Example(kind, f"{x.shape} 2x2", (x, (2, 2), (2, 2), (0, 0, 0, 0)))
    yield Example("batch_norm", f"{x.shape}", (x, planes, planes, 1e-5))
    yield from _training(x)
    corners = np.random.default_rng(1).random((1000, 2), dtype=np.float32)
    yield Example("nms", "1,000 boxes", (np.hstack([corners, corners + np.float32(0.1)]), _values(1000), 0.5, 0))
    codes = np.random.default_rng(2).integers(0, 256, (100_000, 16), np.uint8)
    yield Example("hamming_top_k", "100,000 codes of 128 bits", (codes[:1], [codes], 10))


def peak(clock: Callable[[], float] = time.perf_counter) -> float | None:
    """GFLOP/s of one core's multiply-adds by `clock`, the best of some milliseconds; None without the native kernels or
    vector instructions."""
    if not native.is_available():
        return None
    rates = []
    for _ in range(FEWEST):
        start = clock()
        work = native.library().dlcore_multiply_adds(1_000_000)
        rates.append(work / (clock() - start) / 1e9)
    return max(rates) or None


def measured() -> list[Row]:
    """Each operation on its typical shapes."""
    best, rows = peak(), []
    for example in (*_convolutions(), *_products(), *_others()):
        seconds, backend = example.seconds(), kernels.serving(example.operation, *example.arguments)
        rate = example.work / seconds / 1e9 if example.work else None
        share = rate / (best * cpu.threads()) if rate and best else None
        rows.append(Row(example.operation, example.shape, backend, seconds * 1e3, rate, share))
    return rows


def _found() -> dict[str, str]:
    """Backend -> "found", or why it is not."""
    reasons = {}
    for name in backends.FASTEST:
        try:
            backends.load(name)
            reasons[name] = "found"
        except kernels.BackendUnavailableError as error:
            reasons[name] = str(error)
    return reasons


def described() -> dict[str, Any]:
    """Everything that is printed."""
    return {
        "cpu": cpu.model(),
        "instruction_set": kernels.instruction_set(),
        "features": [feature for feature in FEATURES if feature in cpu.flags()],
        "threads": cpu.threads(),
        "peak_gflops": peak(),
        "backends": _found(),
        "operations": [asdict(row) for row in measured()],
    }


def _printed(found: dict[str, Any]) -> str:
    best = found["peak_gflops"]
    lines = [
        f"CPU: {found['cpu']}; {found['instruction_set']} in use of "
        f"{' '.join(found['features']) or 'no vector instructions'}",
        f"threads: {found['threads']}; peak of one core: {f'{best:.0f} GFLOP/s' if best else 'not measured'}",
        *(f"{name}: {reason}" for name, reason in found["backends"].items()),
        "",
        f"{'operation':<20} {'shape':<32} {'backend':<10} {'ms':>8} {'GFLOP/s':>8} {'of peak':>8}",
    ]
    for row in found["operations"]:
        rate = f"{row['gflops']:.0f}" if row["gflops"] else ""
        share = f"{row['of_peak']:.0%}" if row["of_peak"] else ""
        lines.append(
            f"{row['operation']:<20} {row['shape']:<32} {row['backend']:<10} {row['ms']:>8.3f} {rate:>8} {share:>8}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the table, or JSON."""
    if list(arguments) not in ([], ["--json"]):
        print("usage: python -m dlcore.kernels [--json]", file=sys.stderr)
        return 2
    found = described()
    print(json.dumps(found, indent=1) if arguments else _printed(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
