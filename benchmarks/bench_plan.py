"""Measure the constants of dlcore/spark/plan.py on this machine.

    .venv/bin/python benchmarks/bench_plan.py [--json] [--models lenet,inception_v1,resnet50,vgg16] [--rounds 5]

Medians. Numbers and records: the processor's time of one thread, which other programs on the machine change little;
of records, steps of two sizes of batch, whose difference is divided by theirs. Jobs and tasks: by the clock, so they
need an idle machine. A job is a training step of 1e5 weights by two tasks, less their arithmetic. Tasks are of jobs
without work, of 100 and 1,000 tasks in the JVM alone, on two cores that driver and executor share, so that a task costs
the driver at most this.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["DLCORE_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench_distributed import contexts, measured

from dlcore.optim.method import SGD
from dlcore.optim.update import combine
from dlcore.spark.wire import received, rounded

FOLDER = Path(__file__).resolve().parent
MILLIONS = 25
BATCHES = {"lenet": (64, 256), "inception_v1": (4, 16), "resnet50": (4, 12), "vgg16": (2, 6)}
TASKS = (100, 1000)


def median_ms(work: Callable[[], Any], rounds: int, clock: Callable[[], float] = time.process_time) -> float:
    """The median time of `work`, after one time that does not count."""
    times = []
    for _ in range(rounds + 1):
        start = clock()
        work()
        times.append(1e3 * (clock() - start))
    return statistics.median(times[1:])


def arithmetic(rounds: int) -> dict[str, float]:
    """Milliseconds for a million numbers."""
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal(MILLIONS * 10**6, dtype=np.float32) for _ in range(2))
    out, state = np.empty_like(first), np.empty_like(first)
    method = SGD(0.01, momentum=0.9, dampening=0.0)

    def change() -> None:
        out[...], state[...] = first, second
        method.slots = {"velocity": state}
        method.update(out, second)

    halves = rounded(first)
    works: dict[str, Callable[[], Any]] = {
        "add_ms": lambda: combine([first, second], [1, 1], out),
        "copy_ms": lambda: np.copyto(out, first),
        "round_ms": lambda: rounded(first, halves),
        "widen_ms": lambda: received(halves),
        "change_ms": change,
    }
    found = {name: median_ms(work, rounds) / MILLIONS for name, work in works.items()}
    found["add_ms"] /= 2  # two gradients
    return found


def scheduling(rounds: int, numbers: dict[str, float]) -> dict[str, float]:
    """Milliseconds of a job and of a task."""
    with contexts(is_cluster=False) as context:
        setting = argparse.Namespace(partitions=2, wire="fp32", steps=20 * rounds, no_naive=True)
        step = measured(context, 10**5, setting).sync_ms["ours"]
        times = []
        for count in TASKS:
            numbered = context._jvm.java.util.ArrayList()
            for number in range(count):
                numbered.add(number)
            job = context._jsc.parallelize(numbered, count)
            times.append(median_ms(job.count, 3 * rounds, time.perf_counter))
    task_ms = (times[1] - times[0]) / (TASKS[1] - TASKS[0])
    return {"job_ms": step - 0.1 * (2 * numbers["add_ms"] + numbers["change_ms"]), "task_ms": task_ms}


def records(model: str, rounds: int) -> dict[str, float]:
    """A model's milliseconds and megabytes of a record."""
    answers = [_steps(model, batch, rounds) for batch in BATCHES[model]]
    count = BATCHES[model][1] - BATCHES[model][0]
    (few_ms, few_mb), (many_ms, many_mb) = answers
    return {"record_ms": (many_ms - few_ms) / count, "record_mb": (many_mb - few_mb) / count}


def _steps(model: str, batch: int, rounds: int) -> tuple[float, float]:
    command = [sys.executable, str(FOLDER / "training_dlcore.py"), model, str(batch)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        found = []
        for _ in range(rounds + 1):
            process.stdin.write("1\n")
            process.stdin.flush()
            answer = next(line for line in process.stdout if line.startswith("answer")).split()
            found.append(1e3 * float(answer[2]))
        process.stdin.close()
    return statistics.median(found[1:]), float(answer[4])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--models", default=",".join(BATCHES))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    numbers = arithmetic(arguments.rounds)
    found: dict[str, Any] = {"machine": numbers | scheduling(arguments.rounds, numbers), "load": os.getloadavg()[0]}
    found["networks"] = {model: records(model, arguments.rounds) for model in arguments.models.split(",") if model}
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
