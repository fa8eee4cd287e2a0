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
from spark_jobs.stages.detect import as_batch

COLUMNS = (
    "day", "key", "crop", "reason", "code", "descriptor", "luminance_hash", "whole_hash", "chroma", "model_version",
)  # fmt: skip
"""What of `features` is read."""

Floats = NDArray[np.float64]
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
    return pa.Table.from_batches([_rows(features, used, groups, signatures, calibration)])


def _rows(
    features: pa.Table, used: NDArray[np.int64], groups: list[Group], signatures: Signatures, calibration: Calibration
) -> pa.RecordBatch:
    days, keys, crops = (features.column(name).to_pylist() for name in ("day", "key", "crop"))
    names = [_name(day, key, crop) for day, key, crop in zip(days, keys, crops, strict=True)]
    columns: dict[str, Any] = {
        name: features.column(name).combine_chunks() for name in ("day", "key", "crop", "reason")
    }
    empty: list[Any] = [None] * len(features)
    group, size, is_representative, evidence = (list(empty) for _ in range(4))
    for row in used:
        group[row], size[row], is_representative[row], evidence[row] = names[row], 1, True, []
    for found in groups:
        rows = used[found.members]
        for row, pairs in zip(rows, _evidence(found, signatures, calibration), strict=True):
            group[row], size[row] = names[rows[0]], len(rows)
            is_representative[row] = bool(row == used[found.representative])
            evidence[row] = [
                {"day": days[used[other]], "key": keys[used[other]], "crop": crops[used[other]], **measures}
                for other, measures in pairs
            ]
    columns |= {"group": group, "size": size, "is_representative": is_representative, "evidence": evidence}
    return as_batch(columns, DUPLICATES.arrow_schema())


def _evidence(
    group: Group, signatures: Signatures, calibration: Calibration
) -> list[list[tuple[int, dict[str, float]]]]:
    """For each member the other members that it was verified with: (position, distance and similarity)."""
    members = group.members
    left, right = np.triu_indices(len(members), 1)
    pair_cues = cues(signatures, members[left], members[right])
    is_verified = calibration.verifier.probability(pair_cues) >= calibration.threshold
    bits = 8 * signatures.codes.shape[1]
    evidence: list[list[tuple[int, dict[str, float]]]] = [[] for _ in members]
    for a, b, cue in zip(left[is_verified], right[is_verified], pair_cues[is_verified], strict=True):
        measures = {"distance": round(cue[_CODE] * bits), "similarity": float(np.clip(1 - cue[_DESCRIPTOR], -1, 1))}
        evidence[a].append((int(members[b]), measures))
        evidence[b].append((int(members[a]), measures))
    return evidence


def _name(day: Any, key: str, crop: int) -> str:
    """`<day>/<key>`; later crops of an image carry their number."""
    return f"{day}/{key}" if crop == 0 else f"{day}/{key}#{crop}"
