"""How many images a second: our plans beside OpenVINO and ONNX Runtime, the same fp32 weights, the same threads.

Run in the environment of the benchmarks: `.venv-bench/bin/python benchmarks/bench_inference.py [--json]`.
The three run alternately, image batch by image batch; medians are compared, and all outputs are checked to agree.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import openvino  # noqa: E402

from benchmarks.onnx_file import write_onnx  # noqa: E402
from dlcore.activity import leaves  # noqa: E402
from dlcore.inference import compile  # noqa: E402
from dlcore.models.ssd import ssd, ssd300_vgg16  # noqa: E402
from dlcore.models.vgg import vgg16  # noqa: E402
from dlcore.nn.module import Module  # noqa: E402
from dlcore.rng import RNG  # noqa: E402

Runner = Callable[[np.ndarray], list[np.ndarray]]
MODELS: dict[str, tuple[Callable[[], Module], int]] = {
    "ssd300": (lambda: ssd(ssd300_vgg16()), 300),
    "vgg16": (vgg16, 224),
}
PAUSE_S = 0.02  # lets the threads of the one before fall asleep, so that they don't spin in the next one's time


@dataclass
class Result:
    """One line: images per second of ours and of the better peer."""

    model: str
    precision: str
    batch: int
    ours: float
    peer: float
    peer_name: str
    ratio: float


def ours(model: Module, shape: tuple[int, ...]) -> Runner:
    """Our plan."""
    plan = compile(model, shape, threads=THREADS)
    return lambda x: list(leaves(plan(x)))


def openvino_runner(path: Path, shape: tuple[int, ...]) -> Runner:
    """OpenVINO on the same threads, arithmetic in fp32 (its default is bf16 where the CPU has it)."""
    settings = {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def run(x: np.ndarray) -> list[np.ndarray]:
        result = request.infer([x], share_inputs=True, share_outputs=True)
        return [result[i] for i in range(len(compiled.outputs))]

    return run


def onnxruntime_runner(path: Path, shape: tuple[int, ...]) -> Runner:
    """ONNX Runtime on the same threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def seconds(run: Runner, x: np.ndarray) -> float:
    """One call."""
    time.sleep(PAUSE_S)
    start = time.perf_counter()
    run(x)
    return time.perf_counter() - start


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
    build, side = MODELS[name]
    model = build().evaluate()
    shape = (batch, 3, side, side)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.onnx")
        write_onnx(model, shape, path)
        runners = {
            "ours": ours(model, shape),
            "openvino": openvino_runner(path, shape),
            "onnxruntime": onnxruntime_runner(path, shape),
        }
        check_agreement(runners, x)
        times: dict[str, list[float]] = {key: [] for key in runners}
        for _ in range(rounds):
            for key, run in runners.items():
                times[key].append(seconds(run, x))
    rates = {key: batch / float(np.median(values)) for key, values in times.items()}
    best = max((key for key in rates if key != "ours"), key=lambda key: rates[key])
    return Result(name, "fp32", batch, rates["ours"], rates[best], best, rates["ours"] / rates[best])


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of results as JSON")
    parser.add_argument("--model", choices=MODELS, action="append", help="only these")
    parser.add_argument("--batch", type=int, action="append", help="batch sizes (1 and 4)")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    results = [measure(name, b, given.rounds) for name in given.model or MODELS for b in given.batch or (1, 4)]
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
        return
    for r in results:
        print(f"{r.model} batch {r.batch}: {r.ratio:.2f} x {r.peer_name} ({r.ours:.1f} against {r.peer:.1f} images/s)")


if __name__ == "__main__":
    main()
