"""Batches of samples: features and labels are stacked, shorter ones padded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, SparseMatrix, leaves, map_leaves
from dlcore.data.sample import JTensor, Sample


@dataclass(frozen=True)
class DefaultPadding:
    """Padding to the length of the longest of the batch."""

    def length(self, longest: int, place: int) -> int:
        """The length of tensor `place` (0-based) in a batch whose longest has length `longest`."""
        return longest


@dataclass(frozen=True)
class PaddingLongest(DefaultPadding):
    """Padding to padding_length[i] beyond the longest of the batch, for tensor i."""

    padding_length: Sequence[int]

    def length(self, longest: int, place: int) -> int:
        return longest + self.padding_length[place]


@dataclass(frozen=True)
class FixedLength(DefaultPadding):
    """Padding to length fixed_length[i], for tensor i; a negative length stands for the longest of the batch.

    Raises:
        ValueError: a tensor is longer.
    """

    fixed_length: Sequence[int]

    def length(self, longest: int, place: int) -> int:
        fixed = self.fixed_length[place]
        if 0 <= fixed < longest:
            raise ValueError(f"FixedLength: got tensor {place + 1} of length {longest}, expected at most {fixed}")
        return max(fixed, longest)


@dataclass(frozen=True)
class PaddingParam:
    """How shorter tensors of a batch are padded.

    padding_tensor: for each tensor of a sample, the padding value: a number, or an array of the shape of one element
        along the first dimension; by default zeros. padding_strategy: how long the first dimension becomes.
    Source: BigDL's PaddingParam.
    """

    padding_tensor: Sequence[Any] | None = None
    padding_strategy: DefaultPadding = field(default_factory=DefaultPadding)

    def filling(self, place: int) -> Any:
        """The padding value of tensor `place`."""
        return 0.0 if self.padding_tensor is None else np.asarray(self.padding_tensor[place], np.float32)


@dataclass(frozen=True)
class MiniBatch:
    """Several records: input and target are arrays, sparse matrices or tables with the records along the first
    dimension.

    target is None where records have no labels.
    """

    input: Activity
    target: Activity | None

    def size(self) -> int:
        """The number of records."""
        return len(next(leaves(self.input)))

    def get_input(self) -> Activity:
        """The features, in the form that a model takes."""
        return self.input

    def get_target(self) -> Activity | None:
        """The labels, in the form that a criterion takes."""
        return self.target

    def slice(self, offset: int, length: int) -> MiniBatch:
        """`length` records from number `offset` on; it counts from 1, as in BigDL.

        Raises:
            ValueError: there are fewer records.
        """
        if not 1 <= offset <= offset + length - 1 <= self.size():
            raise ValueError(f"slice: got records {offset} to {offset + length - 1}, expected 1 to {self.size()}")
        return self.rows(offset - 1, offset - 1 + length)

    def rows(self, start: int, stop: int) -> MiniBatch:
        """The records from the 0-based `start` up to but not including `stop`."""

        def of(x: Activity) -> Activity:
            return map_leaves(lambda leaf: leaf[start:stop], x)

        return MiniBatch(of(self.input), None if self.target is None else of(self.target))


def batch_of(
    samples: Sequence[Sample], feature_padding: PaddingParam | None = None, label_padding: PaddingParam | None = None
) -> MiniBatch:
    """The batch of these samples; without padding, all must have one shape.

    Several features, or labels, make a table. Sparse features (M,) make a SparseMatrix (N, M).

    Raises:
        ValueError: no samples, other numbers of features or labels, or shapes that do not fit.
    """
    if not samples:
        raise ValueError("batch: got no samples, expected at least one")
    features = _columns([sample.features for sample in samples], "features", feature_padding)
    labels = _columns([sample.labels for sample in samples], "labels", label_padding)
    return MiniBatch(features[0] if len(features) == 1 else features, _target(labels))


def _target(labels: list[Any]) -> Any:
    if not labels:
        return None
    return labels[0] if len(labels) == 1 else labels


def _columns(records: list[list[JTensor]], what: str, padding: PaddingParam | None) -> list[Any]:
    counts = sorted({len(tensors) for tensors in records})
    if len(counts) > 1:
        raise ValueError(f"batch: got samples of {counts} {what}, expected as many in each")
    return [_column(list(tensors), place, what, padding) for place, tensors in enumerate(zip(*records, strict=True))]


def _column(tensors: list[JTensor], place: int, what: str, padding: PaddingParam | None) -> Any:
    if all(tensor.is_sparse for tensor in tensors):
        return _sparse(tensors, place, what)
    arrays = [tensor.to_ndarray() for tensor in tensors]
    shapes = {array.shape for array in arrays}
    if padding is not None and len({len(shape) for shape in shapes}) == 1:
        return _padded(arrays, place, padding)
    if len(shapes) > 1:
        found = ", ".join(map(str, sorted(shapes)[:3]))
        raise ValueError(
            f"batch: got {what} {place + 1} of shapes {found}, expected one shape in all samples; bring them to one "
            f"size, "
            "or fill them up: DataSet.array(samples, feature_padding=PaddingParam())"
        )
    return np.stack(arrays)


def _padded(arrays: list[Array], place: int, padding: PaddingParam) -> Array:
    sizes = [max(lengths) for lengths in zip(*(array.shape for array in arrays), strict=True)]
    sizes[0] = padding.padding_strategy.length(sizes[0], place)
    full = np.empty((len(arrays), *sizes), np.result_type(*arrays))
    full[...] = padding.filling(place)
    for row, array in zip(full, arrays, strict=True):
        row[tuple(slice(size) for size in array.shape)] = array
    return full


def _sparse(tensors: list[JTensor], place: int, what: str) -> SparseMatrix:
    shapes = sorted({tensor.shape for tensor in tensors})
    if len(shapes) > 1 or len(shapes[0]) != 1:
        raise ValueError(
            f"batch: got sparse {what} {place + 1} of shapes {shapes[:3]}, expected one shape (M,) in all samples; "
            f"others as dense"
        )
    rows = np.repeat(np.arange(len(tensors)), [tensor.storage.size for tensor in tensors])
    columns = np.concatenate([tensor.indices.reshape(-1) for tensor in tensors])
    values = np.concatenate([tensor.storage for tensor in tensors])
    return SparseMatrix.of(rows, columns, values, (len(tensors), shapes[0][0]))


@dataclass(frozen=True)
class SampleToMiniBatch:
    """Turns samples into batches of `batch_size`; the last may be smaller.

    Source: BigDL's SampleToMiniBatch.

    Example:
        >>> samples = [Sample.from_ndarray(np.arange(length), 1) for length in (1, 2, 3)]
        >>> [batch.input.tolist() for batch in SampleToMiniBatch(2, PaddingParam())(samples)]
        [[[0.0, 0.0], [0.0, 1.0]], [[0.0, 1.0, 2.0]]]
    """

    batch_size: int
    feature_padding_param: PaddingParam | None = None
    label_padding_param: PaddingParam | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"SampleToMiniBatch: got batch_size {self.batch_size}, expected at least 1")

    def __call__(self, samples: Iterable[Sample]) -> Iterator[MiniBatch]:
        """The batches of `samples`, in order."""
        rest = iter(samples)
        while part := list(islice(rest, self.batch_size)):
            yield batch_of(part, self.feature_padding_param, self.label_padding_param)
