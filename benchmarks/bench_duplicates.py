"""How long pairs and groups of N codes take, from nothing, and how much memory the driver and the largest task want.

    .venv/bin/python benchmarks/bench_duplicates.py --codes 100000 --codes 1000000 [--json]

A Spark Connect server of its own has the features of N pictures, of which 5 % are changed copies of others, drawn from
a seed:
codes whose distances spread like those of 46 independent bits, as measured on photographs of others. The distances are
chosen for N as `calibrate_duplicates` does. Seconds are those of the jobs `compare_pictures` and `find_duplicates`,
with their audits.
`--bundle N` compares two bundles of N pictures in this process and extrapolates to all, where the machine is too busy
for these.
`--day N` adds a day of N pictures afterwards, and measures it as a row of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

PROJECT = Path(__file__).resolve().parents[1]
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.console import Console  # noqa: E402

from data_contracts.features import FEATURES  # noqa: E402
from deploy.services import free_offset, running  # noqa: E402
from deploy.stack import Stack  # noqa: E402
from dlcore.interop.artefact import load_artefact  # noqa: E402
from dlcore.search.verification import Signatures  # noqa: E402
from spark_jobs import compare_pictures, find_duplicates  # noqa: E402
from spark_jobs.pictured_days import BLOCK  # noqa: E402
from spark_jobs.pipeline import report_uri  # noqa: E402
from spark_jobs.running import publishing, runner, sessions  # noqa: E402
from spark_jobs.running.command_line import NoOptions  # noqa: E402
from spark_jobs.settings import Settings, artefact_uri  # noqa: E402
from spark_jobs.stages.calibration import Calibration, Target, verifier_from  # noqa: E402
from spark_jobs.stages.candidates import Chance  # noqa: E402
from spark_jobs.stages.pairs import verified_pairs  # noqa: E402
from spark_jobs.stages.picture_blocks import Bundle, Pictures  # noqa: E402
from spark_jobs.stages.signature_rows import SIGNATURES  # noqa: E402

MODEL = "deepbit-small"
FIRST_DAY, NEXT_DAY = date(2026, 11, 1), date(2026, 11, 2)
INDEPENDENT, BITS, PLANTED = 46, 128, 20  # every 20th picture is a copy
_WANTED = (41, 51)
_SAMPLE = 2048


@dataclass(frozen=True)
class Result:
    """One measurement. codes: compared with one another, new of them first seen in it.
    cpu_s: what the driver, the server and its workers took of all cores.
    radius: bits of the code within which pairs are verified.
    driver_mb: peak of the process that drives the jobs; server_mb: of the Connect server, whose Java also carries the
    tasks' rows here; task_mb: of the largest Python worker.
    load: runnable processes of this machine at the end.
    """

    codes: int
    new: int
    seconds: float
    cpu_s: int
    candidates: int
    groups: int
    radius: int
    driver_mb: int
    server_mb: int
    task_mb: int
    load: float


def words(article: NDArray[np.int64], count: int, salt: int) -> NDArray[np.uint64]:
    """(N, count) pseudo-random words, the same for the same article: splitmix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        state = (
            article.astype(np.uint64)[:, None] * np.uint64(4096)
            + np.arange(count, dtype=np.uint64)
            + np.uint64(salt << 40)
        )
        state = (state + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def signatures(number: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Signatures of pictures by their numbers: every PLANTED-th is the copy of an earlier one, with a few bits
    changed."""
    is_copy = (number % PLANTED == 0) & (number > 0)
    article = np.where(is_copy, words(number, 1, 1)[:, 0] % np.maximum(number, 1).astype(np.uint64), number).astype(
        np.int64
    )
    article -= (article % PLANTED == 0) & is_copy & (article > 0)  # no copies of copies
    latent = np.unpackbits(words(article, 1, 2).view(np.uint8), axis=1)[:, :INDEPENDENT]
    bits = latent[:, np.arange(BITS) % INDEPENDENT]
    flips = np.where(is_copy, 6, 0)[:, None] > words(number, BITS, 3) % np.uint64(BITS)
    bits = bits ^ flips
    hashes = [words(article, 4, 4 + n).view(np.uint8) for n in range(2)]
    hashes = [
        hash_ ^ np.packbits(np.where(is_copy, 8, 0)[:, None] > words(number, 256, 6) % np.uint64(256), axis=1)
        for hash_ in hashes
    ]
    strength = 0.5 + (words(article, BITS, 8) % np.uint64(1000)).astype(np.float64) / 1000
    return {
        "code": np.packbits(bits, axis=1),
        "descriptor": (np.where(bits, 1.0, -1.0) * strength).astype("<f2"),
        "luminance_hash": hashes[0],
        "whole_hash": hashes[1],
        "chroma": words(article, 16, 9).view(np.int8) // 4,
    }


def feature_batches(batches: Iterator[pa.RecordBatch], day: date, version: str) -> Iterator[pa.RecordBatch]:
    """Numbers of pictures (`id`) -> rows of `features`."""
    schema = FEATURES.arrow_schema()
    for batch in batches:
        number = batch.column("id").to_numpy()
        made = signatures(number)
        columns: dict[str, Any] = {name: [row.tobytes() for row in rows] for name, rows in made.items()}
        columns |= {"day": [day] * len(number), "key": [f"sku-{n:010}/0" for n in number], "crop": [0] * len(number)}
        columns |= {"reason": ["ok"] * len(number), "label": [None] * len(number)}
        columns |= {"model_version": [version] * len(number), "computed_by": ["bench"] * len(number)}
        yield pa.RecordBatch.from_pydict(columns, schema)


def calibrated(settings: Settings, codes: int) -> Calibration:
    """Distances for a catalogue of N such pictures, by the rule of `calibrate_duplicates`."""
    artefact = load_artefact(artefact_uri(settings.models, MODEL))
    numbers = np.arange(1, 2 * _SAMPLE, 2, dtype=np.int64)  # odd ones are copies of none
    made, nobody = signatures(numbers), np.zeros((_SAMPLE, _SAMPLE), bool)
    chances = Chance.of(made["code"], nobody), Chance.of(made["whole_hash"], nobody)
    code, whole = (c.radius(most, codes, Target().candidates) for c, most in zip(chances, _WANTED, strict=True))
    return Calibration(verifier_from(artefact.metadata["verifier"]), 0.95, code, whole, artefact.version)


class Peaks(threading.Thread):
    """Peak memory of the server's Java and of its Python workers, as the kernel counts it (VmHWM), and the time of the
    CPU that they and this process take; looked at twice a second."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.stopped = folder, threading.Event()
        self.java = self.python = 0
        self.cpu: dict[str, tuple[float, float]] = {}

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            for status in Path("/proc").glob("[0-9]*/status"):
                try:
                    self._look(status)
                except OSError:
                    continue

    def _look(self, status: Path) -> None:
        command = (status.parent / "cmdline").read_bytes()
        environment = (status.parent / "environ").read_bytes()
        if str(self.folder).encode() not in environment + command:
            return
        spent_s = _cpu_s(status.parent)
        self.cpu[status.parent.name] = self.cpu.get(status.parent.name, (spent_s, 0.0))[0], spent_s
        peak = peak_mb(status)
        if b"java" in command.split(b"\0")[0]:
            self.java = max(self.java, peak)
        elif b"python_daemon" in command or b"pyspark" in command:
            self.python = max(self.python, peak)

    def cpu_s(self) -> float:
        """Seconds of the CPU since the start, of workers that come and go as well."""
        return sum(last - first for first, last in self.cpu.values())


def peak_mb(status: Path = Path("/proc/self/status")) -> int:
    """The most memory that a process had, this one by default."""
    return next(
        (int(line.split()[1]) // 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM")), 0
    )


def _cpu_s(process: Path) -> float:
    """Seconds of the CPU of a process."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def add_day(settings: Settings, remote: str, day: date, first: int, count: int, version: str) -> None:
    """Publish a day of features of the pictures first .. first + count - 1."""
    spark = sessions.connected(remote, settings)
    table = settings.table("features")
    publishing.ensure_table(spark, table, FEATURES)
    make = partial(feature_batches, day=day, version=version)
    rows = spark.range(first, first + count, 1, max(settings.partitions, count // 50_000)).mapInArrow(
        make, FEATURES.spark_schema()
    )
    rows.writeTo(table).overwritePartitions()
    spark.stop()


def measure(stack: Stack, settings: Settings, codes: int, run: str) -> Result:
    """Run both jobs on what `features` holds now."""
    peaks, start_s = Peaks(stack.home), time.process_time()
    peaks.start()
    reports = []
    for name, plan in (("compare_pictures", compare_pictures.plan), ("find_duplicates", find_duplicates.plan)):
        line = ["--run", run, "--remote", f"{settings.connect_url}/;session_id={uuid4()}"]
        with redirect_stdout(sys.stderr):
            if runner.execute(name, plan, NoOptions, line, settings):
                raise SystemExit(f"{name} failed; its report is in {settings.reports}")
        reports.append(json.loads(newest(settings, name, run)))
        print(name, reports[-1]["seconds"], reports[-1]["extra"], file=sys.stderr)
    peaks.stopped.set()
    peaks.join()
    compared, grouped = reports
    return Result(
        codes=codes,
        new=compared["extra"]["pictures"]["new"],
        seconds=round(sum(report["seconds"]["total"] for report in reports), 1),
        cpu_s=round(peaks.cpu_s() + time.process_time() - start_s),
        candidates=compared["extra"]["candidates"]["verified"],
        groups=grouped["extra"]["groups"],
        radius=Calibration.read(settings.index).code_distance,
        driver_mb=peak_mb(),
        server_mb=peaks.java,
        task_mb=peaks.python,
        load=round(os.getloadavg()[0], 1),
    )


def newest(settings: Settings, name: str, run: str) -> str:
    """The run report of a job."""
    return Path(report_uri(settings.reports, name, None, run).removeprefix("file://")).read_text()


def results(codes: int, day: int) -> Iterator[Result]:
    """Pairs and groups of so many pictures from nothing; then with a day of `day` more, if any."""
    with tempfile.TemporaryDirectory() as home:
        stack = Stack(Path(home), free_offset())
        with running(stack, ("connect",), console=Console(stderr=True)):
            settings = Settings.from_environment(stack.environment())
            calibration = calibrated(settings, codes + day)
            calibration.write(settings.index)
            remote = f"{settings.connect_url}/;session_id={uuid4()}"
            add_day(settings, remote, FIRST_DAY, 0, codes, calibration.model_version)
            yield measure(stack, settings, codes, "from_nothing")
            if day:
                add_day(settings, remote, NEXT_DAY, codes, day, calibration.model_version)
                yield measure(stack, settings, codes + day, "next_day")


@dataclass(frozen=True)
class Extrapolated:
    """What the comparison alone takes of one core, without Spark, from that of a bundle with itself and with
    another."""

    codes: int
    bundle: int
    itself_cpu_s: float
    another_cpu_s: float
    candidates: int
    extrapolated_cpu_s: float
    load: float


def bundle_of(first: int, count: int) -> Bundle:
    """The pictures first .. first + count - 1, in blocks."""
    parts = []
    for start in range(first, first + count, BLOCK):
        number = np.arange(start, min(start + BLOCK, first + count))
        names = np.char.mod("%032d", number).astype(np.bytes_)
        parts.append(Pictures(names, Signatures(*(signatures(number)[name] for name in SIGNATURES))))
    return Bundle(parts)


def extrapolated(settings: Settings, codes: int, bundle: int) -> Extrapolated:
    """The comparison of all with all from that of two bundles, with the distances for `codes`."""
    calibration, pictures, spent, candidates = calibrated(settings, codes), bundle_of(0, bundle), [], 0
    for other in (None, bundle_of(bundle, bundle)):
        start_s = time.process_time()
        *_, last = verified_pairs(pictures, other, calibration)
        spent.append(round(time.process_time() - start_s, 2))
        candidates += int(last.column("probability")[0].as_py())
    count = codes / bundle
    whole_s = count * spent[0] + count * (count - 1) / 2 * spent[1]
    return Extrapolated(codes, bundle, *spent, candidates, round(whole_s), round(os.getloadavg()[0], 1))


def main() -> None:
    """Measure each number of codes in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codes", type=int, action="append", help="pictures; may be given several times (100000)")
    parser.add_argument("--day", type=int, default=0, help="pictures of a further day")
    parser.add_argument("--json", action="store_true", help="nothing but JSON on standard output")
    parser.add_argument("--bundle", type=int, help="compare only two bundles of so many, here, and extrapolate")
    arguments = parser.parse_args()
    if arguments.bundle:
        settings = Settings.from_environment()
        rows = [extrapolated(settings, codes, arguments.bundle) for codes in arguments.codes or [100_000]]
        print(json.dumps([asdict(row) for row in rows]))
        return
    found = [result for codes in arguments.codes or [100_000] for result in results(codes, arguments.day)]
    if arguments.json:
        print(json.dumps([asdict(result) for result in found]))
        return
    for result in found:
        print(", ".join(f"{name} {value:,}" for name, value in asdict(result).items()))


if __name__ == "__main__":
    main()
