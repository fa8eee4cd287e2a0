"""The process that keeps a store: it hands the store's blocks to other nodes, and removes them when their executors
have gone.

The first task of a run on a node starts it as a program of its own, and it outlives the task. Blocks go by Arrow Flight
to who shows the run's token.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.spark.blocks import BlockLostError, arrays_in

LOOK_EVERY_S = 1.0
GRACE_S = 120.0
"""How long blocks wait for another executor on their node when the last one has gone."""
TIMEOUT_S = 300
"""The time limit of a fetch."""
_CHUNK = 8 << 20
"""Bytes of a message."""
_ENDPOINT, _USER = ".endpoint", ".user."


def kept(folder: Path, token: str, is_served: bool) -> str:
    """Let the store in `folder` be kept while this executor lives; gives the address at which it is served, or ""."""
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"{_USER}{executor()}").touch()
        if not (folder / _ENDPOINT).exists():
            _start_keeper(folder, token, _host() if is_served else "")
        return (folder / _ENDPOINT).read_text()


def executor() -> int:
    """The process of this worker's executor: the parent of the daemon that has forked it."""
    return _parent_of(os.getppid())


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _host() -> str:
    """The name by which Spark knows this executor's node."""
    command = Path(f"/proc/{executor()}/cmdline")  # none where the first process of all is its parent
    words = command.read_bytes().decode().split("\0") if command.exists() else []
    return words[words.index("--hostname") + 1] if "--hostname" in words else socket.gethostname()


def _start_keeper(folder: Path, token: str, host: str) -> None:
    """Start the keeper and wait until it has said where it serves; a program of its own, since gRPC does not survive a
    fork.

    Raises:
        OSError: it has not started, with what it said.
    """
    command = [sys.executable, "-m", __name__, str(folder.absolute()), host, str(GRACE_S)]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with open(folder / ".log", "w+") as log:
        keeper = subprocess.Popen(
            command,
            env=paths,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        assert keeper.stdin is not None and keeper.stdout is not None
        keeper.stdin.write(token)  # no argument: those are seen by all users
        keeper.stdin.close()
        if not keeper.stdout.readline():
            log.seek(0)
            raise OSError(f"got no keeper of {folder} on {host or 'this node'}: {log.read()[-500:]}")
        keeper.stdout.close()
    _KEEPERS.append(keeper)


_KEEPERS: list[Any] = []
"""The keepers that this worker has started; they outlive it."""


def _keep(folder: Path, token: str, host: str, grace_s: float) -> None:
    server, endpoint = None, ""
    if host:
        server = _server(folder, token, host)
        endpoint = f"grpc://{host}:{server.port}"
    partial = folder / f"{_ENDPOINT}.partial"
    partial.write_text(endpoint)
    os.rename(partial, folder / _ENDPOINT)
    print("ready", flush=True)
    used = time.monotonic()
    while folder.is_dir():
        if _is_used(folder):
            used = time.monotonic()
        elif time.monotonic() - used > grace_s:
            _remove_unused(folder)
        time.sleep(LOOK_EVERY_S)
    if server is not None:
        server.shutdown()


def _remove_unused(folder: Path) -> None:
    """Remove a store, unless an executor has come to it meanwhile."""
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_used(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_used(folder: Path) -> bool:
    return any(_lives(path) for path in folder.glob(f"{_USER}*"))


def _lives(user: Path) -> bool:
    try:
        state = Path(f"/proc/{user.name.removeprefix(_USER)}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def _server(folder: Path, token: str, host: str) -> Any:
    from pyarrow import Array as ArrowArray
    from pyarrow import RecordBatch, flight, py_buffer, schema, uint8

    class Guard(flight.ServerMiddlewareFactory):
        """Lets in who shows the token."""

        def start_call(self, info: Any, headers: Any) -> None:
            (shown,) = headers.get("authorization", [""])
            if not hmac.compare_digest(shown, token):
                raise flight.FlightUnauthenticatedError("got another token, expected that of the run")

    class Blocks(flight.FlightServerBase):
        """Gives the bytes of a block, or of a stretch of one of its arrays."""

        def do_get(self, context: Any, ticket: Any) -> Any:
            try:
                content, kind = _asked_bytes(folder, json.loads(ticket.ticket))
            except (OSError, KeyError) as error:
                raise flight.FlightServerError(f"got no such block: {error}") from error
            described = schema([("bytes", uint8())], {"size": str(len(content)), "kind": kind})

            def batches() -> Iterator[Any]:
                for start in range(0, len(content), _CHUNK):
                    part = content[start : start + _CHUNK]
                    column = ArrowArray.from_buffers(uint8(), len(part), [None, py_buffer(part)])
                    yield RecordBatch.from_arrays([column], schema=described)

            return flight.GeneratorStream(described, batches())

    return Blocks(f"grpc://{host}:0", middleware={"guard": Guard()})


def _asked_bytes(folder: Path, asked: dict[str, Any]) -> tuple[Any, str]:
    """The bytes that a ticket asks for, and the type of the numbers in them."""
    content = np.memmap(folder / Path(asked["block"]).name, np.uint8, "r")
    if "stretch" not in asked:
        return content, "|u1"
    name, low, high = asked["stretch"]
    array = arrays_in(content)[name][low:high]
    return array.view(np.uint8), array.dtype.str


@cache
def _client(endpoint: str) -> Any:
    from pyarrow import flight

    return flight.connect(endpoint)


def fetched(endpoint: str, name: str, token: str, stretch: tuple[str, int, int] | None = None) -> Any:
    """The bytes of a block of another node, as an array; or elements [low, high) of one of its arrays.

    Raises:
        BlockLostError: the node, or the block, is not there.
    """
    from pyarrow import ArrowException, flight

    ticket = json.dumps({"block": name} | ({} if stretch is None else {"stretch": stretch})).encode()
    options = flight.FlightCallOptions(timeout=TIMEOUT_S, headers=[(b"authorization", token.encode())])
    try:
        reader = _client(endpoint).do_get(flight.Ticket(ticket), options)
        content = np.empty(int(reader.schema.metadata[b"size"]), np.uint8)
        start = 0
        for chunk in reader:
            part = chunk.data.column(0).to_numpy()
            content[start : start + len(part)] = part
            start += len(part)
    except (ArrowException, OSError) as error:
        raise BlockLostError(f"{endpoint} did not give {name}: {error}") from error
    return content.view(reader.schema.metadata[b"kind"].decode())


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), sys.stdin.read(), sys.argv[2], float(sys.argv[3]))
