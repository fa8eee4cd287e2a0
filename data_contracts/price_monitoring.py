"""price_monitoring: what one product picture costs in which shops, over all days: a row for each group and currency."""

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
        Column("group", pa.string(), "of `duplicates`; day, key and crop are of the picture that stands for it", True),
        Column("currency", pa.string(), "as the shops write it, in capitals; null where they say none"),
        Column("title", pa.string(), "of the picture that stands for the group"),
        Column("pictures", pa.int64(), "of the group that have a price in this currency", True),
        Column("shops", pa.int64(), "how many different ones show them; 0 where none says its name", True),
        Column("shop_names", pa.list_(pa.string()), "the first of them by name"),
        Column("lowest", pa.float64(), "price; of a key shown on several days the newest counts", True),
        Column("median", pa.float64(), "price", True),
        Column("highest", pa.float64(), "price", True),
        Column("lowest_shop", pa.string(), "the shop of the lowest price"),
        Column("highest_shop", pa.string(), "the shop of the highest price"),
        Column("lowest_key", pa.string(), "key of the picture of the lowest price", True),
        Column("highest_key", pa.string(), "key of the picture of the highest price", True),
        Column("spread", pa.float64(), "highest divided by lowest, minus 1: 0.25 is a quarter more", True),
        Column("first_seen", pa.timestamp("us", "UTC"), "of the earliest; the day where no time is said", True),
        Column("last_seen", pa.date32(), "the newest day that shows one of them", True),
        Column("same_sha256", pa.int64(), "of the pictures but the group's first: same file as it", True),
        Column("near_phash", pa.int64(), "of those: pHash of the whole picture near its", True),
        Column("same_title", pa.int64(), "of those: its title, but for case and punctuation", True),
    ),
    own_rules=(
        Rule("several_pictures", "a price is compared with another", "pictures < 2"),
        Rule(
            "prices_in_order",
            "prices are positive, lowest, median and highest in this order, the spread is theirs",
            "NOT (lowest > 0 AND lowest <= median AND median <= highest AND abs(spread - (highest / lowest - 1)) < "
            "1e-6)",
        ),
        Rule("shops_are_of_pictures", "no more shops than pictures", "shops < 0 OR shops > pictures"),
        Rule(
            "others_find_some",
            "the simple methods find some of the pictures, not more",
            "least(same_sha256, near_phash, same_title) < 0 OR greatest(same_sha256, near_phash, same_title) > "
            "pictures",
        ),
        Rule("groups_are_used", "all groups are of used pictures", "reason <> 'ok'"),
    ),
    is_partitioned=False,
    is_one_for_one=False,
)
