"""The processes of the service: one that listens and watches, and workers that answer, forked from it.

Another worker replaces one that dies at once; only the requests that the dead one had under way are lost, since all
accept from one socket. Workers are forked, so that the modules are in memory once and a worker answers within a second.
On SIGTERM each worker finishes what is under way; after `timeout_s` the rest is given up.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

import uvicorn

from search_service.app import create_app
from search_service.connections import Server
from search_service.counters import Counters
from search_service.main_thread import MainThread
from search_service.options import Options
from search_service.protocol import HEADER_BYTES, Protocol
from search_service.service import Service

logger = logging.getLogger(__name__)

STUCK_S = 120.0
"""Seconds over one picture after which a worker ends."""
EXIT_STUCK = 70
SWITCH_S = 0.001
"""How long a thread may keep the interpreter's lock from others: a scan that has ended goes on without delay."""
_ENDING = (signal.SIGTERM, signal.SIGINT)
_AWAITED = (*_ENDING, signal.SIGCHLD)
_YOUNG_S = 5.0
_PAUSE_S = 1.0
_POLL_S = 0.5
_BACKLOG = 512


def serve(options: Options) -> None:
    """Listen and answer until SIGTERM or SIGINT.

    Raises:
        OSError: the address cannot be listened on.
    """
    with socket.create_server((options.host, options.port), backlog=_BACKLOG, reuse_port=False) as listener:
        counters = Counters(options.workers)
        supervisor = _Supervisor(options, listener, counters)
        logger.info("listening on http://%s:%d with %d workers", *listener.getsockname()[:2], options.workers)
        supervisor.run()


class _Supervisor:
    """Keeps the workers running."""

    def __init__(self, options: Options, listener: socket.socket, counters: Counters) -> None:
        self._options, self._listener, self._counters = options, listener, counters
        self._workers: dict[int, tuple[int, float]] = {}
        self._is_ending = False

    def run(self) -> None:
        """Start the workers, and replace each that ends, until SIGTERM or SIGINT; return when all have ended.

        The signals are blocked and waited for: none can come between a look and the wait, and be seen too late.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)  # workers unblock them when they have handlers
        try:
            for row in range(self._options.workers):
                self._start(row)
            self._replace_ended()  # also the children of others that ended before the signals were blocked
            while self._workers:
                if signal.sigwait(_AWAITED) in _ENDING:
                    self._stop()
                self._replace_ended()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _stop(self) -> None:
        """Ask the workers to end."""
        self._is_ending = True
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _replace_ended(self) -> None:
        """Start another worker for each that has ended, unless all are to end."""
        for pid, status in _ended_children():
            if pid not in self._workers:  # as process 1 of a container it is given the children of others
                continue
            row, began = self._workers.pop(pid)
            if self._is_ending:
                continue
            logger.error("worker %d has ended (%s); another one replaces it", pid, os.waitstatus_to_exitcode(status))
            # Here too a signal must be heard: workers that all die at once would be replaced for ever.
            if time.monotonic() - began < _YOUNG_S and signal.sigtimedwait(_ENDING, _PAUSE_S):
                self._stop()
                continue
            self._start(row)

    def _start(self, row: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._workers[pid] = row, time.monotonic()
            return
        status = 1
        try:
            status = _work(self._options, self._listener, self._counters, row, parent)
        except BaseException:
            logger.exception("worker %d", os.getpid())
        finally:
            logging.shutdown()
            os._exit(status)


def _ended_children() -> Iterator[tuple[int, int]]:
    """The process id and status of each child that has ended."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            yield ended


def _work(options: Options, listener: socket.socket, counters: Counters, row: int, parent: int) -> int:
    """Be a worker -> its exit code. The main thread works on pictures, another one answers requests."""
    counters.take_row(row)
    sys.setswitchinterval(SWITCH_S)
    main_thread = MainThread()
    service = Service.of(options, counters, main_thread)
    config = uvicorn.Config(
        create_app(service), http=Protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=HEADER_BYTES, limit_concurrency=None, timeout_keep_alive=30,
        timeout_graceful_shutdown=round(options.timeout_s) + 1, proxy_headers=False,
    )  # fmt: skip
    server = Server(config, listener, counters)

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; the supervisor hands on SIGTERM
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
    service.live.start()
    threading.Thread(target=_watch, args=(main_thread, server, parent), name="watch-worker", daemon=True).start()
    threading.Thread(target=_answer, args=(server, main_thread), name="answer").start()
    service.warm_up()
    main_thread.run()
    return 0


def _answer(server: Server, main_thread: MainThread) -> None:
    """Answer requests; afterwards the worker ends even if its main thread is stuck."""
    try:
        server.run()
    finally:
        if main_thread.busy_s() > STUCK_S:
            os._exit(EXIT_STUCK)
        main_thread.stop()


def _watch(main_thread: MainThread, server: Server, parent: int) -> None:
    """End a worker that is stuck over a picture, or whose supervisor is gone."""
    while not server.should_exit:
        time.sleep(_POLL_S)
        if os.getppid() != parent or main_thread.busy_s() > STUCK_S:
            server.should_exit = True


def main() -> None:
    """The command."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        serve(Options.from_environment())
    except (ValueError, OSError) as error:
        raise SystemExit(f"search service: {error}") from None
