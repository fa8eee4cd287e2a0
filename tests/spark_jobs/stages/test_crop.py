"""The crop policy as a table of cases, and crops as rows."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
import simplejpeg

from dlcore.vision.detector import FoundObject
from spark_jobs.stages.crop import Crop, CropPolicy, choose_crops, crop_batches, crop_row, cut
from spark_jobs.stages.decode import read_pixels

MUG = FoundObject("mug", 0.9, 0.25, 0.25, 0.75, 0.75)
CORNER = FoundObject("watch", 0.95, 0.0, 0.0, 0.2, 0.2)
EDGE = FoundObject("book", 0.8, 0.5, 0.4, 1.0, 1.0)
SPECK = FoundObject("lamp", 0.99, 0.5, 0.5, 0.51, 0.52)
DOUBTFUL = FoundObject("hat", 0.2, 0.1, 0.1, 0.9, 0.9)
TIGHT = CropPolicy(margin=0.0)

CASES = {
    "one object": ([MUG], TIGHT, [(50, 25, 150, 75, "mug")]),
    "margin is a share of the longer side": ([MUG], CropPolicy(margin=0.1), [(40, 15, 160, 85, "mug")]),
    "margin stops at the edge": ([EDGE], CropPolicy(margin=0.2), [(80, 20, 200, 100, "book")]),
    "large and central beats sure but small": ([CORNER, MUG], TIGHT, [(50, 25, 150, 75, "mug")]),
    "two objects, the worthier first": ([CORNER, MUG], CropPolicy(margin=0.0, most=2),
    [(50, 25, 150, 75, "mug"), (0, 0, 40, 20, "watch")]),
    "most is a limit, not a duty": ([MUG], CropPolicy(margin=0.0, most=5), [(50, 25, 150, 75, "mug")]),
    "a speck is no object": ([SPECK], TIGHT, [(0, 0, 200, 100, None)]),
    "too doubtful": ([DOUBTFUL], CropPolicy(least_score=0.5), [(0, 0, 200, 100, None)]),
    "nothing found": ([], TIGHT, [(0, 0, 200, 100, None)]),
    "nothing found, no falling back": ([], CropPolicy(fall_back=False), []),
    "doubtful one beside a good one": ([DOUBTFUL, MUG], CropPolicy(margin=0.0, least_score=0.5, most=2),
    [(50, 25, 150, 75, "mug")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_policy(name: str) -> None:
    objects, policy, expected = CASES[name]
    crops = choose_crops(objects, 200, 100, policy)
    assert [(c.x_min, c.y_min, c.x_max, c.y_max, c.label) for c in crops] == expected
    assert all((c.source == "whole_image") == (c.label is None) for c in crops)


def test_any_box_gives_a_crop_inside_the_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        x, y = np.sort(rng.random(2)), np.sort(rng.random(2))
        thing = FoundObject("box", 0.5, x[0], y[0], x[1], y[1])
        width, height = (int(v) for v in rng.integers(1, 60, 2))
        for c in choose_crops([thing], width, height, CropPolicy(least_area=0.0)):
            assert 0 <= c.x_min < c.x_max <= width and 0 <= c.y_min < c.y_max <= height


def test_policy_without_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="expected most >= 1"):
        CropPolicy(most=0)


def _image() -> bytes:
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[20:60, 30:90] = (200, 40, 30)
    return bytes(simplejpeg.encode_jpeg(pixels, 95, "RGB", "444"))


def test_cut_pixels_are_those_of_the_box() -> None:
    part = read_pixels(cut(read_pixels(_image()), Crop(30, 20, 90, 60, "detection")))
    assert part.shape == (40, 60, 3)
    assert np.abs(part.reshape(-1, 3).mean(axis=0) - (200, 40, 30)).max() < 4


def test_rows_keep_their_reason_and_whole_images_their_bytes() -> None:
    address = {"day": date(2026, 1, 1), "key": "a/0"}
    unused = crop_row({**address, "reason": "blank", "image": None, "objects": []}, CropPolicy())
    assert unused == [{**address, "crop": 0, "reason": "blank"}]
    whole = crop_row({**address, "reason": "ok", "image": _image(), "objects": []}, CropPolicy())
    assert whole[0]["image"] == _image() and whole[0]["source"] == "whole_image"
    nothing = crop_row({**address, "reason": "ok", "image": _image(), "objects": []}, CropPolicy(fall_back=False))
    assert [(row["reason"], row.get("image")) for row in nothing] == [("no_object", None)]


def test_batches_have_the_contract_s_columns() -> None:
    import pyarrow as pa

    from data_contracts.crops import CROPS
    from data_contracts.detections import DETECTED_OBJECT

    thing = {"label": "mug", "score": 0.9, "x_min": 0.25, "y_min": 0.25, "x_max": 0.75, "y_max": 0.75}
    corner = {"label": "watch", "score": 0.8, "x_min": 0.0, "y_min": 0.0, "x_max": 0.25, "y_max": 0.25}
    schema = pa.schema(
        [
            ("day", pa.date32()),
            ("key", pa.string()),
            ("reason", pa.string()),
            ("image", pa.binary()),
            ("objects", pa.list_(DETECTED_OBJECT)),
        ]
    )
    rows = [
        {"day": date(2026, 1, 1), "key": "a/0", "reason": "ok", "image": _image(), "objects": [thing, corner]},
        {"day": date(2026, 1, 1), "key": "b/0", "reason": "empty", "image": None, "objects": []},
    ]
    (found,) = crop_batches([pa.RecordBatch.from_pylist(rows, schema=schema)], CropPolicy(most=2))
    assert found.schema == CROPS.arrow_schema()
    assert found.column("crop").to_pylist() == [0, 1, 0]
    assert [len(value) for value in found.column("whole_hash").to_pylist()[:2]] == [32, 32]
    assert found.column("reason").to_pylist() == ["ok", "ok", "empty"]
