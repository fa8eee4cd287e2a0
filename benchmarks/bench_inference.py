"""How many images (texts, pairs) a second: our plans beside OpenVINO and ONNX Runtime, the same weights, the same
threads.

Run in the environment of the benchmarks: `.venv-bench/bin/python benchmarks/bench_inference.py [--json] [--models
ssd300,vgg16]`.
They run alternately, batch by batch; medians are compared, and all outputs are checked to agree. On a machine that
others use too, DLCORE_THREADS=1 BENCH_CLOCK=cpu compares the processor's time.

`--precisions fp32,bf16,int8`: the peer of bf16 and int8 is OpenVINO, whose int8 is NNCF's, on the samples that
calibrate ours. In fewer bits than fp32 the rows also say how far both are from fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

THREADS = int(os.environ.get("DLCORE_THREADS", "2"))
os.environ["OMP_NUM_THREADS"] = str(THREADS)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nncf  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import openvino  # noqa: E402

from benchmarks.onnx_file import write_onnx  # noqa: E402
from dlcore.activity import leaves  # noqa: E402
from dlcore.inference import Plan, calibrate, compile  # noqa: E402
from dlcore.inference.precision import PRECISIONS  # noqa: E402
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
SAMPLES = 8  # that calibrate int8, or as many as a batch has
LOW_BITS = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PAUSE_S = 0.02  # lets the threads of the one before fall asleep, so that they don't spin in the next one's time
ENOUGH_S = 0.05  # a contender's turn takes so long at least: short calls are made several times


CORES = {"wall": THREADS, "cpu": 1}
"""How many cores' work a second of each clock holds: the processor's time is the sum over all threads."""


def clock_name() -> str:
    """BENCH_CLOCK: "wall" or, where others use the machine, "cpu"."""
    return os.environ.get("BENCH_CLOCK", "wall")


def clock() -> float:
    """Seconds by `clock_name`; of "cpu" what this process has used, threads that wait included."""
    return CLOCKS[clock_name()]()


@dataclass(frozen=True)
class Contest:
    """A model, the shape of one of its inputs, the batch sizes. words: above 0, inputs are whole numbers from 1 to
    it."""

    build: Callable[[], Module]
    row: tuple[int, ...]
    batches: tuple[int, ...] = (1, 4)
    words: int = 0

    def inputs(self, batch: int, seed: int = 0) -> np.ndarray:
        rng, shape = np.random.default_rng(seed), (batch, *self.row)
        return rng.integers(1, self.words + 1, shape) if self.words else rng.standard_normal(shape, dtype=np.float32)

    def is_pictures(self) -> bool:
        """Whether it takes pictures, which are what others compute in few bits too."""
        return len(self.row) > 2


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
    """One line: rows of input per second of ours and of the better peer, and ours as a share of the fp32 peak of as
    many threads.

    error, peer_error: the mean distance from fp32, as shares of the largest value.
    """

    model: str
    precision: str
    batch: int
    ours: float
    peer: float
    peer_name: str
    ratio: float
    of_peak: float | None
    cpu: str
    error: float = 0.0
    peer_error: float = 0.0


def ours(plan: Plan) -> Runner:
    """Our plan."""
    return lambda x: list(leaves(plan(x)))


def openvino_runner(path: Path, precision: str, samples: np.ndarray) -> Runner:
    """OpenVINO on the same threads (its default is bf16 where the CPU has it); int8 by NNCF, the rest of that in
    fp32."""
    core = openvino.Core()
    model = core.read_model(str(path))
    if precision == "int8":
        batch = model.inputs[0].shape[0]
        given = nncf.Dataset([samples[i : i + batch] for i in range(0, len(samples), batch)])
        with redirect_stdout(sys.stderr):  # its progress
            model = nncf.quantize(model, given, subset_size=len(samples) // batch)
    hint = "bf16" if precision == "bf16" else "f32"
    compiled = core.compile_model(model, "CPU", {**LOW_BITS, "INFERENCE_PRECISION_HINT": hint})
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


LIMITS = {"fp32": 1e-3, "bf16": 0.05, "int8": 0.2}
"""Precision -> the mean distance from fp32 from which on a result is wrong. The weights are random: trained ones are
nearer."""


def errors(exact: Plan, runners: dict[str, Runner], x: np.ndarray, precision: str) -> dict[str, float]:
    """How far each is from our fp32: the mean, for fp32 itself the largest, as a share of the largest value, of the
    worst output.

    Raises:
        SystemExit: one is too far.
    """
    wanted, worst = list(leaves(exact(x))), np.max if precision == "fp32" else np.mean
    found = {}
    for name, run in runners.items():
        pairs = zip(wanted, run(x), strict=True)
        found[name] = max(float(worst(np.abs(one - other)) / np.abs(one).max()) for one, other in pairs)
        if not found[name] < LIMITS[precision]:
            raise SystemExit(
                f"{name}: outputs differ by {found[name]:.2g} of their range, expected below {LIMITS[precision]}"
            )
    return found


def contenders(name: str, precision: str, batch: int, exact: Plan, path: Path) -> tuple[Plan, dict[str, Runner]]:
    """Our plan, and all that run the model: ONNX Runtime only in fp32."""
    samples = MODELS[name].inputs(max(SAMPLES, batch), seed=1)
    calibration = calibrate(exact, samples) if precision == "int8" else None
    plan = compile(exact.model, exact.input_shape, precision, threads=THREADS, calibration=calibration)
    runners = {"ours": ours(plan), "openvino": openvino_runner(path, precision, samples)}
    if precision == "fp32":
        runners["onnxruntime"] = onnxruntime_runner(path)
    return plan, runners


def rates(runners: dict[str, Runner], x: np.ndarray, rounds: int) -> dict[str, float]:
    """Rows a second of each: the median of some rounds, in which all take turns."""
    counts = {key: max(1, int(ENOUGH_S / seconds(run, x, 1))) for key, run in runners.items()}
    times: dict[str, list[float]] = {key: [] for key in runners}
    for _ in range(rounds):
        for key, run in runners.items():
            times[key].append(seconds(run, x, counts[key]))
    return {key: len(x) / float(np.median(values)) for key, values in times.items()}


def measure(name: str, batch: int, rounds: int, precisions: Sequence[str]) -> Iterator[Result]:
    """One model at one batch size."""
    RNG.set_seed(1)
    contest = MODELS[name]
    model, x = contest.build().evaluate(), contest.inputs(batch)
    exact = compile(model, x.shape, threads=THREADS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.onnx")
        write_onnx(model, x, path)
        for precision in precisions if contest.is_pictures() else set(precisions) & {"fp32"}:
            plan, runners = contenders(name, precision, batch, exact, path)
            far = errors(exact, runners, x, precision)
            found = rates(runners, x, rounds)
            best = max((key for key in found if key != "ours"), key=lambda key: found[key])
            speed, limit = plan.work / batch * found["ours"] / 1e9, peak(clock)
            share = speed / (limit * CORES[clock_name()]) if limit else None
            ratio = found["ours"] / found[best]
            numbers = (found["ours"], found[best], best, ratio, share, cpu.model(), far["ours"], far[best])
            yield Result(name, precision, batch, *numbers)


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"got {', '.join(sorted(unknown))}, expected some of {', '.join(known)}")
        return names

    return parse


def _line(r: Result) -> str:
    share = f", {r.of_peak:.0%} of the fp32 peak" if r.of_peak else ""
    far = f"; mean error {r.error:.2g}, theirs {r.peer_error:.2g}" if r.precision != "fp32" else ""
    return f"{r.model} {r.precision} batch {r.batch}: {r.ratio:.2f} x {r.peer_name} ({r.ours:.1f} a second{share}{far})"


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of results as JSON")
    parser.add_argument(
        "--models", type=_names(tuple(MODELS)), default=list(MODELS), help="only these, joined by commas"
    )
    parser.add_argument("--precisions", type=_names(PRECISIONS), default=["fp32"], help="of fp32, bf16, int8")
    parser.add_argument("--batch", type=int, action="append", help="batch sizes in place of the models' own")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    results = []
    for name in given.models:
        for batch in given.batch or MODELS[name].batches:
            for result in measure(name, batch, given.rounds, given.precisions):
                results.append(result)
                if not given.json:
                    print(_line(result), flush=True)
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
