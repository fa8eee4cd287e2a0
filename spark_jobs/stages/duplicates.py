"""From the features of every day to groups of duplicates: join, verify each pair, group without chains, name the groups.

The answer depends on the rows alone, not on their order or the order of the days, and a group is named after its smallest
(day, key), so that its name lasts while it grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.duplicates import DUPLICATES
from data_contracts.reasons import Reason
from dlcore.search.codes import Indices
from dlcore.search.duplicates import Group, group_pairs
from dlcore.search.verification import CUES, Signatures, cues
from spark_jobs.stages.calibration import Calibration, joined_pairs, signatures_of

COLUMNS = (
    "day", "key", "crop", "reason", "code", "descriptor", "luminance_hash", "whole_hash", "chroma", "model_version",
)  # fmt: skip
"""What of `features` is read."""

Floats = NDArray[np.float64]
Evidence = list[tuple[int, dict[str, float]]]
"""Of one member: the positions of the others it was verified with, and how alike they are."""

_PLACE = ("day", "key", "crop")
_CODE, _DESCRIPTOR = CUES.index("code"), CUES.index("descriptor")


def one_version(versions: Sequence[str | None]) -> str:
    """The model version that all used rows share; "" when there is none.

    Raises ValueError when there are several: their codes cannot be compared.
    """
    found = sorted({version for version in versions if version is not None})
    if len(found) > 1:
        raise ValueError(
            f"got features of {len(found)} model versions ({', '.join(v[:12] for v in found)}), expected one; "
            "run extract_features again for the days of the older model"
        )
    return found[0] if found else ""


def find_groups(signatures: Signatures, calibration: Calibration) -> list[Group]:
    """Groups of duplicates among N pictures, as positions."""
    if not len(signatures):
        return []

    def probability(i: Indices, j: Indices) -> Floats:
        return calibration.verifier.probability(cues(signatures, i, j))

    pairs = joined_pairs(signatures, calibration.code_distance, calibration.hash_distance)
    return group_pairs(len(signatures), pairs, probability, calibration.threshold)


def duplicate_rows(features: pa.Table, calibration: Calibration) -> pa.Table:
    """Rows of `features` of all days -> rows of `duplicates`, one for one, in order of day, key and crop.

    Raises ValueError when the rows have codes of several model versions, or of another than the calibration's.
    """
    features = features.sort_by([("day", "ascending"), ("key", "ascending"), ("crop", "ascending")]).combine_chunks()
    version = one_version(features.column("model_version").to_pylist())
    if version and version != calibration.model_version:
        raise ValueError(
            f"got features of model {version[:12]} and a calibration for {calibration.model_version[:12]}; "
            "run calibrate_duplicates again"
        )
    used = np.flatnonzero([reason == Reason.OK for reason in features.column("reason").to_pylist()])
    signatures = signatures_of(features.take(pa.array(used)))
    groups = find_groups(signatures, calibration)
    rows = features.select(["day", "key", "crop", "reason"]).to_pylist()
    for number in used:
        rows[number] |= {"group": _name(rows[number]), "size": 1, "is_representative": True, "evidence": []}
    for group in groups:
        _name_group(rows, used, group, _evidence(group, signatures, calibration))
    return pa.Table.from_pylist(rows, schema=DUPLICATES.arrow_schema())


def _name_group(rows: list[dict[str, Any]], used: NDArray[np.int64], group: Group, evidence: list[Evidence]) -> None:
    """Write a group into the rows of its members. Members are positions among the `used` rows."""
    name = _name(rows[used[group.members[0]]])
    for member, pairs in zip(group.members, evidence, strict=True):
        rows[used[member]] |= {
            "group": name,
            "size": len(group.members),
            "is_representative": int(member) == group.representative,
            "evidence": [{key: rows[used[other]][key] for key in _PLACE} | measures for other, measures in pairs],
        }


def _evidence(group: Group, signatures: Signatures, calibration: Calibration) -> list[Evidence]:
    """The evidence of each member."""
    members = group.members
    left, right = np.triu_indices(len(members), 1)
    pair_cues = cues(signatures, members[left], members[right])
    is_verified = calibration.verifier.probability(pair_cues) >= calibration.threshold
    bits = 8 * signatures.codes.shape[1]
    evidence: list[Evidence] = [[] for _ in members]
    for a, b, cue in zip(left[is_verified], right[is_verified], pair_cues[is_verified], strict=True):
        measures = {"distance": round(cue[_CODE] * bits), "similarity": float(np.clip(1 - cue[_DESCRIPTOR], -1, 1))}
        evidence[a].append((int(members[b]), measures))
        evidence[b].append((int(members[a]), measures))
    return evidence


def _name(row: dict[str, Any]) -> str:
    """`<day>/<key>`; later crops of an image carry their number."""
    place = f"{row['day']}/{row['key']}"
    return place if row["crop"] == 0 else f"{place}#{row['crop']}"
