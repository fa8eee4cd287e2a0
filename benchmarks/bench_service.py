"""How fast the search service answers, beside FAISS behind the same HTTP server.

Run in the environment of the benchmarks: `.venv-bench/bin/python benchmarks/bench_service.py [--json] [--items
10000000] [--extractor NAME]`.
Random codes, as long as those of the extractor, in segments of a million without thumbnails. Ours and FAISS
(IndexBinaryFlat, in place of our scan, fed by the same batches) serve at once and are asked alternately, round by
round; medians over rounds, and the distances that both find are checked to be equal. Clients are threads with bare
sockets on the same cores. The targets are those of two idle cores; `..._cpu_ms`, the time of the CPU that the workers
spend on one query, and `ratio`, FAISS's of it over ours, hardly depend on what else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from dlcore.interop.artefact import load_artefact
from dlcore.search.byte_strings import ByteStrings
from dlcore.search.entries import Entries
from dlcore.search.index import open_index
from dlcore.search.manifest import publish_manifest, read_manifest
from dlcore.search.segment import SEGMENT_ITEMS, write_segment
from dlcore.search.store import Store
from dlcore.vision.extractor import code_bits
from spark_jobs.stages.extractors import usual_extractor

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "token-of-the-benchmark"
MODELS = f"file://{ROOT}/models"
K = 10
CLIENTS, PICTURE_CLIENTS = 8, 2


@dataclass
class Result:
    """What is printed. Milliseconds, queries a second, seconds, bytes."""

    items: int
    workers: int
    code_p50_ms: float
    code_p99_ms: float
    code_queries_s: float
    code_cpu_ms: float
    faiss_p50_ms: float
    faiss_p99_ms: float
    faiss_queries_s: float
    faiss_cpu_ms: float
    ratio: float
    picture_p50_ms: float
    picture_p99_ms: float
    picture_queries_s: float
    picture_cpu_ms: float
    index_bytes: int
    pss_bytes: int
    pss_limit_bytes: int
    ready_s: float
    visible_s: float
    load_before: float


def write_index(uri: str, items: int, generator: np.random.Generator, extractor: str) -> np.ndarray:
    """Publish random items of an extractor, which codes the pictures that are searched for -> their codes (N, B)."""
    store, segments, made_by = Store(uri), [], load_artefact(f"{MODELS}/{extractor}")
    codes = generator.integers(0, 256, (items, code_bits(made_by.metadata) // 8), np.uint8)
    for start in range(0, items, SEGMENT_ITEMS):
        entries = entries_of(codes[start : start + SEGMENT_ITEMS], start)
        segments.append(write_segment(store, entries))
    publish_manifest(store, made_by.version, codes.shape[1], segments, [])
    return codes


def entries_of(codes: np.ndarray, start: int) -> Entries:
    """Items with these codes: keys `sku000000017/0`, thirty days, eight labels."""
    count = len(codes)
    keys = ByteStrings.of(b"sku%09d/0" % number for number in range(start, start + count))
    labels = ByteStrings.of(b"label%d" % (number % 8) for number in range(count))
    days = np.full(count, np.datetime64("2026-11-01") + start // SEGMENT_ITEMS)
    none = ByteStrings(np.empty(0, np.uint8), np.zeros(count, np.int64))
    return Entries(
        codes, days, keys, np.zeros(count, np.int16), labels, none, np.zeros(count, np.int64), np.empty(0, np.uint8)
    )


@dataclass
class Service:
    """One that runs: its first process, its port, seconds until it was ready."""

    process: subprocess.Popen[bytes]
    port: int
    ready_s: float


@contextmanager
def serving(index: str, folder: Path, with_faiss: bool) -> Iterator[Service]:
    """Ours, or FAISS in the same server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {"TOKEN": TOKEN, "PORT": str(port), "WORKERS": "2", "AT_ONCE": "64"}
    variables = {f"PIPELINE_SEARCH_{name}": value for name, value in given.items()}
    environment = {
        **os.environ,
        **variables,
        "PIPELINE_INDEX": index,
        "PIPELINE_MODELS": MODELS,
        "PYTHONPATH": str(ROOT),
    }
    command = ["-c", FAISS_SERVER] if with_faiss else ["-m", "search_service"]
    started = time.perf_counter()
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT, stdout=log, stderr=log)
    try:
        while not is_ready(port):
            if process.poll() is not None:
                raise SystemExit((folder / f"{port}.log").read_text())
            time.sleep(0.01)
        yield Service(process, port, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


FAISS_SERVER = """
import faiss, numpy as np
from dlcore.search.index import Index
from dlcore.search.segment import Segment
from search_service import server
faiss.omp_set_num_threads(1)
map_files = Index.map_files
def build(self):
    map_files(self)
    flat = faiss.IndexBinaryFlat(8 * self.code_bytes)
    for segment in self.segments:
        flat.add(np.asarray(segment.codes))
    object.__setattr__(self, "flat", flat)
def search(self, codes, k, where=None):
    apart, positions = self.flat.search(np.ascontiguousarray(codes), k)
    return positions, apart.astype(np.uint16)
Index.map_files, Index.search = build, search
server.main()
"""
"""The same service with FAISS in place of our scan."""


class Client:
    """One connection, kept."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def ask(self, request: bytes) -> bytes:
        """The body of an answer, which must be one."""
        self.socket.sendall(request)
        status, size = self.stream.readline(), 0
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        body = self.stream.read(size)
        if b" 200 " not in status:
            raise SystemExit(f"{status!r} {body!r}")
        return body


def request(path: str, body: bytes, kind: str) -> bytes:
    """A request as it goes over the wire."""
    headers = {"Host": "x", "Authorization": f"Bearer {TOKEN}", "Content-Type": kind, "Content-Length": len(body)}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def is_ready(port: int) -> bool:
    """Whether a service says so."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), 1)
        with connection:
            connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b" 200 " in connection.makefile("rb").readline()
    except OSError:
        return False


@dataclass
class Round:
    """Milliseconds of each query, queries a second, milliseconds of the workers' CPU a query."""

    times: list[float]
    rate: float
    cpu_ms: float


def load(service: Service, clients: int, requests: Sequence[bytes], seconds: float) -> Round:
    """Ask as fast as it answers."""
    times: list[list[float]] = [[] for _ in range(clients)]
    cpu = cpu_seconds(service.process)
    start, end = time.perf_counter(), time.perf_counter() + seconds

    def ask(number: int) -> None:
        client, turn = Client(service.port), number
        while (began := time.perf_counter()) < end:
            client.ask(requests[turn % len(requests)])
            times[number].append(1000 * (time.perf_counter() - began))
            turn += clients

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [each for own in times for each in own]
    spent = cpu_seconds(service.process) - cpu
    return Round(every, len(every) / (time.perf_counter() - start), 1000 * spent / len(every))


def processes(first: subprocess.Popen[bytes]) -> list[str]:
    """Of a service."""
    return [str(first.pid), *Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()]


def cpu_seconds(first: subprocess.Popen[bytes]) -> float:
    """That its processes have spent."""
    stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in processes(first))
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def pss_bytes(process: subprocess.Popen[bytes]) -> int:
    """Memory of a process and its children, pages that several share counted once."""
    found = 0
    for pid in processes(process):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        found += 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return found


def same_distances(ports: Sequence[int], requests: Sequence[bytes]) -> None:
    """Refuse to compare services that do not find the same."""
    clients = [Client(port) for port in ports]
    for each in requests[:20]:
        ours, theirs = (
            [found["distance"] for found in json.loads(client.ask(each))["answers"][0]["neighbours"]]
            for client in clients
        )
        if ours != theirs:
            raise SystemExit(f"found other distances: {ours} and {theirs}")


def pictures(folder: Path) -> list[bytes]:
    """Drawn product pictures."""
    command = [sys.executable, "-m", "sample_data.catalogue.demo", str(folder), "--per-day", "96", "--days", "1"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    lines = map(json.loads, (folder / "truth.jsonl").read_text().splitlines())
    good = {(line["day"], line["key"]) for line in lines if not line["bad"]}
    entries = map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())
    return [(folder / entry["path"]).read_bytes() for entry in entries if (entry["day"], entry["key"]) in good]


def seconds_until_visible(index: str, port: int, codes: np.ndarray) -> float:
    """Seconds from the publication of a version with one more segment until any worker answers a search by it."""
    store, opened = Store(index), open_index(index)
    manifest = read_manifest(store, opened.version)
    segment = write_segment(store, entries_of(codes, len(opened)))
    version = publish_manifest(store, manifest.model_version, manifest.code_bytes, [*manifest.segments, segment], [])
    started = time.perf_counter()
    asked = request("/api/v1/search", by_code(codes[0]), "application/json")
    while any(json.loads(Client(port).ask(asked))["index"] != version for _ in range(4)):
        time.sleep(0.02)
    return time.perf_counter() - started


def by_code(code: np.ndarray) -> bytes:
    """The body of a search."""
    return json.dumps({"queries": [{"code": code.tobytes().hex()}], "k": K}).encode()


def measure(items: int, rounds: int, seconds: float, extractor: str) -> Result:
    """All figures."""
    load_before, generator = os.getloadavg()[0], np.random.default_rng(7)
    with tempfile.TemporaryDirectory(prefix="bench-service-") as name, ExitStack() as stack:
        folder = Path(name)
        index = f"file://{folder}/index"
        codes = write_index(index, items, generator, extractor)
        changed = np.bitwise_and.reduce(generator.integers(0, 256, (500, codes.shape[1], 4), np.uint8), axis=2)
        queries = codes[generator.integers(0, items, 500)] ^ changed
        requests = [request("/api/v1/search", by_code(code), "application/json") for code in queries]
        by_picture = [
            request(f"/api/v1/search/picture?k={K}", data, "image/jpeg") for data in pictures(folder / "catalogue")
        ]
        ours = stack.enter_context(serving(index, folder, with_faiss=False))
        with serving(index, folder, with_faiss=True) as theirs:
            same_distances((ours.port, theirs.port), requests)
            pairs = [[load(service, CLIENTS, requests, seconds) for service in (ours, theirs)] for _ in range(rounds)]
        code, faiss = (figures([pair[number] for pair in pairs]) for number in range(2))
        picture = figures([load(ours, PICTURE_CLIENTS, by_picture, seconds) for _ in range(rounds)])
        memory = pss_bytes(ours.process)
        size = sum(path.stat().st_size for path in (folder / "index").rglob("*.bin"))
        visible_s = seconds_until_visible(index, ours.port, codes[:1000] ^ 255)
    limit, ratio = int(1.2 * size) + (400 << 20), faiss[3] / code[3]
    return Result(items, 2, *code, *faiss, ratio, *picture, size, memory, limit, ours.ready_s, visible_s, load_before)


def figures(rounds: Sequence[Round]) -> tuple[float, float, float, float]:
    """Medians over the rounds: of the 50th and the 99th percentile, of the queries a second, of the CPU's time for
    one."""
    halves, tails = ([float(np.percentile(each.times, share)) for each in rounds] for share in (50, 99))
    middle = [halves, tails, [each.rate for each in rounds], [each.cpu_ms for each in rounds]]
    first, second, third, fourth = (float(np.median(values)) for values in middle)
    return first, second, third, fourth


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each round")
    parser.add_argument("--extractor", default=usual_extractor(MODELS)[0], help="name of its artefact")
    given = parser.parse_args()
    r = measure(given.items, given.rounds, given.seconds, given.extractor)
    if given.json:
        print(json.dumps(asdict(r), indent=1))
        return
    kinds = {
        f"{CLIENTS} clients by code": (r.code_queries_s, r.code_p50_ms, r.code_p99_ms, r.code_cpu_ms),
        "FAISS, the same": (r.faiss_queries_s, r.faiss_p50_ms, r.faiss_p99_ms, r.faiss_cpu_ms),
        f"{PICTURE_CLIENTS} clients by picture": (
            r.picture_queries_s,
            r.picture_p50_ms,
            r.picture_p99_ms,
            r.picture_cpu_ms,
        ),
    }
    print(
        f"{r.items} items, {r.workers} workers, load before {r.load_before:.1f}; the CPU spends {r.ratio:.1f} x with "
        f"FAISS"
    )
    for kind, (rate, half, tail, cpu) in kinds.items():
        print(f"{kind}: {rate:.0f} queries/s, p50 {half:.0f} ms, p99 {tail:.0f} ms, CPU {cpu:.1f} ms a query")
    print(
        f"memory {r.pss_bytes / 1e6:.0f} MB (at most {r.pss_limit_bytes / 1e6:.0f}), ready after {r.ready_s:.1f} s, "
        f"a version seen after {r.visible_s:.1f} s"
    )


if __name__ == "__main__":
    main()
