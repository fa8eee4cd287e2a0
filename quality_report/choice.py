"""Choose the images that a report shows: detections, crops, groups of duplicates, neighbours, and the worst mistakes
among them.

The choices depend only on the published rows and the truth; the same rows always give the same images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from data_contracts.reasons import Reason
from dlcore.boxes import iou
from dlcore.search.codes import distances
from spark_jobs.scoring.evaluation import ORIGINAL, Address, Truth
from spark_jobs.scoring.published_scores import Pair, Published, Row, counted

Box = tuple[float, float, float, float]
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_OVERLAP = 0.5


@dataclass(frozen=True)
class Seen:
    """An image with what was found in it and what is really there. missed: true things that were not found. wrong:
    found things that are not there."""

    address: Address
    found: list[tuple[str, float, Box]]
    true: list[tuple[str, Box]]
    missed: int = 0
    wrong: int = 0


@dataclass(frozen=True)
class Member:
    """An image of a group. distance: bits from the representative. similarity: cosine, None if the pair was not
    verified.

    is_right: whether the truth has it in the representative's group, None if the truth does not say.
    """

    address: Address
    change: str
    distance: int
    similarity: float | None
    is_representative: bool
    is_right: bool | None


@dataclass(frozen=True)
class Mistake:
    """Two images that share a group but should not, or the other way round. kind: which of the two. change: what the
    images are."""

    first: Address
    second: Address
    kind: str
    change: str
    distance: int


@dataclass(frozen=True)
class Neighbours:
    """A query and the images nearest to its code: image, bits apart, whether it shows the same (None: the truth does
    not say)."""

    query: Address
    found: list[tuple[Address, int, bool | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """The published rows and the truth, by address."""

    published: Published
    truth: Mapping[Address, Truth]

    @classmethod
    def of(cls, published: Published, truth: Iterable[Truth]) -> Known:
        """Rows and the truth about them."""
        return cls(published, {row.address: row for row in truth})

    def change(self, address: Address) -> str:
        """What was done to the image's original, in words."""
        row = self.truth.get(address)
        return (row.transform or ORIGINAL).replace("_", " ") if row else ""

    def same(self, first: Address, second: Address) -> bool | None:
        """Whether two images are duplicates; None if the truth does not say."""
        rows = self.truth.get(first), self.truth.get(second)
        if any(row is None or row.group is None or not row.is_counted for row in rows):
            return None
        return bool(rows[0] and rows[1] and rows[0].group == rows[1].group)

    def bits_apart(self, first: Address, second: Address) -> int:
        """Hamming distance of two codes."""
        codes = [np.frombuffer(self.published.features[a]["code"], np.uint8)[None] for a in (first, second)]
        return int(distances(*codes)[0, 0])

    def has_code(self, address: Address) -> bool:
        """Whether the image has a code."""
        return bool(self.published.features.get(address, {}).get("code"))


def spread(items: Sequence[Address], count: int) -> list[Address]:
    """At most `count` of the items, evenly over their order."""
    if len(items) <= count:
        return list(items)
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, count)]


def seen(known: Known, address: Address) -> Seen:
    """What was found in an image, and what is really there."""
    objects: list[Row] = known.published.detections[address]["objects"] or []
    found = [(o["label"], float(o["score"]), _box(o)) for o in objects]
    row = known.truth.get(address)
    true = [] if row is None else [(label, _as_box(box)) for label, box in zip(row.labels, row.boxes, strict=True)]
    matched = _matched(found, true)
    return Seen(address, found, true, len(true) - matched, len(found) - matched if true else 0)


def _box(row: Row) -> Box:
    x_min, y_min, x_max, y_max = (float(row[name]) for name in _CORNERS)
    return x_min, y_min, x_max, y_max


def _as_box(values: NDArray[np.float32]) -> Box:
    x_min, y_min, x_max, y_max = (float(value) for value in values)
    return x_min, y_min, x_max, y_max


def _matched(found: Sequence[tuple[str, float, Box]], true: Sequence[tuple[str, Box]]) -> int:
    """How many true things are found, with the right label and a box that overlaps by half."""
    left = list(true)
    for label, _, box in found:
        same = [i for i, (other, _) in enumerate(left) if other == label]
        if not same:
            continue
        overlaps = iou(np.array([box], np.float32), np.array([left[i][1] for i in same], np.float32))[0]
        if overlaps.max() >= _OVERLAP:
            del left[same[int(overlaps.argmax())]]
    return len(true) - len(left)


def choose_detections(known: Known, count: int) -> list[Seen]:
    """Images with objects: a third with several things in them, the rest spread over the labels."""
    used = [a for a, row in known.published.detections.items() if row["reason"] == Reason.OK and row["objects"]]
    looks = {address: seen(known, address) for address in sorted(used)}
    several = [address for address, look in looks.items() if max(len(look.true), len(look.found)) > 1]
    chosen = spread(several, count // 3)
    by_label = sorted(set(looks) - set(several), key=lambda address: (looks[address].found[0][0], address))
    return [looks[address] for address in chosen + spread(by_label, count - len(chosen))]


def worst_detections(known: Known, count: int) -> list[Seen]:
    """The images with the most things missed or wrongly found, worst first."""
    judged = [a for a, row in known.truth.items() if len(row.boxes) and a in known.published.detections]
    looks = [look for look in (seen(known, address) for address in judged) if look.missed or look.wrong]
    return sorted(looks, key=lambda look: (-look.missed - look.wrong, look.address))[:count]


def choose_crops(known: Known, count: int) -> list[Address]:
    """Used crops over the labels; those of whole images come first, at most a quarter."""
    used = {a: row for a, row in known.published.crops.items() if row["reason"] == Reason.OK}
    order = sorted(used, key=lambda address: (used[address]["label"] or "", address))
    whole = spread([address for address in order if used[address]["source"] == "whole_image"], count // 4)
    return whole + spread([a for a in order if used[a]["source"] != "whole_image"], count - len(whole))


def choose_groups(known: Known, count: int, most: int) -> list[list[Member]]:
    """The largest groups of duplicates, the representative first; at most `most` members of each."""
    groups: defaultdict[str, list[Address]] = defaultdict(list)
    for address, name in known.published.groups().items():
        groups[name].append(address)
    several = sorted((g for g in groups.values() if len(g) > 1), key=lambda group: (-len(group), min(group)))
    return [_members(known, group)[:most] for group in several[:count]]


def _members(known: Known, group: Sequence[Address]) -> list[Member]:
    rows = known.published.duplicates
    first = next((a for a in group if rows[a]["is_representative"]), min(group))
    similar = {(e["day"].isoformat(), e["key"]): float(e["similarity"]) for e in rows[first]["evidence"] or []}
    members = [
        Member(
            address,
            known.change(address),
            known.bits_apart(first, address),
            similar.get(address),
            address == first,
            known.same(first, address) if address != first else None,
        )
        for address in group
    ]
    return sorted(members, key=lambda member: (not member.is_representative, member.distance, member.address))


def choose_neighbours(known: Known, queries: int, k: int) -> list[Neighbours]:
    """Originals of different labels that have duplicates, each with the `k` nearest of all the other images."""
    coded = sorted(address for address in known.published.features if known.has_code(address))
    if len(coded) < 2:
        return []
    codes = np.stack([np.frombuffer(known.published.features[a]["code"], np.uint8) for a in coded])
    return [_neighbours(known, query, coded, codes, k) for query in _queries(known, coded, queries)]


def _queries(known: Known, coded: Sequence[Address], count: int) -> list[Address]:
    partners: defaultdict[str, list[Truth]] = defaultdict(list)
    for address in coded:
        row = known.truth.get(address)
        if row is not None and row.group is not None and row.is_counted:
            partners[row.group].append(row)
    originals = [r for g in partners.values() if len(g) > 1 for r in g if r.transform is None and r.labels]
    by_label = {row.labels[0]: row.address for row in reversed(originals)}
    return spread([by_label[label] for label in sorted(by_label)] or coded, count)


def _neighbours(known: Known, query: Address, coded: Sequence[Address], codes: NDArray[np.uint8], k: int) -> Neighbours:
    apart = distances(codes[coded.index(query)][None], codes)[0]
    nearest = [coded[i] for i in np.argsort(apart, kind="stable") if coded[i] != query][:k]
    return Neighbours(query, [(a, int(apart[coded.index(a)]), known.same(query, a)) for a in nearest])


def false_merges(known: Known, look_alikes: Sequence[Pair], count: int) -> list[Mistake]:
    """Pairs that share a group and should not, one of each group; planted look-alikes among them are named."""
    kinds = {frozenset(pair[:2]): pair[2].replace("_", " ") for pair in look_alikes}
    groups: defaultdict[str, list[Address]] = defaultdict(list)
    for address, name in known.published.groups().items():
        groups[name].append(address)
    found = []
    for members in groups.values():
        wrong = [pair for pair in combinations(sorted(members), 2) if known.same(*pair) is False]
        wrong.sort(key=lambda pair: (frozenset(pair) not in kinds, known.bits_apart(*pair)))
        if wrong:
            found.append(_mistake(known, wrong[0], kinds.get(frozenset(wrong[0]), "different products")))
    return sorted(found, key=lambda mistake: -mistake.distance)[:count]


def missed_pairs(known: Known, count: int) -> list[Mistake]:
    """Copies that are not in the group of their original: the nearest first, one for each original."""
    rows = counted(list(known.truth.values()))
    originals = {row.group: row.address for row in rows if row.transform is None}
    groups, found = known.published.groups(), []
    for row in rows:
        original = originals.get(row.group)
        if original is None or row.address == original or groups.get(original, "") == groups.get(row.address):
            continue
        if known.has_code(original) and known.has_code(row.address):
            found.append(_mistake(known, (original, row.address), "missed"))
    nearest: dict[Address, Mistake] = {}
    for mistake in sorted(found, key=lambda mistake: mistake.distance):
        nearest.setdefault(mistake.first, mistake)
    return list(nearest.values())[:count]


def _mistake(known: Known, pair: tuple[Address, Address], kind: str) -> Mistake:
    first, second = pair
    changes = [change for change in map(known.change, pair) if change != ORIGINAL]
    return Mistake(first, second, kind, " / ".join(changes), known.bits_apart(first, second))
