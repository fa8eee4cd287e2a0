"""How many images a second the five jobs of a day make of SSD300-VGG16 and VGG16-DeepBit, beside the bare plans on the
same cores.

Run as the other benchmarks: `.venv-bench/bin/python benchmarks/bench_pipeline.py [--images 256] [--json]`.

A stack of its own (HBase, Thrift, Spark Connect) runs three days: one that warms the server up; one of a few images,
whose staging time is that of the start (workers, loading and packing the models, empty commits); and the measured one.
What the third takes longer than the second is the time of its further images. The bare plans run one after the other on
ready input, a process of one thread per core, before and after the days. Weights are random; the detector's threshold
lets some hundred boxes pass.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
CACHE = PROJECT / "build" / "bench_pipeline"
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", DLCORE_CACHE=str(CACHE / "cache"))
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402

from deploy.services import free_offset, running  # noqa: E402
from deploy.stack import Stack  # noqa: E402
from dlcore import kernels  # noqa: E402
from dlcore.activity import leaves  # noqa: E402
from dlcore.inference import Plan, compile  # noqa: E402
from dlcore.interop.artefact import load_artefact, save_artefact  # noqa: E402
from dlcore.models.deepbit import deepbit_vgg16  # noqa: E402
from dlcore.models.ssd import ssd, ssd300_vgg16  # noqa: E402
from dlcore.rng import RNG  # noqa: E402
from dlcore.vision import detector as detection  # noqa: E402
from dlcore.vision import extractor as extraction  # noqa: E402
from dlcore.vision.pixels import resized  # noqa: E402
from dlcore.vision.preprocessing import DEEPBIT_VGG16, SSD_VGG16, Preprocessing  # noqa: E402
from sample_data.catalogue.bad_images import BAD_IMAGES, sample_picture  # noqa: E402
from sample_data.catalogue.demo import DEMO_SEED, write_catalogue  # noqa: E402
from spark_jobs.hbase.manifest import Entry, entries_of  # noqa: E402
from spark_jobs.load_images import load  # noqa: E402
from spark_jobs.pipeline import Stage, session_id, stages_of  # noqa: E402
from spark_jobs.settings import Settings  # noqa: E402

DAG = "image_pipeline"
DETECTOR, EXTRACTOR = "ssd300-vgg16", "deepbit-vgg16"
OPTIONS = {"detect_objects": ("--detector", DETECTOR), "extract_features": ("--extractor", EXTRACTOR)}
WARM_UP_DAY, FEW_DAY, MEASURED_DAY = (date(2026, 11, day) for day in (1, 2, 3))
BITS = 128
PASSING_SHARE = 0.1
"""Share of the detector's 8732 priors that its threshold lets pass."""
IN_TURN = extraction.BATCH
"""Images that a bare process takes through the detector, then through the extractor."""


@dataclass(frozen=True)
class StageTimes:
    """Seconds of one stage: of its start (workers, models, an empty commit), of its images, of audit and publication,
    and of the whole process."""

    stage: str
    start_up_s: float
    images_s: float
    audit_s: float
    process_s: float


@dataclass(frozen=True)
class Result:
    """Images a second, and seconds. ratio: of the jobs to the plans; `_with_start`: start-up, audits and processes
    included.

    hbase_wait_share: of the time of the reading tasks, what they waited for HBase.
    """

    images: int
    cores: int
    plans: float
    jobs: float
    ratio: float
    jobs_with_start: float
    ratio_with_start: float
    hbase_wait_s: float
    hbase_wait_share: float
    stages: list[StageTimes]


def write_models(folder: Path) -> None:
    """Write both artefacts, unless they are there."""
    if not (folder / DETECTOR).exists():
        RNG.set_seed(1)
        config = ssd300_vgg16()
        model = ssd(config)
        levels = tuple(source.priors for source in config.sources)
        settings = detection.DetectorSettings(config.classes, levels, SSD_VGG16, 0.0)
        outputs = list(leaves(compile(model, (1, 3, SSD_VGG16.size, SSD_VGG16.size))(one_input(SSD_VGG16))))
        sureness = 1.0 - kernels.softmax(outputs[1][0], 1)[:, 0]
        threshold = float(np.quantile(sureness, 1.0 - PASSING_SHARE))
        save_artefact(folder / DETECTOR, model, replace(settings, threshold=threshold).metadata())
    if not (folder / EXTRACTOR).exists():
        RNG.set_seed(2)
        metadata = {"kind": "deepbit", "preprocessing": DEEPBIT_VGG16.metadata(), "threshold": 0.0}
        save_artefact(folder / EXTRACTOR, deepbit_vgg16(BITS), metadata)


def one_input(preprocessing: Preprocessing) -> np.ndarray:
    """(1, 3, S, S) of a generated picture."""
    pixels = np.asarray(sample_picture(np.random.default_rng(1)))
    return preprocessing.normalise(resized(pixels, preprocessing.resize)[None])


def bare_plans(folder: Path, images: int, processes: int) -> float:
    """Images a second of both plans back to back, in processes of one thread."""
    context = get_context("spawn")
    turns = max(1, round(images / processes / IN_TURN))
    with context.Manager() as manager, ProcessPoolExecutor(processes, context) as pool:
        together = manager.Barrier(processes)
        waiting = [pool.submit(_bare_process, folder, turns, together) for _ in range(processes)]
        seconds = max(future.result() for future in waiting)
    return processes * turns * IN_TURN / seconds


def _bare_process(folder: Path, turns: int, together: Any) -> float:
    detector = _plan(folder / DETECTOR, detection.BATCH, SSD_VGG16)
    extractor = _plan(folder / EXTRACTOR, extraction.BATCH, DEEPBIT_VGG16)
    first, second = (np.zeros(plan.input_shape, np.float32) for plan in (detector, extractor))
    for plan, x, settings in ((detector, first, SSD_VGG16), (extractor, second, DEEPBIT_VGG16)):
        x[:] = one_input(settings)
        plan(x)
    together.wait()
    start = time.perf_counter()
    for _ in range(turns):
        for _ in range(IN_TURN // detection.BATCH):
            detector(first)
        extractor(second)
    return time.perf_counter() - start


def _plan(folder: Path, batch: int, preprocessing: Preprocessing) -> Plan:
    return compile(load_artefact(folder).model, (batch, 3, preprocessing.size, preprocessing.size))


def write_images(folder: Path, few: int, many: int) -> list[Entry]:
    """Good images of a generated catalogue, `few` of the first two days each and `many` of the measured one."""
    days = [*[WARM_UP_DAY] * few, *[FEW_DAY] * few, *[MEASURED_DAY] * many]
    total = len(days)
    manifest = write_catalogue(folder, [MEASURED_DAY], DEMO_SEED, per_day=max(total + len(BAD_IMAGES), 100))
    entries = [entry for entry in entries_of(manifest) if not entry.key.startswith("bad-")][:total]
    return [replace(entry, day=day) for entry, day in zip(entries, days, strict=True)]


def run_day(stack: Stack, day: date) -> dict[str, dict[str, Any]]:
    """The run report of each job of a day, with the seconds of its process."""
    return {stage.name: _run_job(stack, stage, day) for stage in stages_of(DAG)}


def _run_job(stack: Stack, stage: Stage, day: date) -> dict[str, Any]:
    run, environment = f"bench__{day}", stack.full_environment()
    remote = f"{environment['PIPELINE_CONNECT_URL']}/;session_id={session_id(DAG, run)}"
    line = ["--run", run, "--attempt", "1", "--day", str(day), "--remote", remote, *OPTIONS.get(stage.name, ())]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", stage.module, *line], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if report["status"] != "published":
        raise SystemExit(f"{stage.name} of {day}: {report['error']}")
    return report | {"process_s": time.perf_counter() - start}


def measure(few: int, many: int) -> Result:
    """Run everything once."""
    models = CACHE / "artefacts"
    write_models(models)
    with tempfile.TemporaryDirectory() as home:
        overrides = {"PIPELINE_MODELS": f"file://{models}"}
        stack = Stack(Path(home), free_offset(), overrides=overrides)
        entries = write_images(Path(home, "catalogue"), few, many)
        with running(stack, ("thrift", "connect")):
            load(Settings.from_environment(stack.environment()), entries)
            before = bare_plans(models, many, stack.cores)
            _, start, measured = (run_day(stack, day) for day in (WARM_UP_DAY, FEW_DAY, MEASURED_DAY))
            after = bare_plans(models, many, stack.cores)
    times = [_times(name, start[name], measured[name], few, many) for name in measured]
    return _result(many, stack.cores, 2 / (1 / before + 1 / after), times, measured["read_images"])


def _times(name: str, first: dict[str, Any], measured: dict[str, Any], few: int, many: int) -> StageTimes:
    """The start is what the day of few images leaves of its staging when the time of those is taken off."""
    small, large = first["seconds"]["stage"], measured["seconds"]["stage"]
    images_s = (large - small) * many / (many - few)
    audit_s = measured["seconds"]["audit"] + measured["seconds"]["publish"]
    return StageTimes(name, large - images_s, images_s, audit_s, measured["process_s"])


def _result(images: int, cores: int, plans: float, stages: list[StageTimes], reading: dict[str, Any]) -> Result:
    jobs = images / sum(stage.images_s for stage in stages)
    with_start = images / sum(stage.process_s for stage in stages)
    wait_s = float(reading["extra"]["hbase"]["wait_s"])
    share = wait_s / (cores * reading["seconds"]["stage"])
    return Result(
        images, cores, plans, jobs, jobs / plans, with_start, with_start / plans, wait_s, share, stages
    )  # fmt: skip


def table(result: Result) -> Iterable[str]:
    """The result for people."""
    yield f"{result.images} images, {result.cores} cores: {result.ratio:.2f} x the bare plans"
    yield f"  jobs {result.jobs:.2f} images/s, bare plans {result.plans:.2f} images/s"
    yield (
        f"  with start-up, audits and processes: {result.ratio_with_start:.2f} x ({result.jobs_with_start:.2f} "
        f"images/s)"
    )
    yield f"  waited for HBase: {result.hbase_wait_s:.2f} s, {result.hbase_wait_share:.0%} of the reading tasks' time"
    yield f"  {'seconds':18}{'images':>9}{'start-up':>10}{'audit':>8}{'process':>9}"
    for row in result.stages:
        yield f"  {row.stage:18}{row.images_s:9.2f}{row.start_up_s:10.2f}{row.audit_s:8.2f}{row.process_s:9.2f}"


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256, help="of the measured day")
    parser.add_argument("--few", type=int, default=8, help="images of the day that measures the start")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = parser.parse_args()
    result = measure(given.few, given.images)
    print(json.dumps(asdict(result), indent=1) if given.json else "\n".join(table(result)))


if __name__ == "__main__":
    main()
