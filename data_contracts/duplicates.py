"""duplicates: which crops show the same product picture, over all days."""

from __future__ import annotations

import pyarrow as pa

from data_contracts.contract import CROP, DAY, KEY, REASON, Column, Contract, Rule

EVIDENCE = pa.struct(
    [
        ("day", pa.date32()),
        ("key", pa.string()),
        ("crop", pa.int32()),
        ("distance", pa.int32()),
        ("similarity", pa.float32()),
    ]
)
"""A verified pair: the other member, Hamming distance of the codes, cosine similarity of the descriptors."""

DUPLICATES = Contract(
    dataset="duplicates",
    owner="price-monitoring",
    version=2,
    key=("day", "key", "crop"),
    columns=(
        DAY,
        KEY,
        CROP,
        REASON,
        Column("group", pa.string(), "<day>/<key> of the smallest member, <day>/<key>#<crop> of a later crop"),
        Column("size", pa.int32(), "number of members of the group, 1 for a picture without duplicates"),
        Column("is_representative", pa.bool_(), "whether it stands for its group"),
        Column(
            "evidence",
            pa.list_(EVIDENCE),
            "the strongest verified pairs that the picture is in; in a large group, some that reach every member",
        ),
        Column(
            "evidence_count",
            pa.int32(),
            "number of such pairs; an exact copy counts only the pair with the first of its equals",
        ),
    ),
    own_rules=(
        Rule(
            "used_has_group",
            "a used row has a group, the group's size, and says whether it stands for the group",
            "reason = 'ok' AND (`group` IS NULL OR size IS NULL OR size < 1 OR is_representative IS NULL)",
        ),
        Rule(
            "evidence_in_range",
            "distances are not negative, similarities in [-1, 1]",
            "exists(evidence, e -> NOT coalesce(e.distance >= 0 AND e.similarity BETWEEN -1.001 AND 1.001, false))",
        ),
        Rule(
            "evidence_is_counted",
            "a used row says how many pairs it has, which are no fewer than it lists",
            "reason = 'ok' AND (evidence_count IS NULL OR evidence_count < size(evidence))",
        ),
        Rule(
            "whole_groups",
            "a group has as many members as its size says, and one representative",
            "reason = 'ok' AND (count(*) OVER (PARTITION BY `group`) <> size"
            " OR sum(int(is_representative)) OVER (PARTITION BY `group`) <> 1)",
        ),
        Rule("unused_is_alone", "a row that is not used is in no group", "reason <> 'ok' AND `group` IS NOT NULL"),
    ),
    is_partitioned=False,
)
