"""The search command: by a file, by a key, and what it says when it cannot."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
import typer
from PIL import Image
from typer.testing import CliRunner

from data_contracts.crops import CROPS
from dlcore.interop.artefact import save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.preprocessing import Preprocessing
from dlcore.rng import RNG
from dlcore.search.index import publish
from spark_jobs import search
from spark_jobs.stages.features import feature_batches, load_extractor
from spark_jobs.stages.index import index_entries, thumbnail_batches

DAY = datetime.date(2026, 11, 2)


def pixels_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (10, 12, 3), np.uint8).repeat(16, 0).repeat(16, 1)


@pytest.fixture(scope="module")
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
    groups = pa.Table.from_pylist(
        [{"day": DAY, "key": f"sku{n}/0", "crop": 0, "group": "g", "size": 2} for n in (0, 3)]
    )
    entries = index_entries(features, groups, pa.Table.from_batches(thumbnail_batches([batch])))
    publish(f"file://{folder}/index", entries, load_extractor(f"file://{folder}/tiny").version)
    Image.fromarray(pixels_of(2)).save(folder / "photo.png")
    (folder / "page.jpg").write_text("<html>not found</html>")
    return folder


def asked(catalogue, query, *options):
    app = typer.Typer()
    app.command()(search.main)
    given = ["--index", f"file://{catalogue}/index", "--models", f"file://{catalogue}", "--detector", "none"]
    given += ["--extractor", "tiny", "--sheet", str(catalogue / "sheet.png"), "--k", "3"]
    return CliRunner().invoke(app, [str(query), *given, *options])


def test_a_file_finds_itself_first(catalogue):
    result = asked(catalogue, catalogue / "photo.png")
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if "sku" in line]
    assert "sku2/0" in rows[0]
    assert len(rows) == 3
    assert Image.open(catalogue / "sheet.png").size[0] > 4 * 128


def test_a_key_finds_the_others(catalogue):
    result = asked(catalogue, "sku0/0")
    assert result.exit_code == 0, result.output
    assert "sku0/0" not in result.output
    assert result.output.count("sku") == 3


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("nothing/0", (), "neither a file nor a key"),
        ("page.jpg", (), "an HTML page saved as an image"),
        ("photo.png", ("--extractor", "newer"), "was made by model"),
        ("sku0/0", ("--index", "file:///nowhere"), "run build_index"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(catalogue, query, options, message):
    path = catalogue / query
    result = asked(catalogue, path if path.is_file() else query, *options)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
