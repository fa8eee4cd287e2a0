"""Predict what a training on Spark costs: the time of a step, synchronisation's share of it, the memory of a worker.

    python -m dlcore.spark.plan --model vgg16 --workers 256 --bandwidth 10Gb [--batch 32] [--wire fp16] [--rate 1]

A worker is a task with one core of its own and, for the network, a machine of its own. The constants below were
measured by benchmarks/bench_plan.py on the machine that they name; what more than two workers cost is arithmetic from
them, which no cluster has confirmed yet. It assumes that all machines send and receive at full bandwidth at once, and
that no task is late.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from typing import get_args

from dlcore.optim.exchange import WireFormat
from dlcore.spark.crew import ONE_JOB_VALUES

FP32, HALF = 4, 2
"""Bytes of a number."""
STEPS_KEPT = 3
"""Steps whose blocks a store holds at once."""
SLOTS = 1
"""Arrays that the method keeps beside the weights: SGD with momentum has one, Adam two."""


@dataclass(frozen=True)
class Network:
    """weights: their number. record_ms: of one core, to train one record. record_mb: activations of a record."""

    weights: int
    record_ms: float
    record_mb: float


@dataclass(frozen=True)
class Machine:
    """Constants of one machine. job_ms: a step's job of few tasks. task_ms: each of its tasks more, on the driver.

    The others are of one core, for a million numbers: add_ms for a gradient to be added, change_ms for weights to be
    changed together with a copy of the method's state, copy_ms for weights to be put together or a gradient to be
    cleared, round_ms and widen_ms for the way to 16 bits and back.
    """

    name: str
    job_ms: float
    task_ms: float
    add_ms: float
    change_ms: float
    copy_ms: float
    round_ms: float
    widen_ms: float


MACHINE = Machine(
    "one of two CPUs of an AMD EPYC with AVX2 that share a core and had other work too",
    job_ms=163.0,
    task_ms=0.98,
    add_ms=0.95,
    change_ms=1.89,
    copy_ms=0.61,
    round_ms=1.29,
    widen_ms=1.11,
)
"""Jobs and tasks are by the clock, at a load of 13 to 16: an idle machine takes less."""
NETWORKS = {
    "inception_v1": Network(6_998_552, 149.0, 14.7),
    "lenet": Network(22_278, 0.11, 0.0),
    "resnet50": Network(25_557_032, 458.0, 115.0),
    "vgg16": Network(138_357_544, 713.0, 50.3),
}
"""The processor's time on the same core. LeNet's activations are lost in what a process needs anyway."""
PUBLISHED = {
    "inception_v1": (
        "BigDL 0.3 on two-socket Broadwells at 2.1 GHz: throughput grows almost linearly to 128 nodes, and goes on "
        "growing to 256 (its white paper, figure 7)",
        "BigDL: synchronisation takes less than 7 % of the computing time (arXiv:1804.05839)",
        "BigDL: launching tasks takes more than 10 % of the computing time with close to 500 tasks (its white paper, "
        "figure 8)",
    )
}
"""What others have measured, by model; their nodes have many cores."""


@dataclass(frozen=True)
class Setting:
    """A training. batch: records of a worker in a step. bandwidth: bits a second into and out of a machine, each. rate:
    speed of a worker's computing, as a multiple of the measured core's."""

    network: Network
    workers: int
    batch: int
    bandwidth: float
    wire: WireFormat = "fp32"
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not (self.workers >= 1 and self.batch >= 1 and self.bandwidth > 0 and self.rate > 0):
            raise ValueError(
                f"got {self.workers} workers, a batch of {self.batch}, {self.bandwidth:g} bits a second and a rate of "
                f"{self.rate:g}, expected at least one worker and record, and numbers above 0"
            )

    @property
    def jobs(self) -> int:
        """Spark jobs of a step."""
        return 1 if self.network.weights * self.workers <= ONE_JOB_VALUES else 2

    @property
    def sent_bytes(self) -> int:
        """Bytes of a number on the way."""
        return HALF if self.wire == "fp16" else FP32


@dataclass(frozen=True)
class Prediction:
    """Seconds of a step, by what takes them, and the bytes of a worker."""

    compute_s: float
    schedule_s: float
    network_s: float
    arithmetic_s: float
    memory_bytes: float

    @property
    def sync_s(self) -> float:
        """All but the gradients' computation."""
        return self.schedule_s + self.network_s + self.arithmetic_s

    @property
    def step_s(self) -> float:
        """The whole step."""
        return self.compute_s + self.sync_s

    @property
    def share(self) -> float:
        """Synchronisation's share of the step, from 0 to 1."""
        return self.sync_s / self.step_s


def predicted(setting: Setting, machine: Machine = MACHINE) -> Prediction:
    """What a step of a training costs."""
    s = setting
    compute_ms = s.batch * s.network.record_ms / s.rate
    schedule_ms = s.jobs * (machine.job_ms + s.workers * machine.task_ms)
    network_s = 8 * received_bytes(s) / s.bandwidth
    return Prediction(
        compute_ms / 1e3, schedule_ms / 1e3, network_s, _arithmetic_ms(s, machine) / 1e3, _memory_bytes(setting)
    )


def received_bytes(setting: Setting) -> float:
    """Bytes that a worker receives in a step, and sends: all other gradients; in two jobs its slice of them, and the
    others' slices of the weights."""
    values, others = setting.network.weights, setting.workers - 1
    return setting.sent_bytes * values * (others if setting.jobs == 1 else 2 * others / setting.workers)


def _arithmetic_ms(setting: Setting, machine: Machine) -> float:
    millions, workers = setting.network.weights / 1e6, setting.workers
    if setting.jobs == 1:  # each task does all
        added, changed, copied = workers * millions, millions, millions
    else:  # each owner does its slice
        added, changed, copied = millions, millions / workers, 2 * millions
    total = added * machine.add_ms + changed * machine.change_ms + copied * machine.copy_ms
    if setting.wire == "fp16":
        weights = millions if setting.jobs == 1 else millions / workers
        total += (millions + weights) * machine.round_ms + (added + millions) * machine.widen_ms
    return total


def _memory_bytes(setting: Setting) -> float:
    """Weights at the start and now, the gradients and the states of the steps that are kept, those that are fetched,
    and activations."""
    values, sent, workers = setting.network.weights, setting.sent_bytes, setting.workers
    owned = values if setting.jobs == 1 else values / workers
    fetched = values * (workers if setting.jobs == 1 else 1) * FP32
    blocks = STEPS_KEPT * (values * sent + owned * FP32 * (1 + SLOTS))
    unrounded = values * FP32 if setting.wire == "fp16" else 0
    return 2 * values * FP32 + blocks + fetched + unrounded + setting.batch * setting.network.record_mb * 1e6


def bits_of(text: str) -> float:
    """Bits a second: "10Gb", "100Mb" or "2.5Gbit/s".

    Raises:
        ArgumentTypeError: something else, such as bytes.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MG])b(?:it)?(?:/s)?", text)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected bits a second, such as 10Gb or 100Mb")
    return float(found[1]) * {"M": 1e6, "G": 1e9}[found[2]]


def counts(workers: int) -> list[int]:
    """Numbers of workers to show: the powers of 2 below, and `workers`."""
    return [1 << power for power in range(workers.bit_length()) if 1 << power < workers] + [workers]


def table(arguments: argparse.Namespace) -> str:
    """What is predicted for numbers of workers up to that which is asked for.

    Raises:
        ValueError: a number makes no sense.
    """
    network = NETWORKS[arguments.model]
    lines = [
        f"{arguments.model}: {network.weights:,} weights, {arguments.batch} records of a worker in a step, "
        f"{arguments.wire}; constants of {MACHINE.name}",
        "workers  jobs  step s  synchronisation s  share  scheduling s  network s  records/s  memory of a worker GB",
    ]
    for workers in counts(arguments.workers):
        setting = Setting(network, workers, arguments.batch, arguments.bandwidth, arguments.wire, arguments.rate)
        found = predicted(setting)
        lines.append(
            f"{workers:7}  {setting.jobs:4}  {found.step_s:6.3g}  {found.sync_s:17.3g}  {found.share:5.1%}"
            f"  {found.schedule_s:12.3g}  {found.network_s:9.3g}  {workers * arguments.batch / found.step_s:9.4g}"
            f"  {found.memory_bytes / 1e9:21.2f}"
        )
    return "\n".join([*lines, *(f"published: {text}" for text in PUBLISHED.get(arguments.model, ()))])


def main(given: list[str] | None = None) -> None:
    """Print what is predicted."""
    parser = argparse.ArgumentParser(
        prog="python -m dlcore.spark.plan", description="Predict what a training on Spark costs."
    )
    parser.add_argument("--model", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--workers", type=int, required=True, help="one-core tasks, each on a machine of its own")
    parser.add_argument("--bandwidth", type=bits_of, required=True, help="of a machine, such as 10Gb: bits a second")
    parser.add_argument("--batch", type=int, default=32, help="records of a worker in a step")
    parser.add_argument("--wire", choices=get_args(WireFormat), default="fp32")
    parser.add_argument("--rate", type=float, default=1.0, help="a worker's speed in computing: 1 is the measured core")
    arguments = parser.parse_args(given)
    try:
        print(table(arguments))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
