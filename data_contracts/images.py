"""images: each image checked, upright, RGB, as a canonical JPEG."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import DAY, KEY, REASON, Column, Contract, Rule, list_of
from data_contracts.reasons import FLAGS

IMAGES = Contract(
    dataset="images",
    owner="data-platform",
    version=2,
    key=("day", "key"),
    columns=(
        DAY,
        KEY,
        REASON,
        Column(
            "image", pa.binary(), "canonical JPEG; the original bytes if these are canonical already", is_payload=True
        ),
        Column("source_format", pa.string(), "what the magic bytes say: jpeg, png, webp ..."),
        Column("width", pa.int32(), "width of the canonical image, pixels"),
        Column("height", pa.int32(), "height of the canonical image, pixels"),
        Column("sha256", pa.string(), "hash of the original bytes, 64 hexadecimal digits"),
        Column("blur", pa.float64(), "variance of the Laplacian; a low value means blurred"),
        Column("entropy", pa.float64(), "entropy of the luminance histogram, bits, 0 to 8"),
        Column("flags", pa.list_(pa.string()), "what was noticed about the image or done to it"),
    ),
    own_rules=(
        Rule(
            "used_has_size",
            "a used image has a width and a height",
            "reason = 'ok' AND (width IS NULL OR height IS NULL OR width < 1 OR height < 1)",
        ),
        Rule("used_has_sha256", "a used image has the hash of its original bytes", "reason = 'ok' AND sha256 IS NULL"),
        Rule("sha256_is_hexadecimal", "sha256 is 64 hexadecimal digits", "NOT sha256 RLIKE '^[0-9a-f]{{64}}$'"),
        Rule("measures_in_range", "blur >= 0, entropy in [0, 8]", "blur < 0 OR entropy < 0 OR entropy > 8.000001"),
        Rule(
            "known_flags",
            "every flag is in the closed list",
            f"exists(flags, flag -> flag NOT IN {list_of(FLAGS)})",
        ),
    ),
)
