"""Pictures searched for in an index whose codes are of the crop and of the whole picture, or of a model that is not
whole here."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from dlcore.interop.artefact import save_artefact
from dlcore.interop.published import Backbone
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.deepbit_joint import code_head, deepbit_joint, pooled_features
from dlcore.models.efficientnet_lite import efficientnet_lite
from dlcore.models.pretrained import LITE0_WEIGHTS
from dlcore.rng import RNG
from dlcore.search.index import Index, open_index, publish
from dlcore.vision.extractor import load_extractor
from dlcore.vision.preprocessing import Preprocessing
from search_service.query import Models, see, warm_up
from spark_jobs.stages.features import feature_batches
from spark_jobs.stages.index import entries_of
from tests.search_service.serving import random_entries, serving

KEYS = ("sku0/0", "sku1/0")


def image_of(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (10, 12, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    return simplejpeg.encode_jpeg(pixels, 95, "RGB", "444")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, Models]:
    """An index of two pictures, and the folder of the model that made it, under a name that nobody gives."""
    folder: Path = tmp_path_factory.mktemp("joint")
    RNG.set_seed(4)
    config = DeepBitConfig(size=32, planes=(8, 16), blocks=(1, 1))
    joint = deepbit_joint(deepbit_small(config), pooled_features(efficientnet_lite(0)), code_head())
    about = {"kind": "deepbit", "preprocessing": Preprocessing(32).metadata(), "threshold": 0.0}
    save_artefact(folder / "models" / "joint", joint, about | {"whole": Preprocessing(64).metadata()})
    rows = [
        {"day": datetime.date(2026, 11, 2), "key": key, "crop": 0, "reason": "ok", "label": "mug",
        "whole_hash": bytes(32),
         "image": image_of(number), "whole": image_of(number)}
        for number, key in enumerate(KEYS)
    ]  # fmt: skip
    models = f"file://{folder}/models"
    features = pa.Table.from_batches(feature_batches([pa.RecordBatch.from_pylist(rows)], models, "joint"))
    entries = entries_of(features.append_column("thumbnail", pa.array([row["image"] for row in rows])))
    publish(f"file://{folder}/index", entries, load_extractor(f"{models}/joint").version)
    return open_index(f"file://{folder}/index", cache=folder / "cache"), Models(models, "none", "")


def test_a_picture_has_the_code_that_the_pipeline_gave_it(opened: tuple[Index, Models]) -> None:
    index, models = opened
    for number, key in enumerate(KEYS):
        seen = see(index, image_of(number), models)
        np.testing.assert_array_equal(seen.code[0], index.code(int(index.find(key)[0])))
        assert seen.code.shape == (1, 32)


def test_of_a_framed_part_only_the_half_of_the_crop_changes(opened: tuple[Index, Models]) -> None:
    index, models = opened
    whole, part = (see(index, image_of(0), models, box).code[0] for box in (None, (0.0, 0.0, 0.5, 0.5)))
    np.testing.assert_array_equal(part[16:], whole[16:])
    assert (part[:16] != whole[:16]).any()


def test_the_model_that_made_the_index_is_warmed_up(opened: tuple[Index, Models]) -> None:
    index, models = opened
    warm_up(models, index)  # the folder has none of the usual name
    with pytest.raises(FileNotFoundError):
        warm_up(models, None)


def test_without_the_package_of_its_weights_a_picture_is_refused(catalogue: Path, tmp_path: Path) -> None:
    """And all else is answered: the page says what to install."""
    shutil.copytree(catalogue / "tiny", tmp_path / "models" / "tiny")
    described = json.loads((catalogue / "tiny" / "model.json").read_text())
    absent = replace(LITE0_WEIGHTS, package="efficientnet_lite7_pytorch_model")
    text = json.dumps(described | {"backbone": Backbone("net", absent, ("_fc.bias",)).metadata()})
    (tmp_path / "models" / "tiny" / "model.json").write_text(text)
    publish(f"file://{tmp_path}/index", random_entries(0, 9), hashlib.sha256(text.encode()).hexdigest())
    models = f"file://{tmp_path}/models"
    with serving(f"file://{tmp_path}/index", tmp_path, pipeline_models=models, workers="1") as served:
        answer = served.client.post("/api/v1/search/picture?k=1", content=image_of(0))
        assert answer.status_code == 503
        assert "pip install efficientnet-lite7-pytorch-model" in answer.json()["error"]
        assert served.search({"key": "sku000000/0"}, k=1)["answers"]
