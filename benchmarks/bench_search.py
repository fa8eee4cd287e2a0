"""How many codes a second a search passes over: our top 100 beside those of faiss and usearch, one thread each.

Run in the environment of the benchmarks: `.venv-bench/bin/python benchmarks/bench_search.py [--json] [--ranges]`.
Random codes; they run alternately, call by call, medians of the CPU's time are compared (one thread on an idle machine
needs as much by the clock), and all distances found are checked to be equal. `ours` and `peer` (whichever is the
faster) are billions of codes a second times queries; `of_bandwidth` is what we read of the codes a second, as a share
of what summing an array reads.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import faiss
import numpy as np
import usearch.index

from dlcore import kernels

K = 100
RADII = {64: 6, 128: 19, 256: 40, 512: 90}
Search = Callable[[], np.ndarray]


@dataclass
class Result:
    """One line of the list that is printed."""

    bits: int
    queries: int
    ours: float
    peer: float
    peer_name: str
    ratio: float
    of_bandwidth: float


@dataclass
class RangeResult:
    """One line of the range scans: all codes at most `radius` bits from a query."""

    bits: int
    queries: int
    radius: int
    found: int
    ours: float
    peer: float
    peer_name: str
    ratio: float


def top_k(codes: np.ndarray, queries: np.ndarray, flat: Any) -> dict[str, Search]:
    """What each searches, as a function that gives the sorted distances (Q, K)."""
    options = {"metric": usearch.index.MetricKind.Hamming, "exact": True, "threads": 1}

    def usearch_some(start: int) -> np.ndarray:
        """Only four queries: it holds all distances, 8 bytes each."""
        return usearch.index.search(codes, queries[start : start + 4], K, **options).distances.reshape(-1, K)

    return {
        "ours": lambda: kernels.hamming_top_k(queries, [codes], K)[1],
        "faiss": lambda: flat.search(queries, K)[0],
        "usearch": lambda: np.concatenate([usearch_some(start) for start in range(0, len(queries), 4)]),
    }


def within(codes: np.ndarray, queries: np.ndarray, flat: Any, radius: int) -> dict[str, Search]:
    """The same of range scans, as sorted pairs of query and distance."""

    def faiss_range() -> np.ndarray:
        ends, distances, _ = flat.range_search(queries, radius + 1)  # nearer than that
        return np.stack([np.repeat(np.arange(len(queries)), np.diff(ends.astype(np.int64))), distances])

    return {
        "ours": lambda: np.stack(kernels.hamming_within(queries, codes, radius)[::2]),
        "faiss": faiss_range,
    }


def rates(searches: dict[str, Search], distances: int, rounds: int) -> dict[str, float]:
    """Billions of distances a second of ours and of the peer whose first call was the faster, by the median of
    alternating calls.

    Raises:
        SystemExit: they do not find the same.
    """
    first = {name: timed(search) for name, search in searches.items()}  # warms up
    expected = first["ours"][1]
    for name, (_, found) in first.items():
        if not np.array_equal(found, expected):
            raise SystemExit(f"{name}: found other distances than ours")
    peer = min((name for name in searches if name != "ours"), key=lambda name: first[name][0])
    times: dict[str, list[float]] = {"ours": [], peer: []}
    for _ in range(rounds):
        for name, spent in times.items():
            spent.append(timed(searches[name])[0])
    return {name: distances / float(np.median(spent)) / 1e9 for name, spent in times.items()}


def timed(search: Search) -> tuple[float, np.ndarray]:
    """Seconds of the CPU, and what was found in an order of its own."""
    start = time.process_time()
    found = search()
    return time.process_time() - start, np.sort(np.asarray(found, np.int64), axis=-1)


def best_peer(found: dict[str, float]) -> tuple[float, float, str, float]:
    """ours, peer, peer_name, ratio."""
    name = max((name for name in found if name != "ours"), key=lambda name: found[name])
    return found["ours"], found[name], name, found["ours"] / found[name]


def bandwidth() -> float:
    """Bytes a second that one thread reads: a dot product of a long array with itself."""
    array = np.ones(1 << 25, np.float32)
    times = []
    for _ in range(9):
        start = time.process_time()
        array.dot(array)
        times.append(time.process_time() - start)
    return array.nbytes / float(np.median(times))


def measure(bits: int, counts: list[int], given: argparse.Namespace) -> list[Result | RangeResult]:
    """All rows of one length of codes."""
    generator = np.random.default_rng(bits)
    codes = generator.integers(0, 256, (given.codes, bits // 8), np.uint8)
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(codes)
    results: list[Result | RangeResult] = []
    for count in counts:
        changed = generator.integers(0, 256, (count, bits // 8, 4), np.uint8)
        queries = codes[generator.integers(0, len(codes), count)] ^ np.bitwise_and.reduce(changed, axis=2)
        if given.ranges:
            searches = within(codes, queries, flat, RADII[bits])
            found = searches["ours"]().shape[1]
            compared = best_peer(rates(searches, count * len(codes), given.rounds))
            results.append(RangeResult(bits, count, RADII[bits], found, *compared))
        else:
            compared = best_peer(rates(top_k(codes, queries, flat), count * len(codes), given.rounds))
            read = compared[0] * 1e9 / count * bits / 8
            results.append(Result(bits, count, *compared, read / bandwidth()))
    return results


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of results as JSON")
    parser.add_argument("--ranges", action="store_true", help="range scans instead of the top 100")
    parser.add_argument("--bits", type=int, choices=RADII, action="append", help="only these (64, 128, 256)")
    parser.add_argument("--queries", type=int, action="append", help="queries at once (1 and 64)")
    parser.add_argument("--codes", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    faiss.omp_set_num_threads(1)
    counts = given.queries or [1, 64]
    results = [result for bits in given.bits or (64, 128, 256) for result in measure(bits, counts, given)]
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
        return
    for r in results:
        print(
            f"{r.bits} bits, {r.queries} queries: {r.ratio:.1f} x {r.peer_name} ({r.ours:.2f} against {r.peer:.2f} G/s)"
        )


if __name__ == "__main__":
    main()
