"""Counters of all worker processes, in memory that they share, so that any of them can give the metrics of all.

Each worker writes into a row of its own. The process that replaces a dead one continues its row, so that counters never
fall.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Sequence

import numpy as np

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the histogram of seconds."""
KINDS = ("code", "key", "picture", "group", "image", "index", "withdraw", "page", "other")
"""Kinds of requests, by what they ask with or for."""
CLASSES = ("2xx", "3xx", "4xx", "429", "5xx")


class Counters:
    """rows: one for each worker process."""

    def __init__(self, rows: int) -> None:
        of_kind = len(CLASSES) + len(BUCKETS_S) + 2  # and the sum of the seconds, and their count
        # A row ends with scans, the queries that they answered, requests under way, connections.
        shape = rows, len(KINDS) * of_kind + 4
        memory = mmap.mmap(-1, 8 * shape[0] * shape[1])  # shared with the processes that are forked later
        self._values = np.frombuffer(memory, np.float64).reshape(shape)
        self._of_kind = of_kind
        self._row = 0
        self._lock = threading.Lock()

    def take_row(self, row: int) -> None:
        """Count in this row from now on."""
        self._row = row
        self._lock = threading.Lock()
        self._values[row, -2:] = 0  # those of a process that died are under way no more

    def begun(self, change: int) -> None:
        """Count requests under way: one begins (1) or ends (-1)."""
        with self._lock:
            self._values[self._row, -2] += change

    def connections(self, count: float) -> None:
        """Say how many connections this worker has; infinity if it takes no more of them."""
        self._values[self._row, -1] = count

    def has_fewest(self) -> bool:
        """Whether no other worker has said that it has fewer connections than this one."""
        return bool(self._values[self._row, -1] <= self._values[:, -1].min())

    def request(self, kind: str, status: int, seconds: float) -> None:
        """Count a request that has been answered."""
        start = KINDS.index(kind if kind in KINDS else "other") * self._of_kind
        own = self._values[self._row, start : start + self._of_kind]
        name = "429" if status == 429 else f"{status // 100}xx"
        with self._lock:
            own[CLASSES.index(name if name in CLASSES else "5xx")] += 1
            own[len(CLASSES) : -2] += np.array(BUCKETS_S) >= seconds
            own[-2:] += seconds, 1

    def scan(self, queries: int) -> None:
        """Count a scan that answered so many queries."""
        with self._lock:
            self._values[self._row, -4:-2] += 1, queries

    def text(self, gauges: Sequence[tuple[str, str, str, float]] = ()) -> str:
        """The counters in Prometheus' text format. gauges: name, meaning, labels and value of what else this process
        knows."""
        sums = self._values.sum(axis=0)
        kinds = sums[:-4].reshape(len(KINDS), self._of_kind)
        lines = [*_heading("requests_total", "Requests answered, by kind and status.", "counter")]
        for kind, own in zip(KINDS, kinds, strict=True):
            lines += [
                _line("requests_total", f'kind="{kind}",status="{name}"', count)
                for name, count in zip(CLASSES, own, strict=False)
                if count
            ]
        lines += _heading("request_seconds", "Seconds from the complete request to its answer.", "histogram")
        for kind, own in zip(KINDS, kinds, strict=True):
            lines += _histogram(kind, own[len(CLASSES) :]) if own[-1] else []
        for name, meaning, value in (
            ("scans_total", "Scans of the index.", sums[-4]),
            ("scanned_queries_total", "Queries that the scans answered.", sums[-3]),
        ):
            lines += [*_heading(name, meaning, "counter"), _line(name, "", value)]
        for name, meaning, labels, value in (
            ("requests_under_way", "Requests under way.", "", sums[-2]),
            *gauges,
        ):
            lines += [*_heading(name, meaning, "gauge"), _line(name, labels, value)]
        return "\n".join([*lines, ""])


def _histogram(kind: str, own: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[str]:
    ends = [*map(str, BUCKETS_S), "+Inf"]
    lines = [
        _line("request_seconds_bucket", f'kind="{kind}",le="{end}"', count)
        for end, count in zip(ends, [*own[:-2], own[-1]], strict=True)
    ]
    total, count = own[-2:]
    return [
        *lines,
        _line("request_seconds_sum", f'kind="{kind}"', total),
        _line("request_seconds_count", f'kind="{kind}"', count),
    ]


def _heading(name: str, meaning: str, kind: str) -> list[str]:
    return [f"# HELP search_{name} {meaning}", f"# TYPE search_{name} {kind}"]


def _line(name: str, labels: str, value: float) -> str:
    return f"search_{name}{{{labels}}} {float(value):.10g}" if labels else f"search_{name} {float(value):.10g}"
