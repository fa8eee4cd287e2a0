"""How many images (texts, pairs) a second: our plans beside OpenVINO and ONNX Runtime, the same fp32 weights, the same threads.

Run in the environment of the benchmarks: `.venv-bench/bin/python benchmarks/bench_inference.py [--json] [--models ssd300,vgg16]`.
The three run alternately, batch by batch; medians are compared, and all outputs are checked to agree. On a machine that others use
too, DLCORE_THREADS=1 BENCH_CLOCK=cpu compares the processor's time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

THREADS = int(os.environ.get("DLCORE_THREADS", "2"))
os.environ["OMP_NUM_THREADS"] = str(THREADS)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import openvino  # noqa: E402

from benchmarks.onnx_file import write_onnx  # noqa: E402
from dlcore.activity import leaves  # noqa: E402
from dlcore.inference import Plan, compile  # noqa: E402
from dlcore.kernels import cpu  # noqa: E402
from dlcore.kernels.__main__ import peak  # noqa: E402
from dlcore.models.efficientnet_lite import efficientnet_lite  # noqa: E402
from dlcore.models.inception import inception_v1_no_aux_classifier  # noqa: E402
from dlcore.models.language_model import lstm_language_model  # noqa: E402
from dlcore.models.mobilenet import mobilenet_v2  # noqa: E402
from dlcore.models.ncf import neural_cf  # noqa: E402
from dlcore.models.resnet import resnet  # noqa: E402
from dlcore.models.ssd import ssd, ssd300_vgg16  # noqa: E402
from dlcore.models.text_classifier import text_classifier  # noqa: E402
from dlcore.models.vgg import vgg16  # noqa: E402
from dlcore.nn.module import Module  # noqa: E402
from dlcore.rng import RNG  # noqa: E402

Runner = Callable[[np.ndarray], list[np.ndarray]]
PRECISIONS = ("fp32",)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PAUSE_S = 0.02  # lets the threads of the one before fall asleep, so that they don't spin in the next one's time
ENOUGH_S = 0.05  # a contender's turn takes so long at least: short calls are made several times


def clock() -> float:
    """Seconds by BENCH_CLOCK: "wall" or, where others use the machine, "cpu": what this process has used, threads that wait included."""
    return CLOCKS[os.environ.get("BENCH_CLOCK", "wall")]()


@dataclass(frozen=True)
class Contest:
    """A model, the shape of one of its inputs, the batch sizes. words: above 0, inputs are whole numbers from 1 to it."""

    build: Callable[[], Module]
    row: tuple[int, ...]
    batches: tuple[int, ...] = (1, 4)
    words: int = 0

    def inputs(self, batch: int) -> np.ndarray:
        rng, shape = np.random.default_rng(0), (batch, *self.row)
        return rng.integers(1, self.words + 1, shape) if self.words else rng.standard_normal(shape, dtype=np.float32)


MODELS = {
    "ssd300": Contest(lambda: ssd(ssd300_vgg16()), (3, 300, 300)),
    "vgg16": Contest(vgg16, (3, 224, 224)),
    "resnet50": Contest(lambda: resnet(50), (3, 224, 224)),
    "mobilenet_v2": Contest(mobilenet_v2, (3, 224, 224)),
    "efficientnet_lite0": Contest(efficientnet_lite, (3, 224, 224)),
    "inception_v1": Contest(lambda: inception_v1_no_aux_classifier(1000), (3, 224, 224)),
    "lstm_lm": Contest(lambda: lstm_language_model(10000, 650, 10000, 2), (35,), (1, 20), 10000),
    "text_cnn": Contest(lambda: text_classifier(20, "cnn", 200, 500), (200, 500), (1, 32)),
    "ncf": Contest(lambda: neural_cf(6040, 3706, 5), (2,), (256,), 3706),
}


@dataclass
class Result:
    """One line: rows of input per second of ours and of the better peer, and ours as a share of the peak of as many threads."""

    model: str
    precision: str
    batch: int
    ours: float
    peer: float
    peer_name: str
    ratio: float
    of_peak: float | None
    cpu: str


def ours(plan: Plan) -> Runner:
    """Our plan."""
    return lambda x: list(leaves(plan(x)))


def openvino_runner(path: Path) -> Runner:
    """OpenVINO on the same threads, arithmetic in fp32 (its default is bf16 where the CPU has it)."""
    settings = {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def run(x: np.ndarray) -> list[np.ndarray]:
        result = request.infer([x], share_inputs=True, share_outputs=True)
        return [result[i] for i in range(len(compiled.outputs))]

    return run


def onnxruntime_runner(path: Path) -> Runner:
    """ONNX Runtime on the same threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def seconds(run: Runner, x: np.ndarray, times: int) -> float:
    """One call, the mean of `times`, by the chosen clock."""
    time.sleep(PAUSE_S)
    start = clock()
    for _ in range(times):
        run(x)
    return (clock() - start) / times


def check_agreement(runners: dict[str, Runner], x: np.ndarray) -> None:
    """All compute the same.

    Raises:
        SystemExit: they do not.
    """
    results = {name: run(x) for name, run in runners.items()}
    for name, result in results.items():
        for mine, theirs in zip(results["ours"], result, strict=True):
            error = float(np.abs(mine - theirs).max() / np.abs(mine).max())
            if not error < 1e-3:
                raise SystemExit(f"{name}: outputs differ by {error:.2g} of their range, expected below 0.001")


def measure(name: str, batch: int, rounds: int) -> Result:
    """One model at one batch size."""
    RNG.set_seed(1)
    contest = MODELS[name]
    model, x = contest.build().evaluate(), contest.inputs(batch)
    plan = compile(model, x.shape, threads=THREADS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.onnx")
        write_onnx(model, x, path)
        runners = {"ours": ours(plan), "openvino": openvino_runner(path), "onnxruntime": onnxruntime_runner(path)}
        check_agreement(runners, x)
        counts = {key: max(1, int(ENOUGH_S / seconds(run, x, 1))) for key, run in runners.items()}
        times: dict[str, list[float]] = {key: [] for key in runners}
        for _ in range(rounds):
            for key, run in runners.items():
                times[key].append(seconds(run, x, counts[key]))
    rates = {key: batch / float(np.median(values)) for key, values in times.items()}
    best = max((key for key in rates if key != "ours"), key=lambda key: rates[key])
    speed, limit = plan.work / batch * rates["ours"] / 1e9, peak()
    share = speed / (limit * THREADS) if limit else None
    return Result(
        name, "fp32", batch, rates["ours"], rates[best], best, rates["ours"] / rates[best], share, cpu.model()
    )


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"got {', '.join(sorted(unknown))}, expected some of {', '.join(known)}")
        return names

    return parse


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of results as JSON")
    parser.add_argument(
        "--models", type=_names(tuple(MODELS)), default=list(MODELS), help="only these, joined by commas"
    )
    parser.add_argument("--precisions", type=_names(PRECISIONS), default=list(PRECISIONS), help="only these")
    parser.add_argument("--batch", type=int, action="append", help="batch sizes in place of the models' own")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    results = []
    for name in given.models:
        for batch in given.batch or MODELS[name].batches:
            results.append(measure(name, batch, given.rounds))
            if not given.json:
                r = results[-1]
                share = f", {r.of_peak:.0%} of the peak" if r.of_peak else ""
                print(
                    f"{r.model} {r.precision} batch {r.batch}: {r.ratio:.2f} x {r.peer_name} ({r.ours:.1f} a second{share})"
                )
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
