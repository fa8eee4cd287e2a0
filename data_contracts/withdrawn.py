"""withdrawn: which pictures were taken down and which of them came back, one row per decision."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import DAY, KEY, REASON, Column, Contract, Rule

WITHDRAWN = Contract(
    dataset="withdrawn",
    owner="price-monitoring",
    version=1,
    key=("day", "key", "at"),
    columns=(
        DAY,
        KEY,
        REASON,
        Column("why", pa.string(), "the reason given by the person who decided", True),
        Column("at", pa.timestamp("us", "UTC"), "time of the decision; the last one on a key holds", True),
        Column("run", pa.string(), "the run that published it", True),
    ),
    own_rules=(
        Rule("is_a_decision", "a key is either withdrawn or used again", "reason NOT IN ('withdrawn', 'ok')"),
        Rule("has_a_key", "the key is not empty", "key = ''"),
        Rule("day_of_the_decision", "the day is that of the decision", "day <> CAST(at AS DATE)"),
    ),
    is_partitioned=False,
    is_one_for_one=False,
)
