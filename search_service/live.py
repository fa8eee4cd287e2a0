"""The index as it is served: the newest version is opened completely beside the one in use, then replaces it in one
step.

A request that has begun with a version keeps it until the answer is complete; its files stay mapped until nobody holds
it. The version before stays open for a while, so that several services can answer one query by the same version.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dlcore.search.index import Index, open_index
from dlcore.search.manifest import versions
from dlcore.search.store import Store
from search_service.refusal import Refusal
from spark_jobs.stages.withdrawn_keys import withdrawn_keys

logger = logging.getLogger(__name__)

KEPT_S = 60.0
"""Seconds for which the version before is still searched if a request names it."""

FIRST_LOOK_S = 10.0
"""Most seconds that a worker waits for its first look: before it, the worker would refuse what another could answer."""
LOOKS, LIST_S = 5, 30.0
"""After so many looks, or so many seconds, the list of withdrawn keys is read again."""
NO_PART = (1 << 30, 1)
"""The part of a service that asks others: it knows versions and groups, but searches no segment."""


@dataclass(frozen=True)
class Opened:
    """An opened version, with its days and labels in order."""

    index: Index
    days: tuple[str, ...]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, index: Index) -> Opened:
        """Open a version and map all its files.

        Raises:
            ValueError: a file is damaged.
        """
        index.map_files()
        days: set[str] = set()
        labels: set[str] = set()
        for segment in index.searched():
            is_first = np.append(True, segment.days[1:] != segment.days[:-1])  # they lie in order
            days.update(map(str, segment.days[is_first]))
            labels.update(name.decode() for name in segment.labels[0])
        return cls(index, tuple(sorted(days)), tuple(sorted(labels)))


@dataclass(frozen=True)
class View:
    """What one request sees: a version, and the keys that were taken down since it was built."""

    opened: Opened
    withdrawn: frozenset[str]

    @property
    def index(self) -> Index:
        """The version."""
        return self.opened.index


class LiveIndex:
    """Follows the index at a URI.

    part: which part of the segments is searched here, from 0, and how many parts there are.
    watch_s: how often a new version is looked for.
    """

    def __init__(self, uri: str, part: tuple[int, int] = (0, 1), watch_s: float = 2.0) -> None:
        self.uri, self._part, self._watch_s = uri, part, watch_s
        self._store = Store(uri)
        self._opened: dict[str, Opened] = {}
        self._replaced: dict[str, float] = {}
        self._newest = ""
        self._refused = ""
        self._withdrawn: frozenset[str] | None = None
        self._problem = "the index has not been opened yet"
        self._stop = threading.Event()
        self._has_looked = threading.Event()

    def start(self) -> None:
        """Follow the index from now on, in a thread of its own; return after the first look, or earlier if that takes
        long."""
        threading.Thread(target=self._follow, name="watch", daemon=True).start()
        self._has_looked.wait(FIRST_LOOK_S)

    def stop(self) -> None:
        """Stop following it."""
        self._stop.set()

    def view(self, version: str = "") -> View:
        """What a request that begins now sees.

        version: one other than the newest, if it is still open.

        Raises:
            Refusal: 503 while nothing can be shown, 409 if that version is not open.
        """
        name, withdrawn = version or self._newest, self._withdrawn
        opened = self._opened.get(name)
        if opened is not None and withdrawn is not None:
            return View(opened, withdrawn)
        if version and self._newest:
            raise Refusal(
                409, f"index {version[:40]!r}", f"{self._newest}, or the one before it", "ask again without a version"
            )
        way_on = "wait for the first run of the DAG similar_images, or read the service's log"
        raise Refusal(503, self._problem, f"an index at {self.uri}", way_on, {"Retry-After": "5"})

    def open_versions(self) -> list[str]:
        """The versions that can be searched, the newest first."""
        return [self._newest, *sorted(self._replaced, key=self._replaced.__getitem__, reverse=True)]

    @property
    def state(self) -> Mapping[str, str]:
        """The version in use, and the problem that keeps the service from a newer one, or from any."""
        return {"version": self._newest, "problem": self._problem}

    def _follow(self) -> None:
        while True:
            self.look()
            self._has_looked.set()
            if self._stop.wait(self._watch_s):
                return

    def look(self) -> None:
        """Look now for a newer version and for withdrawn keys. Problems are logged, and what was in use stays in
        use."""
        try:
            self._withdrawn = withdrawn_keys(self.uri, min(LOOKS * self._watch_s, LIST_S))
        except Exception as error:
            self._withdrawn = None  # what it withdrew must not be shown
            self._say(str(error))
            return
        try:
            self._open_newest()
        except Exception as error:
            self._say(str(error))
        for name, since in list(self._replaced.items()):
            if time.monotonic() - since > KEPT_S:
                del self._replaced[name], self._opened[name]

    def _open_newest(self) -> None:
        existing = versions(self._store)
        if not existing:
            raise FileNotFoundError(f"got no version of an index at {self.uri}, expected one")
        if existing[-1] != self._newest:
            started = time.monotonic()
            index = replace(open_index(self.uri, existing[-1]), part=self._part)
            self._opened[index.version] = Opened.of(index)
            before, self._newest = self._newest, index.version
            self._replaced.pop(index.version, None)  # it is in use again, since the newer one was removed
            if before:
                self._replaced[before] = time.monotonic()
            logger.info("index %s, %d items, opened in %.2f s", index.version, len(index), time.monotonic() - started)
        self._problem = ""

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            logger.error("%s", problem)
        self._problem = problem
