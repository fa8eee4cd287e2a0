"""price_monitoring: what one product picture costs in different shops, over all days, one row per group and
currency."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import CROP, DAY, KEY, REASON, Column, Contract, Rule

PRICE_MONITORING = Contract(
    dataset="price_monitoring",
    owner="price-monitoring",
    version=1,
    key=("day", "key", "crop", "currency"),
    columns=(
        DAY,
        KEY,
        CROP,
        REASON,
        Column(
            "group",
            pa.string(),
            "group in `duplicates`; day, key and crop are those of the picture that stands for it",
            True,
        ),
        Column("currency", pa.string(), "currency as the shops write it, in capitals; null if they name none"),
        Column("title", pa.string(), "title of the picture that stands for the group"),
        Column("pictures", pa.int64(), "number of pictures of the group that have a price in this currency", True),
        Column("shops", pa.int64(), "number of different shops that show them; 0 if none gives its name", True),
        Column("shop_names", pa.list_(pa.string()), "the first of these shops by name"),
        Column("lowest", pa.float64(), "lowest price; for a key shown on several days the newest counts", True),
        Column("median", pa.float64(), "median price", True),
        Column("highest", pa.float64(), "highest price", True),
        Column("lowest_shop", pa.string(), "the shop of the lowest price"),
        Column("highest_shop", pa.string(), "the shop of the highest price"),
        Column("lowest_key", pa.string(), "key of the picture with the lowest price", True),
        Column("highest_key", pa.string(), "key of the picture with the highest price", True),
        Column("spread", pa.float64(), "highest divided by lowest, minus 1: 0.25 is a quarter more", True),
        Column(
            "first_seen",
            pa.timestamp("us", "UTC"),
            "since when the earliest is shown; the day if no time is given",
            True,
        ),
        Column("last_seen", pa.date32(), "the newest day that shows one of them", True),
        Column(
            "same_sha256",
            pa.int64(),
            "number of pictures, besides the group's first, that are the same file as it",
            True,
        ),
        Column("near_phash", pa.int64(), "number of those whose pHash of the whole picture is near its", True),
        Column("same_title", pa.int64(), "number of those with its title, apart from case and punctuation", True),
    ),
    own_rules=(
        Rule("several_pictures", "a price is compared with another", "pictures < 2"),
        Rule(
            "prices_in_order",
            "prices are positive, lowest, median and highest are in this order, and the spread is theirs",
            "NOT (lowest > 0 AND lowest <= median AND median <= highest AND abs(spread - (highest / lowest - 1)) < "
            "1e-6)",
        ),
        Rule("shops_are_of_pictures", "no more shops than pictures", "shops < 0 OR shops > pictures"),
        Rule(
            "others_find_some",
            "the simple methods find no more pictures than there are",
            "least(same_sha256, near_phash, same_title) < 0 OR greatest(same_sha256, near_phash, same_title) > "
            "pictures",
        ),
        Rule("groups_are_used", "all groups consist of used pictures", "reason <> 'ok'"),
    ),
    is_partitioned=False,
    is_one_for_one=False,
)
