"""How many records a second are trained: forward, backward and update beside PyTorch and TensorFlow, on the same
threads.

    .venv/bin/python benchmarks/bench_training.py [--json] [--models lenet,ncf] [--batch 4] [--rounds 5]

Each contender is a process of its own; they take steps in turn and medians are compared. The peers' environments are
made by hand, `python3.11 -m venv .venv-bench-torch && .venv-bench-torch/bin/pip install torch numpy` and the same with
tensorflow-cpu; one that is not there has no row of its own, and the row says so. On a machine that others use too,
DLCORE_THREADS=1 BENCH_CLOCK=cpu compares the processor's time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training_contests import CONTESTS, THREADS

FOLDER = Path(__file__).resolve().parent
PEERS = {"torch": ".venv-bench-torch", "tensorflow": ".venv-bench-tensorflow"}
"""Name -> the folder of its environment, beside this one's."""
CLOCKS = {"wall": 0, "cpu": 1}
ENOUGH_S = 0.5  # a contender's turn takes so long at least: short steps are made several times
WARM = 2
"""Steps that are not counted."""


@dataclass
class Result:
    """A model: records a second of ours and of the better peer, their ratio; by contender rates, peak memory, or why
    there is none."""

    model: str
    batch: int
    threads: int
    clock: str
    load: float
    ours: float
    peer: float | None = None
    peer_name: str | None = None
    ratio: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class Contender:
    """A process that takes steps when it is asked to."""

    def __init__(self, python: Path, name: str, model: str, batch: int) -> None:
        command = [str(python), str(FOLDER / f"training_{name}.py"), model, str(batch)]
        threads = {"OMP_NUM_THREADS": str(THREADS), "DLCORE_THREADS": str(THREADS)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env={**os.environ, **threads}, **pipes)

    def take(self, steps: int) -> list[float]:
        """Wall and CPU seconds a step, the loss, the largest memory so far in MB.

        Raises:
            RuntimeError: the process has ended.
        """
        print(steps, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("answer "):
                return [float(word) for word in line.split()[1:]]
        raise RuntimeError(f"it ended with code {self._process.wait()}; its error is above")

    def close(self) -> None:
        """Let it end."""
        self._process.stdin.close()
        self._process.wait()


def contenders(model: str, batch: int) -> tuple[dict[str, Contender], dict[str, str]]:
    """All that can run here, warmed, and why others cannot."""
    found, missing = {}, {}
    pythons = {name: FOLDER.parent / folder / "bin" / "python" for name, folder in PEERS.items()}
    for name, python in {"dlcore": Path(sys.executable), **pythons}.items():
        if not python.exists():
            missing[name] = f"no environment {python.parents[1].name}"
            continue
        contender = Contender(python, name, model, batch)
        try:
            contender.take(WARM)
            found[name] = contender
        except RuntimeError as error:
            missing[name] = str(error)
    return found, missing


def measure(model: str, batch: int, rounds: int, clock: str) -> Result:
    """One model.

    Raises:
        SystemExit: ours does not run.
    """
    running, missing = contenders(model, batch)
    if "dlcore" not in running:
        raise SystemExit(missing["dlcore"])
    counts = {name: max(1, int(ENOUGH_S / one.take(1)[0])) for name, one in running.items()}
    answers: dict[str, list[list[float]]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, one in running.items():
            answers[name].append(one.take(counts[name]))
    rates = {name: batch / statistics.median(each[CLOCKS[clock]] for each in found) for name, found in answers.items()}
    result = Result(model, batch, THREADS, clock, os.getloadavg()[0], rates["dlcore"], rates=rates, missing=missing)
    result.peak_mb = {name: found[-1][3] for name, found in answers.items()}
    if peers := [name for name in rates if name != "dlcore"]:
        result.peer_name = max(peers, key=lambda name: rates[name])
        result.peer = rates[result.peer_name]
        result.ratio = result.ours / result.peer
    for one in running.values():
        one.close()
    return result


def _line(r: Result) -> str:
    ratio = f"{r.ratio:.2f} x {r.peer_name}" if r.ratio else "no peer"
    each = ", ".join(f"{name} {rate:.1f} a second and {r.peak_mb[name]:.0f} MB" for name, rate in r.rates.items())
    absent = "".join(f"; {name}: {reason}" for name, reason in r.missing.items())
    return f"{r.model} batch {r.batch}: {ratio} ({each}{absent}; load {r.load:.1f})"


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print a list of results as JSON")
    parser.add_argument("--models", default=",".join(CONTESTS), help="only these, joined by commas")
    parser.add_argument("--batch", type=int, help="a batch size in place of the models' own")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if unknown := set(given.models.split(",")) - set(CONTESTS):
        parser.error(f"got {', '.join(sorted(unknown))}, expected some of {', '.join(CONTESTS)}")
    results = []
    for model in given.models.split(","):
        batch = given.batch or CONTESTS[model].batch
        results.append(measure(model, batch, given.rounds, os.environ.get("BENCH_CLOCK", "wall")))
        if not given.json:
            print(_line(results[-1]), flush=True)
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
