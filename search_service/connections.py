"""How workers share out connections: all accept from one socket, and the worker that has the fewest takes the next.

Otherwise the worker that wakes first would take it. With eight clients, one of two workers would then often have six:
their queries would wait for one another while the other worker has little to do.
"""

from __future__ import annotations

import asyncio
import logging
import math
import select
import socket
from contextlib import suppress

import uvicorn

from search_service.counters import Counters

logger = logging.getLogger(__name__)

RETRY_S = 0.004
TRIES = 25
"""How often a worker leaves a connection to others that have fewer, every RETRY_S seconds: they may be dead or busy."""
PAUSE_S = 1.0
"""Seconds to wait after an error, for example when the process has too many files open."""


class Server(uvicorn.Server):
    """A uvicorn server that takes connections only when it is its turn."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, counters: Counters) -> None:
        """counters: know how many connections the other workers have."""
        super().__init__(config)
        self._listener, self._counters = listener, counters
        self._tries = 0
        self._waiting = select.poll()
        self._waiting.register(listener, select.POLLIN)
        self._beginning: set[asyncio.Task[object]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets=[])
        self._listener.setblocking(False)
        self._listen()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more of them, and end what is under way."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._counters.connections(math.inf)  # or others would leave new ones to this worker
        if self._beginning:
            await asyncio.wait(self._beginning)  # uvicorn tells only those that have begun
        await super().shutdown(sockets=[])

    async def on_tick(self, counter: int) -> bool:
        """Let the other workers know of connections that have ended, ten times a second."""
        self._say_connections()
        return await super().on_tick(counter)

    def _listen(self) -> None:
        if not self.should_exit:
            if not self._waiting.poll(0):
                self._tries = 0  # others have taken what was left to them
            asyncio.get_running_loop().add_reader(self._listener, self._take)

    def _take(self) -> None:
        """Take a connection that waits, or leave it to others for a moment."""
        self._tries += 1
        self._say_connections()
        if self._tries <= TRIES and not self._counters.has_fewest():
            self._listen_again(RETRY_S)
            return
        self._tries = 0
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker has it, or the client has gone
        except OSError:
            logger.exception("cannot take a connection")
            self._listen_again(PAUSE_S)
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)
        self._say_connections()

    def _listen_again(self, after_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        loop.call_later(after_s, self._listen)

    def _say_connections(self) -> None:
        self._counters.connections(len(self.server_state.connections) + len(self._beginning))

    async def _begin(self, connection: socket.socket) -> None:
        with suppress(OSError):  # the client has gone
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        kind = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]
