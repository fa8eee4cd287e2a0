"""Turn the features of every day into groups of duplicates: join, verify each pair, group without chains, name the
groups.

The result depends on the rows alone, not on their order or the order of the days. A group is named after its smallest
(day, key), so that it keeps its name while it grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.duplicates import DUPLICATES, EVIDENCE
from data_contracts.reasons import Reason
from dlcore.search.codes import Indices
from dlcore.search.duplicates import Group, group_pairs, with_copies
from dlcore.search.verification import CUES, Signatures, cues
from spark_jobs.stages.calibration import Calibration, joined_pairs
from spark_jobs.stages.signature_rows import comparable_rows, signatures_of

COLUMNS = (
    "day", "key", "crop", "reason", "code", "descriptor", "luminance_hash", "whole_hash", "chroma", "model_version",
)  # fmt: skip
"""The columns of `features` that are read."""

Floats = NDArray[np.float64]
Evidence = list[tuple[int, dict[str, float]]]
"""The evidence of one member: the positions of the others it was verified with, and how alike they are."""

GROUPED = pa.schema(
    [
        ("picture", pa.string()),
        ("group_place", pa.struct([("day", pa.date32()), ("key", pa.string()), ("crop", pa.int32())])),
        ("group_size", pa.int64()),
        ("is_chosen", pa.bool_()),
        ("pairs", pa.list_(EVIDENCE)),
        ("pair_count", pa.int32()),
    ]
)
"""Rows of `group_batches`: first row and size of a picture's group, whether the picture represents it, and its
evidence."""

_PLACE = ("day", "key", "crop")
_ALL_PAIRS = 20  # distinct pictures of a group up to which all their verified pairs are evidence
MOST_EVIDENCE = 100
"""Most pairs that a row names; all of them are counted."""
_BLOCK = 65536
_ROWS = 8192
_Pair = tuple[int, int, int]
"""Positions of two pictures, and 1 if the pair is known to be evidence."""
_NUMBERED = re.compile(r"#[0-9]+\Z")
_CODE, _DESCRIPTOR = CUES.index("code"), CUES.index("descriptor")


def one_version(versions: Sequence[str | None]) -> str:
    """The model version that all used rows share; "" if no row is used.

    Raises:
        ValueError: there are several versions, whose codes cannot be compared.
    """
    found = sorted({version for version in versions if version is not None})
    if len(found) > 1:
        raise ValueError(
            f"got features of {len(found)} model versions ({', '.join(v[:12] for v in found)}), expected one; "
            "run extract_features again for the days of the older model"
        )
    return found[0] if found else ""


def check_calibrated(version: str, calibration: Calibration) -> None:
    """Raise ValueError if a calibration is for another model version than that of the features; "" stands for no
    features."""
    if version and version != calibration.model_version:
        raise ValueError(
            f"got features of model {version[:12]} and a calibration for {calibration.model_version[:12]}; "
            "run calibrate_duplicates again"
        )


def find_groups(signatures: Signatures, calibration: Calibration) -> list[Group]:
    """Groups of duplicates among N pictures, as positions. Pictures with equal signatures are duplicates, compared only
    once."""
    first, copy_of = signatures.distinct()
    distinct = signatures.take(first)

    def probability(i: Indices, j: Indices) -> Floats:
        return _probability(distinct, i, j, calibration)

    pairs = joined_pairs(distinct, calibration.code_distance, calibration.hash_distance)
    return with_copies(group_pairs(len(distinct), pairs, probability, calibration.threshold), copy_of)


def _probability(signatures: Signatures, i: Indices, j: Indices, calibration: Calibration) -> Floats:
    """P(duplicate) of pairs, block by block: cues take 200 bytes for each pair."""
    blocks = range(0, max(len(i), 1), _BLOCK)
    parts = (cues(signatures, i[start : start + _BLOCK], j[start : start + _BLOCK]) for start in blocks)
    return np.concatenate([calibration.verifier.probability(part) for part in parts])


def duplicate_rows(features: pa.Table, calibration: Calibration) -> pa.Table:
    """Rows of `features` of all days -> rows of `duplicates`, one for one, in order of day, key and crop.

    Raises:
        ValueError: the rows have codes of several model versions, or of another than the calibration's.
    """
    features = features.sort_by([("day", "ascending"), ("key", "ascending"), ("crop", "ascending")]).combine_chunks()
    check_calibrated(one_version(features.column("model_version").to_pylist()), calibration)
    used = comparable_rows(features)
    signatures = signatures_of(features.take(pa.array(used)))
    groups = find_groups(signatures, calibration)
    rows = features.select(["day", "key", "crop", "reason"]).to_pylist()
    for number in np.flatnonzero([row["reason"] == Reason.OK for row in rows]):
        rows[number] |= {"group": _name(rows[number]), "size": 1, "is_representative": True} | _told([], rows)
    for group, evidence in _with_evidence(groups, signatures, calibration):
        _name_group(rows, used, group, evidence)
    return pa.Table.from_pylist(rows, schema=DUPLICATES.arrow_schema())


def _name_group(rows: list[dict[str, Any]], used: NDArray[np.int64], group: Group, evidence: list[Evidence]) -> None:
    """Write a group into the rows of its members, which are positions among the `used` rows."""
    name = _name(rows[used[group.members[0]]])
    for member, pairs in zip(group.members, evidence, strict=True):
        rows[used[member]] |= {
            "group": name,
            "size": len(group.members),
            "is_representative": int(member) == group.representative,
        } | _told([(int(used[other]), measures) for other, measures in pairs], rows)


def _told(pairs: Evidence, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns `evidence` (the strongest pairs, in order of their places) and `evidence_count`."""
    strongest = sorted(pairs, key=lambda pair: (-pair[1]["similarity"], pair[1]["distance"], pair[0]))[:MOST_EVIDENCE]
    places = [
        {name: rows[other][name] for name in _PLACE} | measures
        for other, measures in sorted(strongest, key=lambda pair: pair[0])
    ]
    return {"evidence": places, "evidence_count": len(pairs)}


def group_batches(batches: Iterable[pa.RecordBatch], calibration: Calibration) -> Iterator[pa.RecordBatch]:
    """Distinct pictures of whole components, all those of a task -> rows of GROUPED for those that are in a group.

    Rows: picture, day, key and crop of its first row, copies, signatures, others (the names of those it is paired
    with).
    """
    parts = list(batches)
    if not parts:
        return
    members = pa.Table.from_batches(parts).sort_by([(name, "ascending") for name in _PLACE]).combine_chunks()
    signatures = signatures_of(members)

    def probability(i: Indices, j: Indices) -> Floats:
        return _probability(signatures, i, j, calibration)

    rows = members.select(["picture", *_PLACE, "copies"]).to_pylist()
    pairs = _positions(members.column("picture"), members.column("others"))
    groups = group_pairs(len(rows), pairs, probability, calibration.threshold)
    told: list[dict[str, Any]] = []
    for group, evidence in _with_evidence(groups, signatures, calibration):
        told += _grouped(rows, group, evidence)
        if len(told) >= _ROWS:
            yield pa.RecordBatch.from_pylist(told, GROUPED)
            told = []
    yield pa.RecordBatch.from_pylist(told, GROUPED)


def _positions(names: pa.ChunkedArray, others: pa.ChunkedArray) -> tuple[Indices, Indices]:
    """Pairs i < j of positions among the names; each name has the list of those it is paired with, or none. Names whose
    picture is no longer used are left out."""
    lists = others.combine_chunks()
    found = pc.index_in(pc.list_flatten(lists), value_set=names.combine_chunks())
    is_there = found.is_valid().to_numpy(zero_copy_only=False)
    one = pc.list_parent_indices(lists).to_numpy()[is_there].astype(np.int64)
    other = found.drop_null().to_numpy().astype(np.int64)
    return np.minimum(one, other), np.maximum(one, other)


def _grouped(rows: list[dict[str, Any]], group: Group, evidence: list[Evidence]) -> list[dict[str, Any]]:
    """Rows of GROUPED for one group's members, which are positions among the rows."""
    about = {
        "group_place": {name: rows[group.members[0]][name] for name in _PLACE},
        "group_size": sum(rows[member]["copies"] for member in group.members),
    }
    found = []
    for member, pairs in zip(group.members, evidence, strict=True):
        told = _told(pairs, rows)
        own = {"pairs": told["evidence"], "pair_count": told["evidence_count"]}
        is_chosen = int(member) == group.representative
        found.append(about | own | {"picture": rows[member]["picture"], "is_chosen": is_chosen})
    return found


def _with_evidence(
    groups: Sequence[Group], signatures: Signatures, calibration: Calibration
) -> Iterator[tuple[Group, list[Evidence]]]:
    """Each group with the evidence of its members; a large group has only some of its pairs, which reach every member.

    The pairs of many groups are measured together, since those of one take hardly less time.
    """
    _, copy_of = signatures.distinct()
    waiting: list[tuple[Group, list[_Pair]]] = []
    count = 0
    for number, group in enumerate(groups, 1):
        waiting.append((group, _evidence_pairs(group, copy_of, signatures, calibration)))
        count += len(waiting[-1][1])
        if number == len(groups) or count >= _BLOCK:
            yield from _measured(waiting, signatures, calibration)
            waiting, count = [], 0


def _measured(
    waiting: Sequence[tuple[Group, list[_Pair]]], signatures: Signatures, calibration: Calibration
) -> Iterator[tuple[Group, list[Evidence]]]:
    """Groups with those of their pairs that are evidence, and how alike these are."""
    pairs = np.array([pair for _, pairs in waiting for pair in pairs], np.int64).reshape(-1, 3)
    pair_cues = cues(signatures, pairs[:, 0], pairs[:, 1])
    is_kept = ((pairs[:, 2] == 1) | (calibration.verifier.probability(pair_cues) >= calibration.threshold)).tolist()
    distances = np.round(pair_cues[:, _CODE] * 8 * signatures.codes.shape[1]).astype(np.int64).tolist()
    similarities = np.clip(1 - pair_cues[:, _DESCRIPTOR], -1, 1).tolist()
    measured = zip(is_kept, distances, similarities, strict=True)
    for group, own in waiting:
        evidence: dict[int, Evidence] = {member: [] for member in group.members.tolist()}
        for one, other, _ in own:
            kept, distance, similarity = next(measured)
            if kept:
                measures = {"distance": distance, "similarity": similarity}
                evidence[one].append((other, measures))
                evidence[other].append((one, measures))
        yield group, list(evidence.values())


def _evidence_pairs(group: Group, copy_of: Indices, signatures: Signatures, calibration: Calibration) -> list[_Pair]:
    """Pairs of a group's members that may be evidence, each once: a picture and its equals, and pairs of the others.

    If there are few, all count; otherwise each picture's verified pair with the representative or, failing that, with
    its likeliest.
    """
    first: dict[int, int] = {}
    members = group.members.tolist()
    equal = [first.setdefault(which, member) for which, member in zip(copy_of[members].tolist(), members, strict=True)]
    pairs = [(one, member, 1) for one, member in zip(equal, members, strict=True) if one != member]
    distinct = list(first.values())
    if len(distinct) <= _ALL_PAIRS:
        return pairs + [(one, other, 0) for one, other in combinations(distinct, 2)]
    centre = first[int(copy_of[group.representative])]
    own = signatures.take(np.array(distinct))
    found = _reaching_pairs(own, distinct.index(centre), calibration)
    return pairs + [(distinct[one], distinct[other], 1) for one, other in found.tolist()]


def _reaching_pairs(own: Signatures, centre: int, calibration: Calibration) -> Indices:
    """Verified pairs (P, 2) of distinct pictures, in order: each picture's pair with the `centre` or, if that is not
    verified, its likeliest."""
    every = np.arange(len(own))
    others = every[every != centre]
    near = _verified(own, np.full(len(others), centre), others, calibration)
    far = [_likeliest(own, one, every[every != one], calibration) for one in np.setdiff1d(others, near[1])]
    one, other = (np.concatenate(part) for part in zip(near, *far, strict=True))
    found: Indices = np.unique(np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1), axis=0)
    return found


def _verified(own: Signatures, left: Indices, right: Indices, calibration: Calibration) -> tuple[Indices, Indices]:
    passes = _probability(own, left, right, calibration) >= calibration.threshold
    return left[passes], right[passes]


def _likeliest(own: Signatures, one: int, others: Indices, calibration: Calibration) -> tuple[Indices, Indices]:
    """The pair of `one` with the other that it resembles most; none if that is not verified."""
    likely = others[[np.argmax(_probability(own, np.full(len(others), one), others, calibration))]]
    return _verified(own, np.array([one]), likely, calibration)


def _name(row: dict[str, Any]) -> str:
    """`<day>/<key>`; later crops of an image have their number added, and so has the first crop of a key that looks
    numbered."""
    place = f"{row['day']}/{row['key']}"
    return f"{place}#{row['crop']}" if row["crop"] or _NUMBERED.search(row["key"]) else place
