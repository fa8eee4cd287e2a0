"""A small catalogue with its index and model, and services of it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
from PIL import Image

from data_contracts.crops import CROPS
from dlcore.interop.artefact import save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.rng import RNG
from dlcore.search.index import publish
from dlcore.vision.extractor import load_extractor
from dlcore.vision.preprocessing import Preprocessing
from spark_jobs.stages.features import feature_batches
from spark_jobs.stages.index import entries_of, thumbnail_batches
from tests.search_service.serving import Served, serving

DAY = datetime.date(2026, 11, 2)


def pixels_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (10, 12, 3), np.uint8).repeat(16, 0).repeat(16, 1)


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory):
    """A folder with a model, an index of five pictures, and files to search for."""
    folder: Path = tmp_path_factory.mktemp("catalogue")
    RNG.set_seed(3)
    metadata = {"kind": "deepbit", "preprocessing": Preprocessing(32).metadata(), "threshold": 0.0}
    for name, planes in (("tiny", (8, 16)), ("newer", (8, 24))):
        save_artefact(folder / name, deepbit_small(DeepBitConfig(size=32, planes=planes, blocks=(1, 1))), metadata)
    rows = [
        {"day": DAY, "key": f"sku{n}/0", "crop": 0, "reason": "ok", "label": "mug", "whole_hash": bytes(32),
         "image": simplejpeg.encode_jpeg(pixels_of(n), 95, "RGB", "444")}
        for n in range(5)
    ]  # fmt: skip
    batch = pa.RecordBatch.from_pylist(rows, schema=CROPS.arrow_schema())
    features = pa.Table.from_batches(feature_batches([batch], f"file://{folder}", "tiny"))
    thumbnails = pa.Table.from_batches(thumbnail_batches([batch])).column("thumbnail")
    groups = [b"g", b"", b"", b"g", b""]
    told = {
        "thumbnail": thumbnails,
        "shop": ["north", "market", None, "north", "market"],
        "price": [1.0, 2.0, 2.5, 3.0, None],
    }
    for name, values in told.items():
        features = features.append_column(name, values if name == "thumbnail" else pa.array(values))
    entries = replace(entries_of(features, filters=("shop", "price")), groups=groups)
    publish(f"file://{folder}/index", entries, load_extractor(f"file://{folder}/tiny").version)
    Image.fromarray(pixels_of(2)).save(folder / "photo.png")
    (folder / "page.jpg").write_text("<html>not found</html>")
    return folder


@pytest.fixture(scope="session")
def served(catalogue: Path) -> Iterator[Served]:
    """A service of the catalogue, for tests that leave it as it is."""
    given = {"pipeline_models": f"file://{catalogue}", "extractor": "tiny"}
    with serving(f"file://{catalogue}/index", catalogue, **given) as service:
        yield service
