"""How long the search index of N items takes to write, from nothing and with the next day, how long to open, and how
much memory.

    .venv/bin/python benchmarks/bench_index.py --items 100000 --items 1000000 --day 100000 [--json]

The pictures of `bench_duplicates`, without thumbnails; every 20th is in a group with the one before it. Seconds are
those of the job `build_index`; an index is opened in a process of its own, which finds the nearest of a code and looks
a key up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from uuid import uuid4

import bench_duplicates
import pyarrow as pa
from bench_duplicates import FIRST_DAY, NEXT_DAY, PLANTED, PROJECT, Peaks, add_day, newest, peak_mb
from pyspark.cloudpickle import register_pickle_by_value
from rich.console import Console

from data_contracts.crops import CROPS
from data_contracts.duplicates import DUPLICATES
from data_contracts.raw_images import RAW_IMAGES
from deploy.services import free_offset, running
from deploy.stack import Stack
from spark_jobs import build_index
from spark_jobs.running import publishing, runner, sessions
from spark_jobs.settings import Settings

register_pickle_by_value(bench_duplicates)  # workers do not have it
_OPEN = """
import sys, time
import dlcore.kernels, numpy
from dlcore.search.index import open_index
start = time.perf_counter()
index = open_index(sys.argv[1])
opened = time.perf_counter()
index.search(numpy.zeros((1, index.code_bytes), numpy.uint8), 10)
searched = time.perf_counter()
assert len(index.find(sys.argv[2]))
print(opened - start, searched - opened, time.perf_counter() - searched)
"""


@dataclass(frozen=True)
class Result:
    """One measurement. items: of the index, new of them of days that were written.
    cpu_s: what the driver, the server and its workers took of all cores.
    opened_s, first_search_s, look_up_s: in a process that has nothing mapped.
    driver_mb, server_mb, task_mb: peaks.
    load: runnable processes of this machine at the end.
    """

    items: int
    new: int
    seconds: float
    cpu_s: int
    opened_s: float
    first_search_s: float
    look_up_s: float
    segments: int
    size_mb: int
    driver_mb: int
    server_mb: int
    task_mb: int
    load: float


def grouped_batches(batches: Iterator[pa.RecordBatch], day: date) -> Iterator[pa.RecordBatch]:
    """Numbers of pictures (`id`) -> rows of `duplicates`, every PLANTED-th of which is in the group of the one before
    it."""
    for batch in batches:
        number = batch.column("id").to_pylist()
        is_paired = [n % PLANTED in (PLANTED - 1, 0) and n > 0 for n in number]
        columns = {"day": [day] * len(number), "key": [f"sku-{n:010}/0" for n in number], "crop": [0] * len(number)}
        columns |= {"reason": ["ok"] * len(number), "is_representative": [n % PLANTED != 0 for n in number]}
        columns |= {"group": [f"{day}/sku-{n - (n % PLANTED == 0):010}/0" for n in number]}
        columns |= {"size": [1 + paired for paired in is_paired], "evidence": [[]] * len(number)}
        columns |= {"evidence_count": [0] * len(number)}
        yield pa.RecordBatch.from_pydict(columns, DUPLICATES.arrow_schema())


def add_groups(settings: Settings, remote: str, day: date, first: int, count: int) -> None:
    """Publish the rows of `duplicates` of a day, and a table of crops."""
    spark = sessions.connected(remote, settings)
    for contract in (CROPS, RAW_IMAGES):
        publishing.ensure_table(spark, settings.table(contract.dataset), contract)
    table = settings.table("duplicates")
    publishing.ensure_table(spark, table, DUPLICATES)
    rows = spark.range(first, first + count, 1, max(settings.partitions, count // 50_000))
    make = partial(grouped_batches, day=day)
    rows.mapInArrow(make, DUPLICATES.spark_schema()).writeTo(table).append()
    spark.stop()


def measure(stack: Stack, settings: Settings, items: int, new: int, run: str) -> Result:
    """Run the job on what the tables hold now, then open the index."""
    peaks, start_s = Peaks(stack.home), time.process_time()
    peaks.start()
    line = ["--run", run, "--remote", f"{settings.connect_url}/;session_id={uuid4()}", "--no-thumbnails"]
    with redirect_stdout(sys.stderr):
        if runner.execute("build_index", build_index.plan, build_index.Options, line, settings):
            raise SystemExit(f"build_index failed; its report is in {settings.reports}")
    peaks.stopped.set()
    peaks.join()
    report = json.loads(newest(settings, "build_index", run))
    print(report["seconds"], report["extra"], file=sys.stderr)
    opening = [sys.executable, "-c", _OPEN, settings.index, f"sku-{items - 1:010}/0"]
    told = subprocess.run(opening, capture_output=True, text=True, check=True, cwd=PROJECT).stdout.split()
    files = [path for path in Path(settings.index.removeprefix("file://")).rglob("*") if path.is_file()]
    return Result(
        items,
        new,
        round(report["seconds"]["total"], 1),
        round(peaks.cpu_s() + time.process_time() - start_s),
        *(round(float(seconds), 4) for seconds in told),
        segments=report["extra"]["segments"],
        size_mb=sum(path.stat().st_size for path in files) >> 20,
        driver_mb=peak_mb(),
        server_mb=peaks.java,
        task_mb=peaks.python,
        load=round(os.getloadavg()[0], 1),
    )


def results(items: int, day: int) -> Iterator[Result]:
    """An index of so many items from nothing; then with a day of `day` more, if any."""
    with tempfile.TemporaryDirectory() as home:
        stack = Stack(Path(home), free_offset())
        with running(stack, ("connect",), console=Console(stderr=True)):
            settings = Settings.from_environment(stack.environment())
            remote = f"{settings.connect_url}/;session_id={uuid4()}"
            for name, first, count in ((FIRST_DAY, 0, items), (NEXT_DAY, items, day)):
                if count:
                    add_day(settings, remote, name, first, count, "bench")
                    add_groups(settings, remote, name, first, count)
                    yield measure(stack, settings, first + count, count, str(name))


def main() -> None:
    """Measure each number of items in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, action="append", help="may be given several times (100000)")
    parser.add_argument("--day", type=int, default=0, help="items of a further day")
    parser.add_argument("--json", action="store_true", help="nothing but JSON on standard output")
    arguments = parser.parse_args()
    found = [result for items in arguments.items or [100_000] for result in results(items, arguments.day)]
    if arguments.json:
        print(json.dumps([asdict(result) for result in found]))
        return
    for result in found:
        print(", ".join(f"{name} {value:,}" for name, value in asdict(result).items()))


if __name__ == "__main__":
    main()
