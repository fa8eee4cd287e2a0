"""Turn rows of `features` into signatures as arrays, and tell rows that can be compared from those that cannot."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.features import CODE_LENGTHS, INFINITE_OR_NAN
from data_contracts.reasons import Reason
from dlcore.search.signatures import CHROMA_BYTES, FREQUENCIES
from dlcore.search.verification import Signatures

logger = logging.getLogger(__name__)

_SIZES = {
    "code": CODE_LENGTHS,
    "luminance_hash": (FREQUENCIES**2 // 8,),
    "whole_hash": (FREQUENCIES**2 // 8,),
    "chroma": (CHROMA_BYTES,),
}
"""Sizes in bytes that the signatures of a picture may have."""
SIGNATURES = {"code": "u1", "descriptor": "<f2", "luminance_hash": "u1", "whole_hash": "u1", "chroma": "i1"}
"""Columns of `features` by which a picture is compared, in the order of `Signatures`, and the type of number in their
bytes."""

_NAMED = 5


def comparable_rows(features: pa.Table) -> NDArray[np.int64]:
    """Positions of the used rows of `features` with whole signatures.

    The contract lets no other used row through, but an older one did. Such rows are left out and the log names them, so
    that one of them does not hold up all the others.
    """
    used = np.flatnonzero([reason == Reason.OK for reason in features.column("reason").to_pylist()])
    is_whole = np.ones(len(features), bool)
    for name, sizes in _SIZES.items():
        is_whole &= np.array(
            [value is not None and len(value) in sizes for value in features.column(name).to_pylist()], bool
        )
    is_whole &= _has_descriptor(features.column("descriptor").to_pylist())
    broken = used[~is_whole[used]]
    if len(broken):
        rows = features.select(["day", "key", "crop"]).take(pa.array(broken[:_NAMED])).to_pylist()
        logger.warning(
            "left out %d used rows whose signatures are missing or broken, such as %s; run extract_features again "
            "for their days",
            len(broken),
            ", ".join(f"{row['day']}/{row['key']}#{row['crop']}" for row in rows),
        )
    return used[is_whole[used]]


def _has_descriptor(values: list[bytes | None]) -> NDArray[np.bool_]:
    """Which descriptors are finite and as long as most are; all rows if there is no descriptor at all, which is another
    fault."""
    sizes = Counter(len(value) for value in values if value)
    if not sizes:
        return np.ones(len(values), bool)
    most = max(sizes, key=lambda size: (sizes[size], size))
    return np.array(
        [
            value is not None and len(value) == most and bool(np.isfinite(np.frombuffer(value, "<f2")).all())
            for value in values
        ],
        bool,
    )


def signatures_of(rows: pa.Table) -> Signatures:
    """The signatures of rows of `features` (or of `changed_copies.SCHEMA`) that all have a code.

    Raises:
        ValueError: rows have no descriptor, or codes of several lengths.
    """
    if rows.column("descriptor").null_count:
        raise ValueError("got features without descriptors, expected them: run extract_features with descriptors kept")
    return Signatures(
        _matrix(rows, "code", np.uint8),
        _matrix(rows, "descriptor", np.dtype("<f2")),
        _matrix(rows, "luminance_hash", np.uint8),
        _matrix(rows, "whole_hash", np.uint8),
        _matrix(rows, "chroma", np.int8),
    )


def _matrix(rows: pa.Table, name: str, dtype: Any) -> NDArray[Any]:
    """A column of equally long byte strings as an array (N, length)."""
    values = rows.column(name).to_pylist()
    lengths = {len(value) for value in values}
    if len(lengths) > 1:
        raise ValueError(f"got {name} of {sorted(lengths)} bytes, expected one length")
    return np.frombuffer(b"".join(values), dtype).reshape(len(values), -1 if values else 1)


_LENGTHS = " AND ".join(f"octet_length({name}) IN ({', '.join(map(str, sizes))})" for name, sizes in _SIZES.items())
HAS_LENGTHS = f"coalesce({_LENGTHS}, false)"
"""Spark SQL for whether the signatures of a row of `features` have lengths that are allowed; a descriptor must have the
most usual length."""
HAS_SIGNATURES = f"coalesce({_LENGTHS} AND NOT hex(descriptor) RLIKE '{INFINITE_OR_NAN}', false)"
"""Spark SQL for whether a row of `features` has whole signatures, as `comparable_rows` defines it, apart from the
descriptor's length."""

PICTURE_NAME = f"substring(sha2(concat({', '.join(SIGNATURES)}), 256), 1, 32)"
"""Spark SQL for the name of a picture: rows with equal signatures have the same."""
