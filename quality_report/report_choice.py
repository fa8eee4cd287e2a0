"""Choose the cases of the two reports that are shown: the largest spreads of prices, and the earliest pictures under
another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quality_report.choice import Known
from spark_jobs.scoring.evaluation import Address
from spark_jobs.scoring.report_scores import pair_of


@dataclass(frozen=True)
class Case:
    """Two pictures of one group, each with what its shop says; about: a line for people.

    is_right: whether the truth has both in one group, None if it does not say.
    """

    pictures: tuple[tuple[Address, str], tuple[Address, str]]
    about: str
    is_right: bool | None


def choose_prices(known: Known, count: int) -> list[Case]:
    """The largest spreads among different shops."""
    rows = [row for row in known.published.price_monitoring if row["shops"] > 1]
    places = {(row["group"], address[1]): address for address, row in sorted(known.published.duplicates.items())}
    found = []
    for row in sorted(rows, key=lambda row: (-row["spread"], row["group"]))[:count]:
        ends = [places.get((row["group"], row[f"{end}_key"])) for end in ("lowest", "highest")]
        if ends[0] is None or ends[1] is None:
            continue
        prices = [
            f"{row[end]:,.2f} {row['currency'] or ''}, {row[f'{end}_shop'] or 'no shop'}"
            for end in ("lowest", "highest")
        ]
        about = (
            f"{row['title'] or row['key']}: {row['pictures']} pictures of {row['shops']} shops, "
            f"{100 * row['spread']:.0f} % apart"
        )
        found.append(Case(((ends[0], prices[0]), (ends[1], prices[1])), about, known.same(ends[0], ends[1])))
    return found


def choose_copies(known: Known, count: int) -> list[Case]:
    """The earliest copies; those that no simple method has found come first."""
    rows = sorted(
        known.published.picture_copyright, key=lambda row: (len(row["found_by"]), row["first_seen"], row["key"])
    )
    found = []
    for row in rows[:count]:
        copy, original = pair_of(row)
        named = f"{row['owner'] or 'no owner'}, in {row['shop'] or 'no shop'}"
        first = f"{row['original_owner'] or 'no owner'}, in {row['original_shop'] or 'no shop'}"
        by = ", ".join(row["found_by"]) or "none of sha256, pHash, title"
        about = f"{row['days_later']} days later, {row['distance']} bits apart; found by {by}"
        found.append(Case(((original, first), (copy, named)), about, known.same(copy, original)))
    return found


def addresses(cases: Sequence[Case]) -> list[Address]:
    """The addresses of all pictures of these cases."""
    return [address for case in cases for address, _ in case.pictures]
