"""raw_images: the images as HBase holds them, bytes untouched."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import DAY, KEY, REASON, Column, Contract, Rule

RAW_IMAGES = Contract(
    dataset="raw_images",
    owner="data-platform",
    version=1,
    key=("day", "key"),
    columns=(
        DAY,
        KEY,
        REASON,
        Column("image", pa.binary(), "bytes of the cell, null if there is no cell", is_payload=True),
        Column(
            "size_bytes",
            pa.int32(),
            "length of the cell, 0 if there is none; known also for a cell too large to be read",
            is_required=True,
        ),
        Column("metadata", pa.map_(pa.string(), pa.string()), "the row's other cells, by qualifier"),
    ),
    own_rules=(
        Rule("size_is_counted", "size_bytes is not negative", "size_bytes < 0"),
        Rule("used_has_bytes", "a used row has bytes", "reason = 'ok' AND size_bytes = 0"),
    ),
)
