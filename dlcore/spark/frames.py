"""Samples in the rows of a DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.data.sample import Sample

FEATURES, LABEL = "features", "label"


def samples_of(
    frame: Any,
    features: str = FEATURES,
    label: str = LABEL,
    feature_size: Sequence[int] | None = None,
    label_size: Sequence[int] | None = None,
    is_labelled: bool = True,
) -> Any:
    """An RDD of Samples of two columns of a DataFrame, of one where no labels are wanted.

    A cell is a number, a list of numbers, a vector of Spark ML or a row of either; the sizes are the shapes of the
    tensors, those of the cells without.

    Raises:
        ValueError: there is no such column.
    """
    columns = [features, label] if is_labelled else [features]
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(f"got a DataFrame of columns {frame.columns}, expected {missing[0]!r} among them")
    return frame.select(*columns).rdd.map(_sampled(feature_size, label_size))


def _sampled(feature_size: Sequence[int] | None, label_size: Sequence[int] | None) -> Callable[[Any], Sample]:
    def sampled(row: Any) -> Sample:
        cells = zip(row, (feature_size, label_size), strict=False)
        shaped = [array_of(cell) if size is None else array_of(cell).reshape(tuple(size)) for cell, size in cells]
        return Sample.from_ndarray(shaped[0], shaped[1] if len(shaped) > 1 else ())

    return sampled


def array_of(cell: Any) -> Array:
    """The numbers of a cell.

    Raises:
        TypeError: it holds something else.
    """
    found = np.asarray(cell.toArray() if hasattr(cell, "toArray") else cell)
    if found.dtype.kind not in "fiub" or isinstance(cell, (str, bytes)):
        raise TypeError(f"got a cell of type {type(cell).__name__}, expected a number, a list of numbers or a vector")
    return found
