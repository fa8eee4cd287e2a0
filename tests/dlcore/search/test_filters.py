"""Filters by columns: exact, never fewer than k while k exist, kept through compaction, and refused with what there
is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcore.search.byte_strings import ByteStrings
from dlcore.search.entries import Entries, concatenated
from dlcore.search.filters import in_ranges, where_of
from dlcore.search.index import Index, open_index
from dlcore.search.manifest import publish_manifest
from dlcore.search.segment import held_groups, held_segment, open_segment, write_segment
from dlcore.search.store import Store

SHOPS = (b"", b"north", "süd".encode())
PRICES = (np.nan, 5.0, 12.5, 20.0)


def some_entries(seed: int, count: int) -> Entries:
    rng = np.random.default_rng(seed)
    nothing = ByteStrings(np.empty(0, np.uint8), np.zeros(count, np.int64))
    return Entries(
        codes=rng.integers(0, 4, (count, 8), np.uint8),
        days=np.array([f"2026-11-{1 + n % 3:02d}" for n in sorted(rng.integers(0, 3, count))], "M8[D]"),
        keys=ByteStrings.of(f"sku{n}".encode() for n in range(count)),
        crops=np.zeros(count, np.int16),
        labels=ByteStrings.of(b"mug" if n % 2 else b"pan" for n in range(count)),
        groups=nothing,
        thumbnail_ends=np.zeros(count, np.int64),
        thumbnails=np.empty(0, np.uint8),
        columns={
            "shop": ByteStrings.of(SHOPS[n] for n in rng.integers(0, 3, count)),
            "price": np.array(PRICES)[rng.integers(0, 4, count)],
        },
    )


def index_of(*parts: Entries) -> Index:
    whole = concatenated(parts)
    return Index("held", "m", 8, [held_segment(part) for part in parts], held_groups(whole))


@given(
    st.integers(0, 9),
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.integers(1, 40),
    st.sets(st.sampled_from(["", "north", "süd", "nowhere"])),
    st.sets(st.sampled_from(["..5", "5..12.5", "12.5", "13..", "21.."])),
)
def test_filters_are_exact_and_leave_out_nothing_that_passes(seed, counts, k, shops, prices):
    parts = [some_entries(seed + n, count) for n, count in enumerate(counts)]
    index, whole = index_of(*parts), concatenated(parts)
    where = {name: values for name, values in (("shop", shops), ("price", prices)) if values}
    query = some_entries(seed + 100, 1).codes
    bounds = {"..5": (-1, 5), "5..12.5": (5, 12.5), "12.5": (12.5, 12.5), "13..": (13, 1e9), "21..": (21, 1e9)}
    expected = []
    for n in range(len(whole)):
        shop, price = whole.columns["shop"][n].decode(), whole.columns["price"][n]
        is_of_shop = not shops or shop in shops
        is_in_range = not prices or any(low <= price <= high for low, high in (bounds[text] for text in prices))
        if is_of_shop and is_in_range:
            apart = int(np.bitwise_count(whole.codes[n] ^ query[0]).sum())
            expected.append((apart, n))
    positions, apart = index.search(query, k, where)
    assert list(zip(apart[0].tolist(), positions[0].tolist(), strict=True)) == sorted(expected)[:k]


def test_columns_are_read_back_and_survive_compaction(tmp_path):
    store, parts = Store(f"file://{tmp_path}"), [some_entries(seed, 6) for seed in (1, 2)]
    bare = replace(some_entries(3, 4), columns={})
    written = [write_segment(store, part) for part in (*parts, bare)]
    merged = concatenated([open_segment(store, part, 8).entries() for part in written])
    publish_manifest(store, "m", 8, [write_segment(store, merged)], [])
    index = open_index(store.uri)
    assert index.filters() == ("day", "label", "price", "shop")
    for n in range(12):
        part, place = parts[n // 6], n % 6
        shop, price = part.columns["shop"][place].decode(), float(part.columns["price"][place])
        assert index.told(n) == ({"shop": shop} if shop else {}) | ({} if np.isnan(price) else {"price": price})
    assert all(index.told(n) == {} for n in range(12, 16))
    assert index.search(merged.codes[:1], 99, {"shop": ["", "north", "süd"]})[0].shape == (1, 16)


def test_what_cannot_be_filtered_by_is_named_with_what_can():
    index = index_of(some_entries(1, 5))
    with pytest.raises(
        ValueError, match=r"got filters \['owner'\], expected some of day, label, price, shop; build_index"
    ):
        index.search(some_entries(2, 1).codes, 3, {"owner": ["Anna"]})
    for text in ("cheap", "..", "", "nan", "1..x"):
        with pytest.raises(ValueError, match=r"got range .* expected low..high"):
            in_ranges(np.zeros(1), [text])
    with pytest.raises(ValueError, match="got filter 'shop', expected name=value"):
        where_of(["shop"])
    with pytest.raises(ValueError, match=r"got filter column 'Shop/\.\./x', expected small letters"):
        held_segment(replace(some_entries(1, 1), columns={"Shop/../x": np.zeros(1)}))


def test_a_column_of_texts_and_of_numbers_is_refused():
    entries = some_entries(1, 2)
    with pytest.raises(ValueError, match="got texts and numbers in filter column 'shop'"):
        concatenated([entries, replace(entries, columns={"shop": np.zeros(2)})])
    with pytest.raises(ValueError, match="expected as many in each"):
        replace(entries, columns={"price": np.zeros(3)})
