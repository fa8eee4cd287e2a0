"""What a step of a distributed training costs beside the gradient: ours, ours as a gang, and the plain loop of
treeAggregate and broadcast.

    .venv/bin/python benchmarks/bench_distributed.py [--json] [--cluster] [--sizes 1e5 1e6 25e6] [--steps 15]
        [--partitions 2] [--wire fp16] [--apart]

Two cores of one machine, `local[2]` or (--cluster) a standalone master with two one-core workers. The gradient is a
fill, the method SGD with momentum, so that a step is synchronisation alone. All take some steps in turn, three times,
and medians are compared. sync_ms is by the clock, with the load beside it; cpu_ms is what driver, JVM and workers
compute in a step, which other programs on the machine change less. --json prints one object alone. With --cluster
--apart the workers fetch one another's blocks as from other machines, and loopback_mb is what went through the loopback
device in a step, other programs' bytes included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench_distributed_model import Filled

from dlcore.data.sample import Sample
from dlcore.nn.criterion import MSECriterion
from dlcore.optim.crew import Assignment
from dlcore.optim.exchange import Exchange, WireFormat
from dlcore.optim.method import SGD
from dlcore.optim.schedule import Progress
from dlcore.optim.update import Clipping, Update
from dlcore.spark import crew
from dlcore.spark.dataset import SparkSource

ROOT = Path(__file__).resolve().parents[1]
MOMENTUM, RATE = 0.9, 0.01
TURNS = 3
WARM = 4
"""Steps of a turn that are not counted: the first have nothing to change, no blocks to use again, or call a gang."""


@dataclass
class Contender:
    """A way to train: a step, by its number; what lets others have Spark; its end."""

    step: Callable[[int], None]
    rest: Callable[[], None] = lambda: None
    end: Callable[[], None] = lambda: None


@dataclass
class Result:
    """Medians of a size, in ms by the clock and of the CPU, and in MB, of ours, which takes so many jobs a step, of the
    gang and of the naive loop; the load average."""

    jobs: int
    sync_ms: dict[str, float]
    cpu_ms: dict[str, float]
    loopback_mb: dict[str, float]
    load: float


def cpu_ms() -> float:
    """The CPU's time that this process and all below it have taken."""
    times, parents = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(name)], times[int(name)] = int(fields[1]), sum(map(int, fields[11:15]))
    total, level = 0, {os.getpid()}
    while level:
        total += sum(times.get(pid, 0) for pid in level)
        level = {pid for pid, parent in parents.items() if parent in level}
    return 1e3 * total / os.sysconf("SC_CLK_TCK")


def loopback_mb() -> float:
    """What the loopback device has received."""
    rows = (line.split() for line in Path("/proc/net/dev").read_text().splitlines())
    return next(int(row[1]) for row in rows if row[0] == "lo:") / 1e6


@contextmanager
def contexts(is_cluster: bool) -> Iterator[Any]:
    """A SparkContext."""
    from tests.dlcore.spark.standalone import cluster, context_on

    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"
    settings = {"spark.executorEnv.PYTHONPATH": os.environ["PYTHONPATH"], "spark.driver.maxResultSize": "4g"}
    settings["spark.driver.memory"] = "4g"  # for the naive loop's results beside the broadcast models
    with tempfile.TemporaryDirectory() as folder:
        if not is_cluster:
            with context_on("local[2]", Path(folder), **settings) as context:
                yield context
            return
        with cluster(Path(folder)) as found, context_on(found.url, Path(folder), **settings) as context:
            yield context


def our_training(context: Any, size: int, partitions: int, exchange: Exchange) -> tuple[Contender, int]:
    """Ours, and the jobs of a step."""
    model = Filled(size)
    samples = [Sample.from_ndarray(np.ones(1), 1)] * 2 * partitions
    source = SparkSource(context.parallelize(samples, partitions), partitions)
    method = SGD(RATE, momentum=MOMENTUM, dampening=0.0)
    update = Update.of(model, {"": method}, Clipping())
    work = Assignment(
        model, MSECriterion(), source, partitions, seed=1, workers=partitions, update=update, exchange=exchange
    )
    made = crew.SparkCrew(work, source)
    return Contender(lambda number: made.step(number, Progress()) and None, made.rest, made.close), made.jobs


def naive_step(context: Any, size: int, partitions: int) -> Callable[[int], None]:
    """A step of the plain loop: weights broadcast, gradients added up to the driver, which changes the weights."""
    base = context.parallelize(range(partitions), partitions)
    weights, velocity = np.zeros(size, np.float32), np.zeros(size, np.float32)

    def step(number: int) -> None:
        """Change the weights once."""
        shared = context.broadcast(weights)
        grads = base.map(lambda _: np.full(len(shared.value), 1e-3, np.float32)).treeAggregate(
            np.zeros(1, np.float32), lambda a, b: a + b, lambda a, b: a + b
        )
        velocity[...] = MOMENTUM * velocity + grads / partitions
        weights[...] -= RATE * velocity
        shared.destroy()

    return step


def measured(context: Any, size: int, arguments: argparse.Namespace) -> Result:
    """All in turn."""
    ours, jobs = our_training(context, size, arguments.partitions, Exchange(arguments.wire))
    gang, _ = our_training(context, size, arguments.partitions, Exchange(arguments.wire, gang=True))
    contenders = {"ours": ours, "gang": gang}
    if not arguments.no_naive:
        contenders["naive"] = Contender(naive_step(context, size, arguments.partitions))
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in contenders}
    for turn in range(TURNS):
        for name, contender in contenders.items():
            found[name] += timed(contender, turn, -(-arguments.steps // TURNS))
    for contender in contenders.values():
        contender.end()
    clock, cpu, moved_mb = (
        {name: round(statistics.median(row[place] for row in rows), 1) for name, rows in found.items()}
        for place in range(3)
    )
    return Result(jobs, clock, cpu, moved_mb, os.getloadavg()[0])


def timed(contender: Contender, turn: int, steps: int) -> list[tuple[float, ...]]:
    """The milliseconds, those of the CPU and the megabytes of each of a turn's steps that count."""
    found = []
    for number in range(WARM + steps):
        start, computed, moved = time.perf_counter(), cpu_ms(), loopback_mb()
        contender.step(turn * (WARM + steps) + number)
        found.append((1e3 * (time.perf_counter() - start), cpu_ms() - computed, loopback_mb() - moved))
    contender.rest()
    return found[WARM:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e5, 1e6, 25e6])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--wire", choices=get_args(WireFormat), default="fp32")
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--no-naive", action="store_true")
    arguments = parser.parse_args()
    if arguments.apart and not arguments.cluster:
        parser.error("got --apart without --cluster, where nothing is fetched: add --cluster")
    found: dict[str, Any] = {}
    crew.APART = arguments.apart
    with contexts(arguments.cluster) as context:
        for size in arguments.sizes:
            result = measured(context, int(size), arguments)
            found[f"{size:g}"] = vars(result)
            if not arguments.json:
                print(f"{size:>10g} parameters: {result}", flush=True)
    if arguments.json:
        master = "2 workers" if arguments.cluster else "local[2]"
        print(json.dumps({"master": master, "wire": arguments.wire, "sizes": found}))


if __name__ == "__main__":
    main()
