"""The transformer of BigDL's datasets."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlcore.data.sample import Sample


def normalizer(data: Any, mean: Any, std: Any = None) -> Any:
    """(data - mean) / std of an array.

    As in BigDL 0.1, `normalizer(mean, std)` is the function that does this with the features of a Sample, or with an
    array.
    Source: BigDL's dataset.transformer.

    Example:
        >>> normalizer(np.array([1.0, 5.0]), 3.0, 2.0)
        array([-1.,  1.])
        >>> normalizer(3.0, 2.0)(Sample.from_ndarray(np.ones(1), 4)).feature.tolist()
        [-1.0]
    """
    if std is None:
        return lambda record: _normalised(record, data, mean)
    return _normalised(data, mean, std)


def _normalised(record: Any, mean: Any, std: Any) -> Any:
    if isinstance(record, Sample):
        return Sample.from_ndarray([(feature - mean) / std for feature in record.features], record.labels)
    return (np.asarray(record) - mean) / std
