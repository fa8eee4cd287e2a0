"""duplicate_pairs: which distinct pictures of the catalogue are verified duplicates of each other, over all days."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import CROP, DAY, KEY, REASON, Column, Contract, Rule

DUPLICATE_PAIRS = Contract(
    dataset="duplicate_pairs",
    owner="price-monitoring",
    version=2,
    key=("day", "key", "crop", "other"),
    columns=(
        DAY,
        KEY,
        CROP,
        REASON,
        Column(
            "picture", pa.string(), "hash of the signatures: rows of `features` that share it are exact copies", True
        ),
        Column("copies", pa.int64(), "number of rows of `features` of this day that are this picture; null in a pair"),
        Column("other", pa.string(), "the earlier picture of a pair; null in the row of the picture itself"),
        Column("other_day", pa.date32(), "day of the first row of the other picture"),
        Column("other_key", pa.string(), "key of that row"),
        Column("other_crop", pa.int32(), "crop of that row"),
        Column("distance", pa.int32(), "differing bits of the codes"),
        Column("whole_distance", pa.int32(), "differing bits of the whole images' hashes"),
        Column("similarity", pa.float32(), "cosine of the descriptors"),
        Column("probability", pa.float64(), "P(duplicate) by the verifier"),
        Column(
            "verifier", pa.string(), "hash of the model version, the verifier and the lowest probability kept", True
        ),
        Column("within_code", pa.int32(), "bits within which the codes of all pictures were compared", True),
        Column("within_whole", pa.int32(), "bits within which the whole images' hashes were compared", True),
    ),
    own_rules=(
        Rule(
            "picture_is_counted",
            "the row of a picture says how many copies it has",
            "other IS NULL AND (copies IS NULL OR copies < 1)",
        ),
        Rule(
            "pair_has_evidence",
            "a pair has its distances, a similarity in [-1, 1] and a probability in [0, 1]",
            "other IS NOT NULL AND NOT coalesce(distance >= 0 AND whole_distance >= 0"
            " AND similarity BETWEEN -1.001 AND 1.001 AND probability BETWEEN 0 AND 1, false)",
        ),
        Rule(
            "later_first",
            "a pair belongs to the day of its later picture, and exists once",
            "other IS NOT NULL AND NOT coalesce("
            "struct(other_day, other_key, other_crop) < struct(day, key, crop), false)",
        ),
        Rule(
            "within_limits",
            "the codes or the hashes of a pair are within the limits",
            "other IS NOT NULL AND distance > within_code AND whole_distance > within_whole",
        ),
        Rule("pictures_are_used", "all pictures come from used rows", "reason <> 'ok'"),
    ),
    is_one_for_one=False,
)
"""Each picture has a row of its own on each day that shows it. It has been compared with every other picture within
the limits that this row names."""
