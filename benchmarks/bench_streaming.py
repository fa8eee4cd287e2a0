"""How long a picture of a stream waits for its class: a network in Spark's Structured Streaming, and the same stream
without one.

    .venv/bin/python benchmarks/bench_streaming.py [--json] [--pictures 40] [--every 0.5] [--side 224]

Pictures appear in a folder one by one; each micro-batch takes those that are there. latency_ms runs from a file's
appearance to when its row is with the program; the peer is Spark's stream of the same pictures with nothing computed.
The network is MobileNet v2 with random weights, on two cores of this machine. --json prints one object alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])

import numpy as np
from PIL import Image
from pyspark.ml.image import ImageSchema
from pyspark.sql import SparkSession

from dlcore.data.image import ChannelNormalize, MatToTensor, Resize
from dlcore.models.mobilenet import mobilenet_v2
from dlcore.spark.nnframes import NNClassifierModel
from dlcore.spark.preprocessing import RowToImageFeature

WARM = 5
"""Pictures that are not counted: with the first, Python starts and the plan is made."""


def appear(folder: Path, number: int, rng: np.random.Generator, side: int) -> None:
    """A picture, whole at once."""
    pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f".{number}", "JPEG")
    (folder / f".{number}").rename(folder / f"{number}.jpg")


def latencies_ms(spark: Any, classifier: Any, pictures: int, every_s: float, side: int) -> list[float]:
    """How long each picture took to its row; classifier: None for the stream alone."""
    rng, begun, ended = np.random.default_rng(0), {}, {}

    def keep(rows: Any, _: int) -> None:
        for row in rows.collect():
            ended[int(Path(row.origin).stem)] = time.monotonic()

    with tempfile.TemporaryDirectory() as name:
        stream = spark.readStream.format("image").schema(ImageSchema.imageSchema).load(name)
        rows, columns = (stream, []) if classifier is None else (classifier.transform(stream), ["prediction"])
        running = rows.select("image.origin", *columns).writeStream.foreachBatch(keep).start()
        for number in range(WARM + pictures):
            begun[number] = time.monotonic()
            appear(Path(name), number, rng, side)
            if number < WARM:
                running.processAllAvailable()
            time.sleep(every_s)
        running.processAllAvailable()
        running.stop()
    return [1000 * (ended[number] - begun[number]) for number in range(WARM, WARM + pictures)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--side", type=int, default=224)
    asked = parser.parse_args()
    settings = {"spark.ui.enabled": "false", "spark.python.unix.domain.socket.enabled": "true"}
    spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    steps = [RowToImageFeature(), Resize(asked.side, asked.side), ChannelNormalize(110.0, 110.0, 110.0), MatToTensor()]
    classifier = NNClassifierModel(mobilenet_v2(), steps).setFeaturesCol("image")
    found = {}
    for name, stage in (("with_network", classifier), ("stream_alone", None)):
        took = sorted(latencies_ms(spark, stage, asked.pictures, asked.every, asked.side))
        found[name] = {
            "median_ms": round(statistics.median(took), 1),
            "p95_ms": round(took[int(0.95 * (len(took) - 1))], 1),
        }
    ratio = found["with_network"]["median_ms"] / found["stream_alone"]["median_ms"]
    answer = {"latency": found, "ratio": round(ratio, 2), "pictures": asked.pictures, "load": os.getloadavg()[0]}
    if asked.json:
        print(json.dumps(answer))
        return
    for name, value in found.items():
        print(f"{name}: median {value['median_ms']} ms, 95 % within {value['p95_ms']} ms")
    print(f"ratio {ratio:.2f}, load {answer['load']:.1f}")


if __name__ == "__main__":
    main()
