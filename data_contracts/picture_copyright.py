"""picture_copyright: pictures of an owner that appear under another owner or in another shop, over all days: a row for
each."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import CROP, DAY, KEY, REASON, Column, Contract, Rule, list_of
from data_contracts.duplicates import EVIDENCE

OTHER_OWNER, OTHER_SHOP = "other_owner", "other_shop"
KINDS = (OTHER_OWNER, OTHER_SHOP)
"""Shown under the name of another owner; shown in another shop under the same owner, or where one of the two names
none."""
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
        Column("group", pa.string(), "of `duplicates`, of both pictures", True),
        Column("kind", pa.string(), f"{' or '.join(KINDS)}: what differs from the original", True),
        Column("owner", pa.string(), "whom this picture's shop names as its owner"),
        Column("shop", pa.string(), "the shop that shows it"),
        Column("title", pa.string(), "there"),
        Column("first_seen", pa.timestamp("us", "UTC"), "since when; the day where no time is said", True),
        Column("last_seen", pa.date32(), "the newest day that shows the key in this group", True),
        Column("original_day", pa.date32(), "the group's earliest picture: its day", True),
        Column("original_key", pa.string(), "its key", True),
        Column("original_crop", pa.int32(), "its crop", True),
        Column("original_owner", pa.string(), "its owner"),
        Column("original_shop", pa.string(), "its shop"),
        Column("original_title", pa.string(), "its title"),
        Column("original_first_seen", pa.timestamp("us", "UTC"), "since when", True),
        Column("days_later", pa.int32(), "whole days from the original to this picture", True),
        Column("distance", pa.int32(), "differing bits of the two codes", True),
        Column("similarity", pa.float32(), "cosine of the two descriptors; null where only others connect the two"),
        Column("evidence", pa.list_(EVIDENCE), "the verified pairs that this picture is in, as `duplicates` has them"),
        Column("found_by", pa.list_(pa.string()), f"which of {', '.join(METHODS)} would have found it", True),
    ),
    own_rules=(
        Rule("known_kind", "the kind is of the closed list", f"kind NOT IN {list_of(KINDS)}"),
        Rule(
            "is_another",
            "owner or shop differ from the original's as the kind says",
            f"NOT coalesce(if(kind = '{OTHER_OWNER}', owner <> original_owner, shop <> original_shop), false)",
        ),
        Rule(
            "original_is_earlier",
            "the original was first, and is another picture",
            "original_first_seen > first_seen OR days_later < 0"
            " OR struct(day, key, crop) = struct(original_day, original_key, original_crop)",
        ),
        Rule(
            "evidence_in_range",
            "distances are not negative, similarities in [-1, 1]",
            "distance < 0 OR similarity NOT BETWEEN -1.001 AND 1.001",
        ),
        Rule("known_methods", "found_by is of the closed list", f"exists(found_by, m -> m NOT IN {list_of(METHODS)})"),
        Rule("pictures_are_used", "all pictures are used ones", "reason <> 'ok'"),
    ),
    is_partitioned=False,
    is_one_for_one=False,
)
