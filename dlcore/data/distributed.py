"""Bring records that Spark holds to this machine."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dlcore.data.sample import Sample
from dlcore.settings import settings


def is_rdd(data: Any) -> bool:
    """Whether `data` is an RDD of Spark, or behaves like one."""
    return hasattr(data, "mapPartitions") and hasattr(data, "toLocalIterator")


def elsewhere(data: Any, is_labelled: bool = True) -> Any:
    """The RDD of samples (or of records that hold one) that `data` is, or that a DataFrame or a DistributedImageFrame
    stands for; None if its records are on this machine. A DataFrame's columns are called "features" and, where labels
    are wanted, "label"."""
    if is_rdd(data):
        return data
    if hasattr(data, "is_distributed") and data.is_distributed():
        return data.rdd
    if hasattr(data, "rdd") and hasattr(data, "schema"):
        return import_module("dlcore.spark.frames").samples_of(data, is_labelled=is_labelled)
    return None


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
                f"got an RDD whose first {len(records) + 1} records have {size} bytes, expected at most {limit} in "
                f"all: its records are "
                "brought to this machine to train; raise DLCORE_MAX_DATA_BYTES if it has the memory, or take a sample "
                "of them"
            )
        records.append(record)
    return records


def _bytes_of(record: Any) -> int:
    """The size of the numbers of a sample, or of a picture; other records are refused where they are used."""
    if isinstance(record, Sample):
        return sum(tensor.storage.nbytes for tensor in (*record.features, *record.labels))
    return int(record.size_bytes()) if hasattr(record, "size_bytes") else 0
