"""HTTP/1.1 by uvicorn and h11, with a time limit on clients' headers, and errors as JSON.

h11 limits the size of headers; httptools does not.
"""

from __future__ import annotations

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_BYTES = 32 << 10
HEADERS_S = 15.0
"""Seconds from the connection, or from the first byte of a request, until its headers are complete; also the limit for
a body that nobody reads any more."""
READING_S = 60.0
"""Seconds for a client to read a waiting answer: until then, the answer keeps its memory and its request a place."""
_MALFORMED = {
    "error": "something that is not an HTTP request, or headers of more than 32 KiB",
    "expected": "HTTP/1.1",
    "do": "send a shorter request; a code, a key or filters fit into the body of POST /api/v1/search",
}


class Protocol(H11Protocol):
    """One connection."""

    _limit: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take more of a request."""
        super().data_received(data)
        if self._is_answering():
            self._end_wait()
        elif self._limit is None:
            self._wait()

    def on_response_complete(self) -> None:
        """Wait for what is left of the request, if anything; the next one has uvicorn's own limit."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the limit."""
        self._end_wait()
        self._end_reading()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client that reads slowly, but not forever."""
        super().pause_writing()
        self._end_reading()
        self._reading = self.loop.call_later(READING_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on, since the client has read."""
        self._end_reading()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say as JSON what is wrong with something that is not a request."""
        content = json.dumps(_MALFORMED).encode()
        headers = [
            (b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
        ]  # fmt: skip
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"), h11.Data(data=content),
            h11.EndOfMessage(),
        ):  # fmt: skip
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._end_wait()
        self._limit = self.loop.call_later(HEADERS_S, self.transport.close)

    def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _end_wait(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
