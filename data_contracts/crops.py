"""crops: the part of each image from which the features are computed."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import CROP, DAY, KEY, REASON, Column, Contract, Rule, list_of

SOURCES = ("detection", "whole_image")
"""Where a crop's box comes from."""

CROPS = Contract(
    dataset="crops",
    owner="computer-vision",
    version=2,
    key=("day", "key", "crop"),
    columns=(
        DAY,
        KEY,
        CROP,
        REASON,
        Column("image", pa.binary(), "JPEG of the crop", is_payload=True),
        Column("x_min", pa.int32(), "left edge in the canonical image, pixels"),
        Column("y_min", pa.int32(), "top edge, pixels"),
        Column("x_max", pa.int32(), "right edge, exclusive, pixels"),
        Column("y_max", pa.int32(), "bottom edge, exclusive, pixels"),
        Column("label", pa.string(), "the object's label, null for a whole image"),
        Column("score", pa.float32(), "the object's score, null for a whole image"),
        Column("source", pa.string(), "detection or whole_image"),
        Column(
            "whole_hash", pa.binary(), "luminance hash of the whole image: signs of 16 x 16 DCT frequencies, 32 bytes"
        ),
    ),
    own_rules=(
        Rule(
            "used_has_box",
            "a used crop has a box, which is not empty",
            "reason = 'ok' AND NOT coalesce(0 <= x_min AND x_min < x_max AND 0 <= y_min AND y_min < y_max, false)",
        ),
        Rule("scores_in_range", "scores are in [0, 1]", "NOT (score BETWEEN 0 AND 1)"),
        Rule("crop_is_counted", "crops are numbered from 0", "crop < 0"),
        Rule(
            "hash_length",
            "whole_hash has 32 bytes, and every used crop has one",
            "(reason = 'ok' AND whole_hash IS NULL) OR octet_length(whole_hash) <> 32",
        ),
        Rule(
            "used_has_source",
            "a used crop says where its box comes from",
            f"reason = 'ok' AND coalesce(source, '') NOT IN {list_of(SOURCES)}",
        ),
    ),
    input_rules=(
        Rule(
            "boxes_inside_image",
            "boxes end inside the image",
            "output.x_max > input.width OR output.y_max > input.height",
        ),
    ),
)
