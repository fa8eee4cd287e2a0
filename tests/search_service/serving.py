"""A search service of a test's own: the real processes, on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from deploy.supervision import die_with
from dlcore.search.entries import Entries
from dlcore.search.index import publish
from tests.waiting import wait_for

TOKEN, OPERATOR, METRICS = "token-of-readers-0", "token-of-operators", "token-of-metrics-0"


@dataclass(frozen=True)
class Served:
    """A running service. client: one with the readers' token."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client = field(repr=False)

    def workers(self) -> list[int]:
        """The ids of its worker processes."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def search(self, *queries: dict, **options) -> dict:
        """The answer to queries; it must be one."""
        answer = self.client.post("/api/v1/search", json={"queries": list(queries), **options})
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()

    def version(self) -> str:
        """Of the index that the worker that answers has in use."""
        return self.client.get("/api/v1/index").json()["index"]


def free_port() -> int:
    """One that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(
    index: str, folder: Path, before_start: Callable[[], None] = lambda: None, **variables: str
) -> Iterator[Served]:
    """A service of the index at a URI, ready. folder: for its log.   before_start: done in its process.   variables: of `Options`."""
    binds = die_with(os.getpid())
    port, given = free_port(), {name.upper(): value for name, value in variables.items()}
    own = {
        "TOKEN": TOKEN,
        "OPERATOR_TOKEN": OPERATOR,
        "PORT": str(port),
        "WATCH_S": "0.2",
        "WORKERS": "2",
        "DETECTOR": "none",
    }
    environment = {f"PIPELINE_SEARCH_{name}": value for name, value in (own | given).items()}
    stack = {"PIPELINE_METRICS_TOKEN": METRICS, "PIPELINE_INDEX": index}
    pipeline = stack | {name: value for name, value in given.items() if name.startswith("PIPELINE_")}
    log = folder / f"service-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "search_service"],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment, **pipeline},
            stdout=output, stderr=output, preexec_fn=lambda: (binds(), before_start()),  # noqa: PLW1509 (C functions and forks only)
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        try:
            served = Served(url, process, log, client)
            wait_for(lambda: process.poll() is not None or is_ready(served))
            assert process.poll() is None, log.read_text()
            yield served
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def is_ready(served: Served) -> bool:
    """Whether it says so."""
    try:
        return httpx.get(f"{served.url}/ready", trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def random_entries(seed: int, count: int, bits: int = 128) -> Entries:
    """Items with random codes, of three days, two crops a picture, in groups of four, without thumbnails."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 256, (count, bits // 8), np.uint8)
    codes[1::7] = codes[0]  # ties
    days = np.array("2026-11-01", "M8[D]") + np.arange(count) * 3 // count
    keys = [f"sku{n // 2:06d}/0".encode() for n in range(count)]
    labels = [(b"mug", b"pan")[n % 2] for n in range(count)]
    groups = [f"group{n // 4}".encode() if n % 4 != 3 else b"" for n in range(count)]
    crops = (np.arange(count) % 2).astype(np.int16)
    return Entries(codes, days, keys, crops, labels, groups, np.zeros(count, np.int64), np.empty(0, np.uint8))


def publish_random(uri: str, seed: int, count: int) -> tuple[str, Entries]:
    """Make random items the newest version of an index -> its name, the items."""
    entries = random_entries(seed, count)
    return publish(uri, entries, "model"), entries


def nearest_by_loop(entries: Entries, code: bytes, k: int) -> list[tuple[int, int]]:
    """(position, distance) of the nearest, ties by position: all bits counted, all sorted."""
    apart = np.unpackbits(entries.codes ^ np.frombuffer(code, np.uint8), axis=1).sum(axis=1)
    order = sorted(range(len(entries)), key=lambda n: (apart[n], n))[:k]
    return [(n, int(apart[n])) for n in order]
