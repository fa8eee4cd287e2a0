"""picture_copyright: pictures of an owner that appear under another owner or in another shop, over all days, one row
each."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import CROP, DAY, KEY, REASON, Column, Contract, Rule, list_of
from data_contracts.duplicates import EVIDENCE

OTHER_OWNER, OTHER_SHOP = "other_owner", "other_shop"
KINDS = (OTHER_OWNER, OTHER_SHOP)
"""Shown under the name of another owner; or shown in another shop, with the same owner or where one of the two shops
names no owner."""
SHA256, PHASH, TITLE = "sha256", "phash", "title"
METHODS = (SHA256, PHASH, TITLE)
"""The simple methods: same file, near pHash of the whole picture, same title."""

PICTURE_COPYRIGHT = Contract(
    dataset="picture_copyright",
    owner="ip-protection",
    version=1,
    key=("day", "key", "crop"),
    columns=(
        DAY,
        KEY,
        CROP,
        REASON,
        Column("group", pa.string(), "group in `duplicates` that both pictures are in", True),
        Column("kind", pa.string(), f"{' or '.join(KINDS)}: what differs from the original", True),
        Column("owner", pa.string(), "owner that this picture's shop names"),
        Column("shop", pa.string(), "shop that shows this picture"),
        Column("title", pa.string(), "title in that shop"),
        Column("first_seen", pa.timestamp("us", "UTC"), "since when it is shown; the day if no time is given", True),
        Column("last_seen", pa.date32(), "the newest day that shows the key in this group", True),
        Column("original_day", pa.date32(), "day of the original, the group's earliest picture", True),
        Column("original_key", pa.string(), "key of the original", True),
        Column("original_crop", pa.int32(), "crop of the original", True),
        Column("original_owner", pa.string(), "owner of the original"),
        Column("original_shop", pa.string(), "shop of the original"),
        Column("original_title", pa.string(), "title of the original"),
        Column("original_first_seen", pa.timestamp("us", "UTC"), "since when the original is shown", True),
        Column("days_later", pa.int32(), "whole days from the original to this picture", True),
        Column("distance", pa.int32(), "differing bits of the two codes", True),
        Column(
            "similarity", pa.float32(), "cosine of the two descriptors; null if only other pictures connect the two"
        ),
        Column("evidence", pa.list_(EVIDENCE), "verified pairs that this picture is in, as in `duplicates`"),
        Column("found_by", pa.list_(pa.string()), f"which of {', '.join(METHODS)} would have found it", True),
    ),
    own_rules=(
        Rule("known_kind", "the kind is in the closed list", f"kind NOT IN {list_of(KINDS)}"),
        Rule(
            "is_another",
            "owner or shop differs from the original's, as the kind says",
            f"NOT coalesce(if(kind = '{OTHER_OWNER}', owner <> original_owner, shop <> original_shop), false)",
        ),
        Rule(
            "original_is_earlier",
            "the original came first, and is another picture",
            "original_first_seen > first_seen OR days_later < 0"
            " OR struct(day, key, crop) = struct(original_day, original_key, original_crop)",
        ),
        Rule(
            "evidence_in_range",
            "distances are not negative, similarities in [-1, 1]",
            "distance < 0 OR similarity NOT BETWEEN -1.001 AND 1.001",
        ),
        Rule("known_methods", "found_by is in the closed list", f"exists(found_by, m -> m NOT IN {list_of(METHODS)})"),
        Rule("pictures_are_used", "all pictures are used ones", "reason <> 'ok'"),
    ),
    is_partitioned=False,
    is_one_for_one=False,
)
