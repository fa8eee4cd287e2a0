"""BigDL's programs on Spark: samples in RDDs, models in its workers, pictures in frames that it holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlcore.data.distributed import collected
from dlcore.data.sample import Sample
from dlcore.nn.layer import Linear, Sequential, SpatialConvolution, SpatialMaxPooling, View
from dlcore.settings import settings
from tests.dlcore.bigdl.test_modules import run


@pytest.mark.spark
def test_a_program_on_spark_computes_what_it_computes_here(tmp_path):
    (tmp_path / "pictures").mkdir()
    for name in ("a", "b"):
        picture = np.random.default_rng(ord(name)).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{name}.png")
    done = run(tmp_path, Path(__file__).parent / "programs/on_spark.py", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["accuracy"] == found["right"] > 0.95
    assert [found[name] for name in ("same", "paths", "pictures", "broadcast", "distributed", "stored")] == [True] * 6
    assert found["pairs"] == found["labels"]
    assert found["cores"] == [1, 2]
    assert done.stderr.count("[Epoch 2 ") == 10  # a line for each step, as BigDL shows them


@pytest.mark.spark
def test_a_network_is_retrained_on_a_frame_of_pictures(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(8):
        name, value = ("cat", 40) if number % 2 else ("dog", 200)
        pixels = np.random.default_rng(number).integers(value, value + 30, (12, 11, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{name}{number}.png")
    network = Sequential().add(SpatialConvolution(3, 4, 3, 3)).add(SpatialMaxPooling(2, 2, 2, 2).set_name("pool"))
    network.add(View([36])).add(Linear(36, 5)).save(tmp_path / "network")
    done = run(tmp_path, Path(__file__).parent / "programs/nnframes.py", tmp_path / "network", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"accuracy": 1.0, "rows": 8}


class Iterated:
    """What of an RDD `collected` uses."""

    def __init__(self, records):
        self.toLocalIterator = records.__iter__


def test_no_more_is_brought_here_than_the_limit(monkeypatch):
    records = [Sample.from_ndarray(np.ones(100), 1)] * 5
    assert collected(Iterated(records)) == records
    monkeypatch.setenv("DLCORE_MAX_DATA_BYTES", "1000")
    settings.cache_clear()
    try:
        with pytest.raises(
            ValueError, match=r"first 3 records have 1212 bytes, expected at most 1000.*DLCORE_MAX_DATA_BYTES"
        ):
            collected(Iterated(records))
    finally:
        settings.cache_clear()
