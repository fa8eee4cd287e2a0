"""The demo's last step: searches by the search service, and how long the answers took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles

from rich.console import Console
from rich.table import Table

from dlcore.search.index import open_index
from search_service.client import Client

QUERIES = 200
NEIGHBOURS = 5
_LIMIT_S = 120.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Searched:
    """Milliseconds from question to answer by key, one after another: the median and the 99th percentile. items: those
    of the index."""

    p50_ms: float
    p99_ms: float
    items: int

    def figures(self) -> dict[str, float]:
        """The figures for report.json."""
        return asdict(self)


def search_by_service(url: str, token: str, index: str, console: Console) -> Searched:
    """Search for pictures of the newest version of an index, and show the first answer.

    Raises:
        ConnectionError: the service does not answer, or does not have the version in time.
        ValueError: it refuses.
    """
    opened = open_index(index)
    keys = [opened.item(position).key for position in range(0, len(opened), max(len(opened) // QUERIES, 1))]
    with Client(url, token) as client:
        _await_version(client, opened.version)
        _show(client, keys[len(keys) // 2], console)
        times = []
        for number in range(QUERIES):
            started = time.perf_counter()
            client.by_key(keys[number % len(keys)], NEIGHBOURS)
            times.append(1000 * (time.perf_counter() - started))
    return Searched(round(_share(times, 50), 2), round(_share(times, 99), 2), len(opened))


def _share(times: Sequence[float], percent: int) -> float:
    return quantiles(times, n=100)[percent - 1]


def _await_version(client: Client, version: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while client.index()["index"] != version:
        if time.monotonic() > deadline:
            raise ConnectionError(f"{client.url}: got no index {version} within {_LIMIT_S:.0f} s; see its log")
        time.sleep(_POLL_S)


def _show(client: Client, key: str, console: Console) -> None:
    table = Table("bits", "day", "key", "label", title=f"most similar to {key}")
    for found in client.by_key(key, NEIGHBOURS)["neighbours"]:
        table.add_row(str(found["distance"]), found["day"], found["key"], found["label"])
    console.print(table)
