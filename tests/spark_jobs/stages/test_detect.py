"""The detector stage on an untrained network: one row for one row, nothing depends on its neighbours."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from data_contracts.detections import DETECTIONS
from dlcore.interop.artefact import save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.ssd import ssd
from dlcore.rng import RNG
from dlcore.vision.detector import BATCH, Detector, DetectorSettings, load_detector
from dlcore.vision.pixels import resized
from spark_jobs.stages.detect import NO_DETECTOR, detect_batches
from spark_jobs.training.detector_recipe import Recipe, settings_of


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with an artefact of a network of random weights."""
    folder = tmp_path_factory.mktemp("models")
    recipe = Recipe(steps=1, size=64, width=8)
    RNG.set_seed(5)
    save_artefact(folder / "random", ssd(recipe.config), settings_of(recipe, 0.2).metadata())
    return f"file://{folder}"


@pytest.fixture(scope="module")
def detector(models: str) -> Detector:
    return load_detector(f"{models}/random")


def _pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(40, 200, (count, 2))]


def test_what_is_found_does_not_depend_on_the_neighbours(detector: Detector) -> None:
    pictures = _pictures(BATCH + 3)
    together = detector.find(pictures)
    alone = [detector.find([picture])[0] for picture in pictures]
    assert together == alone
    assert all(sum(len(things) for things in kind) > 0 for kind in zip(*together, strict=True))


def test_images_one_at_a_time_are_found_the_same(models: str, detector: Detector) -> None:
    pictures = _pictures(4)
    single = load_detector(f"{models}/random", batch=1)
    for alone, together in zip(single.find(pictures), detector.find(pictures), strict=True):
        boxes = [[[t.x_min, t.y_min, t.x_max, t.y_max, t.score] for t in found.guesses] for found in (alone, together)]
        np.testing.assert_allclose(boxes[0], boxes[1], rtol=0, atol=1e-5)


def test_objects_are_inside_and_sorted(detector: Detector) -> None:
    for things in (things for findings in detector.find(_pictures(6)) for things in findings):
        scores = [thing.score for thing in things]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= t.x_min < t.x_max <= 1 and 0 <= t.y_min < t.y_max <= 1 for t in things)


def test_settings_survive_the_artefact(detector: Detector) -> None:
    assert DetectorSettings.from_metadata(detector.settings.metadata()) == detector.settings
    recipe = Recipe(steps=1, size=64, width=8)
    assert np.array_equal(detector.settings.priors, recipe.config.priors())


def test_another_kind_of_artefact_is_refused(tmp_path: Path) -> None:
    save_artefact(tmp_path / "codes", deepbit_small(DeepBitConfig(size=96, bits=16)), {"kind": "deepbit"})
    with pytest.raises(ValueError, match="expected 'ssd'"):
        load_detector(f"file://{tmp_path}/codes")


def _images() -> pa.RecordBatch:
    rows = [
        {"day": date(2026, 1, 1), "key": f"a/{n}", "reason": "ok", "image": simplejpeg.encode_jpeg(picture)}
        for n, picture in enumerate(_pictures(3))
    ]
    rows.insert(1, {"day": date(2026, 1, 1), "key": "bad/0", "reason": "blank", "image": None})
    schema = pa.schema([("day", pa.date32()), ("key", pa.string()), ("reason", pa.string()), ("image", pa.binary())])
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def test_rows_are_those_of_the_contract(models: str, detector: Detector) -> None:
    (found,) = detect_batches([_images()], models, "random")
    assert found.schema == DETECTIONS.arrow_schema()
    assert found.column("key").to_pylist() == ["a/0", "bad/0", "a/1", "a/2"]
    assert found.column("model_version").to_pylist() == [detector.version, None, detector.version, detector.version]
    assert found.column("objects")[1].as_py() == found.column("guesses")[1].as_py() == []
    assert all(len(found.column("guesses")[n]) for n in (0, 2, 3))


def test_without_a_detector_nothing_is_found(models: str) -> None:
    (found,) = detect_batches([_images()], models, NO_DETECTOR)
    assert found.column("objects").to_pylist() == found.column("guesses").to_pylist() == [[]] * 4
    assert found.column("model_version").null_count == 4


def test_resizing_takes_the_mean_of_what_a_pixel_covers() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, ::2] = 200
    assert np.abs(resized(pixels, 8).astype(int) - 100).max() <= 4
