"""What shops say in a catalogue: true to its own world, and the same each time."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta

import pytest

from sample_data.catalogue.demo import DEMO_SEED
from sample_data.catalogue.listings import COPIERS, SHOPS
from sample_data.catalogue.planting import Entry, Plan, plan_catalogue

DAYS = [date(2026, 11, 1) + timedelta(n) for n in range(3)]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_catalogue(DEMO_SEED, DAYS, 200)


def groups_of(plan: Plan) -> dict[str, list[Entry]]:
    found = defaultdict(list)
    for entry in plan.entries:
        if entry.group:
            found[entry.group].append(entry)
    return found


def test_the_owner_shows_a_picture_first_and_copies_say_what_they_would(plan: Plan) -> None:
    for members in groups_of(plan).values():
        (original,) = [entry.listing for entry in members if not entry.transform]
        assert original.use == "own" and original.true_owner == original.owner and original.shop not in COPIERS
        for copy in (entry.listing for entry in members if entry.transform):
            assert copy.first_seen > original.first_seen and copy.true_owner == original.owner
            assert (copy.shop == original.shop) is (copy.use == "own")
            assert copy.owner == (copy.shop if copy.use == "copied" else original.owner)
    assert all(entry.listing.first_seen.date() <= entry.day for entry in plan.entries)
    uses = Counter(entry.listing.use for entry in plan.entries if entry.transform)
    assert min(uses.values()) >= 40


def test_prices_of_a_picture_spread_around_one_and_each_shop_has_its_currency(plan: Plan) -> None:
    several = 0
    for members in groups_of(plan).values():
        euros = [entry.listing.price for entry in members if entry.listing.currency == "EUR"]
        several += len({entry.listing.shop for entry in members if entry.listing.currency == "EUR"}) > 1
        if len(euros) > 1:
            assert max(euros) < 2.5 * min(euros)
    assert several >= 30
    assert all(entry.listing.currency == {**SHOPS, **COPIERS}[entry.listing.shop] for entry in plan.entries)


def test_cells_of_a_row_are_text(plan: Plan) -> None:
    cells = plan.entries[0].metadata()
    assert set(cells) == {"title", "category", "shop", "owner", "price", "currency", "first_seen"}
    assert all(isinstance(text, str) and text for text in cells.values())
    copies = [entry for entry in plan.entries if entry.transform]
    originals = {entry.group: entry.listing.title for entry in plan.entries if not entry.transform}
    same = sum(copy.listing.title == originals[copy.group] for copy in copies)
    assert len(copies) / 4 < same < len(copies) / 2
