"""What a worker process of the service has: the index, the threads that search and that work on pictures, the pictures,
the counters."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from dlcore.search.codes import Codes
from dlcore.search.index import Index
from dlcore.search.segment import Where
from search_service.counters import Counters
from search_service.live import NO_PART, LiveIndex, View
from search_service.main_thread import MainThread
from search_service.options import Options
from search_service.peers import Peers
from search_service.pictures import Pictures
from search_service.query import Box, Models, Seen, see, warm_up
from search_service.refusal import REFERENCE, Refusal
from search_service.scanner import Found, Scanner

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """One worker's service. peers: the services that have the parts of the index; None if this one searches by
    itself."""

    options: Options
    live: LiveIndex
    scanner: Scanner
    main_thread: MainThread
    pictures: Pictures
    counters: Counters
    peers: Peers | None
    is_warm: threading.Event

    @classmethod
    def of(cls, options: Options, counters: Counters, main_thread: MainThread) -> Service:
        """Make the service of this process; it has threads, so each process makes its own."""
        peers = Peers(options) if options.peers else None
        part = NO_PART if peers else options.numbered_part()
        live = LiveIndex(options.settings.index, part, options.watch_s)
        pictures = Pictures(options, main_thread)
        return cls(
            options, live, Scanner(counters.scan), main_thread, pictures, counters, peers, threading.Event()
        )  # fmt: skip

    def warm_up(self) -> None:
        """Load the models and run them once, so that the first picture does not wait for that. Without them, all else
        is served."""
        models = Models(self.options.settings.models, self.options.detector, self.options.extractor)
        try:
            warm_up(models, self._opened())
        except Exception:
            logger.exception("the models cannot be loaded, so that searches by picture are refused")
        self.is_warm.set()

    def _opened(self) -> Index | None:
        """The newest version of the index, if one is open."""
        try:
            return self.live.view().index
        except Refusal:
            return None

    def see(self, view: View, data: bytes, box: Box | None) -> Seen:
        """What is seen in the bytes of a picture.

        Raises:
            UnusablePicture, ValueError, FileNotFoundError, ModuleNotFoundError: see `query.see`.
            TimeoutError: it took too long.
        """
        models = Models(self.options.settings.models, self.options.detector, self.options.extractor)
        return self.main_thread.call(lambda: see(view.index, data, models, box), self.options.timeout_s)

    def scan(self, view: View, codes: Codes, k: int, where: Where) -> Found:
        """The `k` nearest items for codes (Q, B), scanned together with those of other requests.

        Raises:
            TimeoutError: it took too long.
            Refusal: 422 if a filter cannot have such a value.
        """
        try:
            return self.scanner.search(view.index, codes, k, where or None, self.options.timeout_s)
        except ValueError as error:
            if not where:
                raise
            raise Refusal(
                422, f"filters {str(where)[:300]}: {error}", "values that the filters can have", f"see {REFERENCE}"
            ) from None
