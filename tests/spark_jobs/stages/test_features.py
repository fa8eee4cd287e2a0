"""Features of crops: identical whenever they are made, whatever else is in the batch."""

from __future__ import annotations

import datetime
import shutil

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from data_contracts.crops import CROPS
from data_contracts.features import FEATURES
from dlcore.interop.artefact import save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.deepbit_joint import code_head, deepbit_joint, pooled_features
from dlcore.models.efficientnet_lite import efficientnet_lite
from dlcore.rng import RNG
from dlcore.search.signatures import chroma_grid, luminance_hash
from dlcore.vision.extractor import BATCH, load_extractor
from dlcore.vision.pixels import resized
from dlcore.vision.preprocessing import Preprocessing
from spark_jobs.calibrate_duplicates import CHANGES
from spark_jobs.settings import REPOSITORY
from spark_jobs.stages.changed_copies import LOOK_ALIKES, ORIGINAL, copy_batches
from spark_jobs.stages.decode import read_scaled
from spark_jobs.stages.detect import NO_DETECTOR
from spark_jobs.stages.features import WHOLE, feature_batches

DAY = datetime.date(2026, 11, 2)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    RNG.set_seed(3)
    config = DeepBitConfig(size=32, planes=(8, 16), blocks=(1, 1))
    metadata = {"kind": "deepbit", "preprocessing": Preprocessing(32).metadata(), "threshold": 0.0}
    save_artefact(folder / "tiny", deepbit_small(config), metadata)
    joint = deepbit_joint(deepbit_small(config), pooled_features(efficientnet_lite(0)), code_head())
    both = metadata | {"whole": Preprocessing(64).metadata(), "bits": 256}
    save_artefact(folder / "joint", joint, both)
    save_artefact(folder / "other", deepbit_small(config), {"kind": "ssd"})
    return f"file://{folder}"


def crop_row(number):
    generator = np.random.default_rng(number)
    pixels = generator.integers(0, 256, (9 + number, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return {
        "day": DAY, "key": f"sku{number}/0", "crop": 0, "reason": "ok", "label": "mug",
        "image": simplejpeg.encode_jpeg(pixels, 95, "RGB", "444"), "whole_hash": generator.bytes(32),
        "x_min": 8, "y_min": 8, "x_max": 80, "y_max": 72,
    }  # fmt: skip


def batch_of(rows):
    return pa.RecordBatch.from_pylist(rows, schema=CROPS.arrow_schema())


def features_of(rows, models):
    return next(iter(feature_batches([batch_of(rows)], models, "tiny"))).to_pylist()


def test_rows_come_out_one_for_one_with_what_the_contract_asks(models):
    unusable = {"day": DAY, "key": "broken/0", "crop": 0, "reason": "truncated"}
    found = next(iter(feature_batches([batch_of([crop_row(1), unusable, crop_row(2)])], models, "tiny")))
    assert found.schema == FEATURES.arrow_schema()
    first, second, third = found.to_pylist()
    assert (second["key"], second["reason"], second["code"], second["model_version"]) == (
        "broken/0",
        "truncated",
        None,
        None,
    )
    assert len(first["code"]) == 16
    assert len(first["descriptor"]) == 256
    assert first["model_version"] == third["model_version"] == load_extractor(f"{models}/tiny").version
    assert first["computed_by"]
    bits = np.frombuffer(first["descriptor"], "<f2") > 0
    assert np.packbits(bits).tobytes() == first["code"]


def test_a_code_does_not_depend_on_its_neighbours_or_the_time(models):
    rows = [crop_row(number) for number in range(BATCH + 3)]
    together = features_of(rows, models)
    assert features_of(rows, models) == together
    assert [features_of([row], models)[0] for row in rows] == together


def test_crops_one_at_a_time_have_the_codes_of_a_batch(models):
    crops = [simplejpeg.decode_jpeg(crop_row(number)["image"], "RGB") for number in range(5)]
    single = load_extractor(f"{models}/tiny", batch=1)
    codes, pooled = load_extractor(f"{models}/tiny").outputs(crops)
    for found, together in zip(single.outputs(crops), (codes, pooled), strict=True):
        np.testing.assert_allclose(found, together, rtol=0, atol=1e-5)


def test_signatures_are_those_of_the_crop(models):
    row = crop_row(4)
    pixels = simplejpeg.decode_jpeg(row["image"], "RGB")
    found = features_of([row], models)[0]
    tall = pixels.shape[0] > pixels.shape[1]
    assert tall or pixels.shape[0] > 64
    from PIL import Image

    small = np.asarray(Image.fromarray(pixels).resize((96, 96), Image.Resampling.BILINEAR))[None]
    assert found["luminance_hash"] == luminance_hash(small)[0].tobytes()
    assert found["chroma"] == chroma_grid(small)[0].tobytes()
    assert found["whole_hash"] == row["whole_hash"]


def test_copies_of_a_picture_are_the_same_each_time(models):
    row = crop_row(6)
    first, second = (
        next(copy_batches([batch_of([row])], models, "tiny", NO_DETECTOR, CHANGES, 3)).to_pylist() for _ in range(2)
    )
    assert first == second
    assert first[0]["change"] == ORIGINAL
    assert len(first) >= 4 and not any(row["overlap"] for row in first)


def test_copies_say_how_much_of_them_the_detector_cuts_as_of_their_picture(models):
    shutil.copytree(REPOSITORY / "models/detector-small", f"{models.removeprefix('file://')}/detector-small")
    rows = next(copy_batches([batch_of([crop_row(6)])], models, "tiny", "detector-small", CHANGES, 6)).to_pylist()
    overlaps = {row["change"]: row["overlap"] for row in rows}
    copies = overlaps.keys() - {ORIGINAL, *LOOK_ALIKES}
    assert len(copies) == 6 and all(0 < overlaps[change] <= 1 for change in copies)
    assert not any(overlaps[change] for change in overlaps.keys() - copies)


def test_a_joint_code_is_of_the_crop_and_of_its_whole_image(models):
    rows = [crop_row(number) | {"whole": crop_row(number + 10)["image"]} for number in range(3)]
    unused = {"day": DAY, "key": "broken/0", "crop": 0, "reason": "truncated"}

    def coded(rows):
        schema = CROPS.arrow_schema().append(pa.field(WHOLE, pa.binary()))
        batch = pa.RecordBatch.from_pylist(rows, schema=schema)
        found = next(iter(feature_batches([batch], models, "joint")))
        assert found.schema == FEATURES.arrow_schema()
        return [row["code"] for row in found.to_pylist()]

    codes = coded([rows[0], unused, *rows[1:]])
    assert [code and len(code) for code in codes] == [32, None, 32, 32]
    [other_whole] = coded([rows[0] | {"whole": rows[1]["whole"]}])
    assert other_whole[:16] == codes[0][:16] and other_whole[16:] != codes[0][16:]
    [other_crop] = coded([rows[0] | {"image": rows[1]["image"]}])
    assert other_crop[16:] == codes[0][16:] and other_crop[:16] != codes[0][:16]


def test_a_large_image_is_decoded_near_the_size_that_is_asked_for():
    waves = np.sin(np.arange(1200) / 40)
    pixels = np.repeat((127 + 100 * waves[:900, None, None] * waves[None, :, None]), 3, 2).astype(np.uint8)
    image = simplejpeg.encode_jpeg(pixels, 95, "RGB", "444")
    found, expected = read_scaled(image, 100), resized(pixels, 100)
    assert found.shape == (100, 100, 3)
    assert np.abs(found.astype(int) - expected).max() < 12


def test_another_kind_of_artefact_is_refused(models):
    with pytest.raises(ValueError, match="expected 'deepbit'"):
        load_extractor(f"{models}/other")
