"""Score the two reports against the truth: the number of cases, how many are right, how many true ones were found, and
what simple methods would report.

For each image, `listing` in the truth file has its shop, price, currency, first_seen and title, the owner that the shop
names, the `true_owner`, and its `use` (own, licensed, copied): see sample_data/catalogue/listings.py. Without that
there is nothing to score.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.picture_copyright import KINDS, PHASH, SHA256, TITLE
from dlcore.search.codes import distances
from spark_jobs.scoring.baselines import phash
from spark_jobs.scoring.evaluation import Address, Truth, groups_at
from spark_jobs.scoring.published_scores import Published

PHASH_BITS = 10
"""The distance, of 64 bits, within which users of pHash take two pictures for the same."""
Groups = Mapping[Address, str]
Pair = tuple[Address, Address]
"""A picture and the one taken for its original."""
Score = dict[str, Any]


@dataclass(frozen=True)
class Listed:
    """What the truth says about a used picture: its true group, and what its shop says."""

    group: str
    shop: str
    owner: str
    true_owner: str
    use: str
    currency: str
    first_seen: str
    title: str


def read_listings(path: Path, truth: Iterable[Truth], used: Collection[Address]) -> dict[Address, Listed]:
    """The listings in a truth file of the images that are counted and used."""
    counted = {row.address: row.group for row in truth if row.is_counted and row.group and row.address in used}
    found = {}
    for line in filter(str.strip, path.read_text("utf-8").split("\n")):
        told = json.loads(line)
        address = told["day"], told["key"]
        if address in counted and "listing" in told:
            names = (name for name in Listed.__dataclass_fields__ if name != "group")
            found[address] = Listed(str(counted[address]), **{name: told["listing"][name] for name in names})
    return found


def score_published_reports(published: Published, path: Path, truth: Iterable[Truth]) -> dict[str, Score]:
    """The scores `price_monitoring` and `copyright` of what was published, each with those of simple methods as
    `others`.

    path: that of the truth file; without listings there, the result is empty.
    """
    known = read_listings(path, truth, published.groups())
    if not known:
        return {}
    prices = [(row["group"], row["currency"]) for row in published.price_monitoring if row["shops"] > 1]
    cases = [(pair_of(row), row["kind"]) for row in published.picture_copyright]
    sha256 = {address: row["sha256"] for address, row in published.images.items() if row["sha256"]}
    others = score_simple(known, simple_groups(known, sha256, published.whole_pictures))
    ours = score_reports(known, prices, cases, published.groups())
    return {report: {**score, "others": others[report]} for report, score in ours.items()}


def pair_of(row: Mapping[str, Any]) -> Pair:
    """The picture of a row of `picture_copyright`, and its original."""
    return (row["day"].isoformat(), row["key"]), (row["original_day"].isoformat(), row["original_key"])


def score_reports(
    known: Mapping[Address, Listed],
    prices: Iterable[tuple[str, str | None]],
    cases: Sequence[tuple[Pair, str]],
    groups: Groups,
) -> dict[str, Score]:
    """The scores `price_monitoring` and `copyright` of what was published: see `score_prices` and `score_cases`.

    prices: group and currency of each published row that compares shops.
    cases: the published pairs, with their kinds.
    groups: those of `duplicates`.
    """
    reported = set(prices)
    compared = [members for place, members in compared_prices(known, groups).items() if place in reported]
    scored = score_cases(known, [pair for pair, _ in cases])
    for kind in KINDS:
        scored[kind] = score_cases(known, [pair for pair, named in cases if named == kind], kind)
    return {"price_monitoring": score_prices(known, compared), "copyright": scored}


def score_simple(known: Mapping[Address, Listed], simple: Mapping[str, Groups]) -> dict[str, dict[str, Score]]:
    """The same scores for groups that simple methods make, by report and method."""
    return {
        "price_monitoring": {
            name: score_prices(known, list(compared_prices(known, groups).values())) for name, groups in simple.items()
        },
        "copyright": {name: score_cases(known, copies_of(known, groups)) for name, groups in simple.items()},
    }


def compared_prices(known: Mapping[Address, Listed], groups: Groups) -> dict[tuple[str, str], list[Address]]:
    """Group and currency -> the pictures whose prices are compared, if there are two shops."""
    found: defaultdict[tuple[str, str], list[Address]] = defaultdict(list)
    for address, listed in known.items():
        if address in groups:
            found[groups[address], listed.currency].append(address)
    return {place: members for place, members in found.items() if len({known[a].shop for a in members}) > 1}


def copies_of(known: Mapping[Address, Listed], groups: Groups) -> list[Pair]:
    """The pictures whose owner or shop differs from that of the earliest of their group, each with that earliest
    one."""
    members: defaultdict[str, list[Address]] = defaultdict(list)
    for address in known:
        if address in groups:
            members[groups[address]].append(address)
    found = []
    for group in members.values():
        first = min(group, key=lambda address: (known[address].first_seen, address))
        named = known[first].owner, known[first].shop
        found += [(address, first) for address in group if (known[address].owner, known[address].shop) != named]
    return found


def score_prices(known: Mapping[Address, Listed], cases: Sequence[Sequence[Address]]) -> Score:
    """Cases are comparisons of prices of different shops; one is right when all its pictures show the same picture.

    A true case has all pictures of a true group in a currency; it is found when a right case compares two of its shops.
    """
    right = [members for members in cases if len({known[a].group for a in members}) == 1]
    found = {(known[members[0]].group, known[members[0]].currency) for members in right}
    true = set(compared_prices(known, {address: listed.group for address, listed in known.items()}))
    return _score(len(cases), len(right), len(found & true), len(true))


def score_cases(known: Mapping[Address, Listed], pairs: Sequence[Pair], kind: str = "") -> Score:
    """A case is right when its two show the same picture, the first is licensed or copied, and the other names the true
    owner.

    kind: the kind of cases to find, by default both. Copied pictures name another owner, licensed ones only another
        shop.
    """
    judged = [(copy, original) for copy, original in pairs if copy in known and original in known]
    right = {copy for copy, original in judged if _is_right(known[copy], known[original])}
    owned = {listed.group for listed in known.values() if listed.use == "own"}
    uses = {KINDS[0]: ("copied",), KINDS[1]: ("licensed",)}.get(kind, ("licensed", "copied"))
    true = {address for address, listed in known.items() if listed.use in uses and listed.group in owned}
    return _score(len(judged), len(right), len(right & true), len(true))


def _is_right(copy: Listed, original: Listed) -> bool:
    return copy.group == original.group and copy.use != "own" and original.owner == copy.true_owner


def _score(cases: int, right: int, found: int, true: int) -> Score:
    precision = right / cases if cases else 1.0
    return {
        "cases": cases,
        "true_cases": true,
        "precision": precision,
        "recall": found / true if true else 1.0,
        "false_alarms_per_1000": round(1000 * (1 - precision), 1),
    }


def simple_groups(
    known: Mapping[Address, Listed], sha256: Mapping[Address, str], pictures: Mapping[Address, NDArray[np.uint8]]
) -> dict[str, Groups]:
    """Groups by equal files, by near pHashes of the whole pictures (average linkage), by equal titles.

    pictures: small whole ones (S, S, 3).
    """
    titles = {address: " ".join(re.findall(r"\w+", listed.title.lower())) for address, listed in known.items()}
    seen = sorted(set(known) & set(pictures))
    near: dict[Address, str] = {}
    if seen:
        hashes = phash(np.stack([pictures[address] for address in seen]), 8)
        rows = [Truth(address, np.empty((0, 4), np.float32), (), None, None, True) for address in seen]
        near = groups_at(distances(hashes, hashes).astype(np.float64), rows, PHASH_BITS)
    return {SHA256: {a: sha256[a] for a in known if a in sha256}, PHASH: near, TITLE: titles}
