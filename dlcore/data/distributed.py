"""Records that Spark holds, brought to this machine."""

from __future__ import annotations

from typing import Any

from dlcore.data.sample import Sample
from dlcore.settings import settings


def is_rdd(data: Any) -> bool:
    """Whether `data` is an RDD of Spark's, or offers what one offers."""
    return hasattr(data, "mapPartitions") and hasattr(data, "toLocalIterator")


def collected(rdd: Any) -> list[Any]:
    """All records of `rdd`, in this process's memory, partition after partition.

    Raises:
        ValueError: samples or pictures of more bytes in all than DLCORE_MAX_DATA_BYTES.
    """
    limit, size = settings().max_data_bytes, 0
    records: list[Any] = []
    for record in rdd.toLocalIterator():
        size += _bytes_of(record)
        if size > limit:
            raise ValueError(
                f"got an RDD whose first {len(records) + 1} records have {size} bytes, expected at most {limit} in all: its records are "
                "brought to this machine to train; raise DLCORE_MAX_DATA_BYTES if it has the memory, or take a sample of them"
            )
        records.append(record)
    return records


def _bytes_of(record: Any) -> int:
    """The size of the numbers of a sample, or of a picture; other records are refused where they are used."""
    if isinstance(record, Sample):
        return sum(tensor.storage.nbytes for tensor in (*record.features, *record.labels))
    return int(record.size_bytes()) if hasattr(record, "size_bytes") else 0
