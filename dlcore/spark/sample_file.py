"""The samples of one partition in one file, which a worker maps into memory: nothing is parsed, only what a batch needs
is read.

A tensor of all samples is a column. Where the samples' tensors are dense and of one shape a column is one array; else
it holds the values one after the other, with the shape of each and, of sparse ones, their places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.data.batch import MiniBatch, batch_of
from dlcore.data.dataset import sample_of
from dlcore.data.sample import JTensor, Sample
from dlcore.spark.epoch_order import Places

Arrays = dict[str, Any]


def arrays_of(samples: Iterable[Any]) -> Arrays:
    """The columns of these samples, or of what holds one, as arrays by name.

    Raises:
        TypeError: a record holds no sample.
        ValueError: samples with different numbers of features or of labels.
    """
    found = [sample_of(record) for record in samples]
    arrays: Arrays = {"count": np.array([len(found)])}
    if not found:
        return arrays
    for kind in ("features", "labels"):
        rows = [getattr(sample, kind) for sample in found]
        if len({len(row) for row in rows}) > 1:
            raise ValueError(f"got samples of {sorted({len(row) for row in rows})} {kind}, expected as many in each")
        for place, tensors in enumerate(zip(*rows, strict=True)):
            arrays |= {f"{kind}/{place}/{name}": array for name, array in _column(tensors).items()}
    return arrays


def _column(tensors: Sequence[JTensor]) -> Arrays:
    shapes = {tensor.shape for tensor in tensors}
    if len(shapes) == 1 and not any(tensor.is_sparse for tensor in tensors):
        return {"rows": np.stack([tensor.to_ndarray() for tensor in tensors])}
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"got tensors of shapes {sorted(shapes)[:3]}, expected as many dimensions in all samples")
    columns = {
        "values": np.concatenate([tensor.storage.reshape(-1) for tensor in tensors]),
        "ends": np.cumsum([tensor.storage.size for tensor in tensors]),
        "shapes": np.array([tensor.shape for tensor in tensors], np.int64),
    }
    if tensors[0].is_sparse:
        columns["places"] = np.concatenate(
            [np.asarray(tensor.indices).reshape(len(tensor.shape), -1) for tensor in tensors], axis=1
        )
    return columns


@dataclass(frozen=True)
class SampleColumns:
    """The samples of a partition, on the arrays that `arrays_of` made."""

    arrays: Arrays

    def __len__(self) -> int:
        return int(self.arrays["count"][0])

    def batch(self, places: Places) -> MiniBatch:
        """The batch of the samples at these 0-based places.

        Raises:
            ValueError: tensors of different shapes.
        """
        if not any(name.endswith("/values") for name in self.arrays):
            features, labels = self._rows("features", places), self._rows("labels", places)
            target: Any = None if not labels else labels[0] if len(labels) == 1 else labels
            found: Any = features[0] if len(features) == 1 else features
            return MiniBatch(found, target)
        return batch_of([self.sample(int(place)) for place in places])

    def _rows(self, kind: str, places: Places) -> list[Array]:
        return [self.arrays[f"{kind}/{each}/rows"][places] for each in range(self._count(kind))]

    def _count(self, kind: str) -> int:
        return len({name.split("/")[1] for name in self.arrays if name.startswith(f"{kind}/")})

    def sample(self, place: int) -> Sample:
        """One of them."""
        of: Callable[[str], list[JTensor]] = lambda kind: [  # noqa: E731
            self._tensor(f"{kind}/{each}", place) for each in range(self._count(kind))
        ]
        return Sample(of("features"), of("labels"))

    def _tensor(self, column: str, place: int) -> JTensor:
        if f"{column}/rows" in self.arrays:
            return _tensor_of(self.arrays[f"{column}/rows"][place])
        ends, shape = self.arrays[f"{column}/ends"], tuple(self.arrays[f"{column}/shapes"][place])
        stretch = slice(ends[place - 1] if place else 0, ends[place])
        values = self.arrays[f"{column}/values"][stretch]
        if f"{column}/places" not in self.arrays:
            return _tensor_of(values.reshape(shape))
        found: JTensor = JTensor.sparse(values, self.arrays[f"{column}/places"][:, stretch], shape, _kind(values))
        return found


def _tensor_of(array: Array) -> JTensor:
    found: JTensor = JTensor.from_ndarray(array, _kind(array))
    return found


def _kind(array: Array) -> str:
    return "double" if array.dtype == np.float64 else "float"
