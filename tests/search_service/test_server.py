"""Worker processes that are killed, and a service that is asked to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from search_service import protocol
from tests.search_service.serving import free_port, is_ready, nearest_by_loop, publish_random, serving
from tests.waiting import LIMIT_S, wait_for

CLIENTS, REQUESTS, KILLS = 8, 1000, 4


@pytest.fixture
def index(tmp_path):
    """The URI of an index of random items, and the items."""
    _, entries = publish_random(f"file://{tmp_path}/index", 0, 1000)
    return f"file://{tmp_path}/index", entries


def test_killed_workers_lose_their_own_requests_alone(index, tmp_path):
    uri, entries = index
    codes = [np.random.default_rng(seed).bytes(16) for seed in range(20)]
    expected = {code: nearest_by_loop(entries, code, 5) for code in codes}
    answered = []

    def ask(number):
        """-> how many requests were lost."""
        lost = 0
        with httpx.Client(base_url=served.url, headers=served.client.headers, timeout=60, trust_env=False) as client:
            for turn in range(REQUESTS // CLIENTS):
                code = codes[(number + turn) % len(codes)]
                try:
                    found = client.post("/api/v1/search", json={"queries": [{"code": code.hex()}], "k": 5})
                except httpx.TransportError:  # the worker has gone
                    lost += 1
                    continue
                assert found.status_code == httpx.codes.OK, found.text
                (answer,) = found.json()["answers"]
                assert [(each["position"], each["distance"]) for each in answer["neighbours"]] == expected[code]
                answered.append(number)
        return lost

    with serving(uri, tmp_path) as served, ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask, number) for number in range(CLIENTS)]
        killed = set()
        for kill in range(KILLS):
            enough = (kill + 1) * REQUESTS // (KILLS + 2)
            wait_for(lambda enough=enough: len(answered) > enough or failures(asking))
            assert not failures(asking)
            victim = wait_for(lambda: next((pid for pid in served.workers() if pid not in killed), None))
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
        lost = sum(each.result() for each in asking)
        assert lost <= KILLS * CLIENTS and len(answered) == REQUESTS - lost
        wait_for(lambda: len(served.workers()) == 2 and not killed & set(served.workers()))
        assert served.search({"code": codes[0].hex()}, k=5)["answers"]


def failures(asking):
    """What went wrong in the threads that have ended."""
    return [each.exception() for each in asking if each.done() and each.exception()]


def test_it_ends_what_is_under_way_first(index, tmp_path):
    uri, _ = index
    with serving(uri, tmp_path) as served:
        workers = served.workers()
        body = b'{"queries":[{"key":"sku000001/0"}],"k":3}'
        head = f"POST /api/v1/search HTTP/1.1\r\nHost: x\r\nAuthorization: {served.client.headers['authorization']}\r\n"
        with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), 60) as begun:
            begun.sendall(
                f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:9]
            )
            wait_for(lambda: "search_requests_under_way 1" in served.client.get("/metrics").text)
            served.process.send_signal(signal.SIGTERM)
            wait_for(lambda: not is_ready(served))
            begun.sendall(body[9:])
            answer = begun.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200") and b'"neighbours"' in answer
        assert served.process.wait(60) == 0
        assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]


def test_workers_end_when_their_supervisor_is_killed(index, tmp_path):
    uri, _ = index
    with serving(uri, tmp_path) as served:
        workers = served.workers()
        served.process.kill()
        wait_for(lambda: not [pid for pid in workers if os.path.exists(f"/proc/{pid}")])


def test_it_ends_though_its_workers_die_at_once():
    program = """
from types import SimpleNamespace
from search_service import server
server._work = lambda *_: 3
server._Supervisor(SimpleNamespace(workers=3), None, None).run()
"""
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert "has ended (3); another one replaces it" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=LIMIT_S)
            assert process.returncode == 0
        finally:
            process.kill()


def test_children_of_others_do_not_end_it(index, tmp_path):
    """As process 1 of a container it is given the children of processes that have ended."""
    uri, _ = index
    with serving(uri, tmp_path, before_start=an_own_child) as served:
        victim = served.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len(served.workers()) == 2 and victim not in served.workers())
        assert served.process.poll() is None


def an_own_child():
    """Of the process that becomes the service; it ends at once."""
    if not os.fork():
        os._exit(0)


def test_an_address_that_is_taken_is_told(index, tmp_path):
    uri, _ = index
    with (
        socket.create_server(("127.0.0.1", free_port())) as taken,
        pytest.raises(AssertionError, match="Address already in use"),
        serving(uri, tmp_path, port=str(taken.getsockname()[1])),
    ):
        pass


def raw(served, data):
    """What comes back for these bytes, until the other end closes."""
    with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), 60) as connection:
        connection.sendall(data)
        return connection.makefile("rb").read()


def test_what_is_no_request_is_answered_as_json(served):
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"):
        answer = raw(served, data)
        assert answer.startswith(b"HTTP/1.1 400") and b'"do"' in answer


def test_endless_headers_are_refused(served):
    head = b"GET /health HTTP/1.1\r\nHost: x\r\n"
    with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), 60) as connection:
        connection.sendall(head)
        try:
            for number in range(1000):
                connection.sendall(b"x-%d: " % number + b"a" * 4096 + b"\r\n")
        except OSError:
            return  # refused while it was sending
        assert b"HTTP/1.1 400" in connection.makefile("rb").read()


async def served_by(app):
    """A server of one application."""
    config = Config(app, http=protocol.Protocol, lifespan="off")
    config.load()
    state = ServerState()
    return await asyncio.get_running_loop().create_server(
        lambda: protocol.Protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )


def test_a_client_that_does_not_read_its_answer_is_left(monkeypatch):
    monkeypatch.setattr(protocol, "READING_S", 0.3)

    async def answered():
        is_over = asyncio.Event()

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": bytes(64 << 20), "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            is_over.set()

        server = await served_by(app)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(is_over.wait(), 60)
        writer.close()
        server.close()

    asyncio.run(answered())


def test_a_client_that_sends_no_headers_is_left(monkeypatch):
    monkeypatch.setattr(protocol, "HEADERS_S", 0.3)

    async def received():
        server = await served_by(lambda *_: None)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HT")
        found = await reader.read()
        writer.close()
        server.close()
        return found

    assert asyncio.run(received()) == b""


def sockets_of(pid, port):
    """How many connections to the port a process has."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = {f"socket:[{row[9]}]" for row in rows if int(row[1].partition(":")[2], 16) == port and row[3] == "01"}
    found = 0
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(entry.path) in here
    return found


def test_workers_share_out_the_connections(index, tmp_path):
    """Two dozen clients come at once, and some more when some have gone."""
    uri, _ = index
    with serving(uri, tmp_path) as served, ExitStack() as stack:
        served.client.close()
        address = "127.0.0.1", httpx.URL(served.url).port
        workers = served.workers()

        def assert_shared_out(clients):
            wait_for(lambda: sum(sockets_of(pid, address[1]) for pid in workers) == clients)
            counts = [sockets_of(pid, address[1]) for pid in workers]
            assert abs(counts[0] - counts[1]) <= 4, counts

        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(24)]
        assert_shared_out(24)
        for client in clients[:12]:
            client.close()
        wait_for(lambda: sum(sockets_of(pid, address[1]) for pid in workers) == 12)
        for _ in range(12):
            stack.enter_context(socket.create_connection(address))
        assert_shared_out(24)
