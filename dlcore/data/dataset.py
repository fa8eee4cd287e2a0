"""DataSet: records that transformers change each time they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import SparseMatrix, as_given, leaves, map_leaves, require_exact
from dlcore.data.batch import MiniBatch, PaddingParam, SampleToMiniBatch, batch_of
from dlcore.data.distributed import collected, elsewhere, is_rdd
from dlcore.data.sample import JTensor, Sample
from dlcore.rng import RNG


@dataclass(frozen=True)
class ArrayRecords(Sequence[Sample]):
    """Arrays, sparse matrices, or tables of them, with the records along the first dimension, as samples made when
    asked for.

    Raises:
        ValueError: features and labels of different lengths.
    """

    features: Any
    labels: Any

    def __post_init__(self) -> None:
        lengths = sorted(
            {len(leaf) for part in (self.features, self.labels) if part is not None for leaf in leaves(part)}
        )
        if len(lengths) != 1:
            raise ValueError(f"DataSet: got features and labels of lengths {lengths}, expected one length")

    def __len__(self) -> int:
        return len(next(leaves(self.features)))

    def __getitem__(self, place: Any) -> Any:
        def row(leaf: Any) -> Any:
            if not isinstance(leaf, SparseMatrix):
                return leaf[place]
            found = leaf[np.arange(len(leaf))[place : place + 1]]
            return JTensor.sparse(found.values, found.columns, [leaf.width])

        def of(x: Any) -> Any:
            return () if x is None else map_leaves(row, x)

        return Sample.from_ndarray(of(self.features), of(self.labels))

    def batch(self, rows: np.ndarray[Any, Any]) -> MiniBatch:
        """The same as `batch_of` makes of these samples, in one step."""

        def taken(leaf: Any) -> Any:
            if isinstance(leaf, SparseMatrix):
                return leaf[rows]
            found = leaf[rows]
            require_exact(found)
            columns = found.reshape(len(rows), 1) if found.ndim == 1 else found
            return columns.astype(np.float32, copy=False)

        return MiniBatch(
            map_leaves(taken, self.features), None if self.labels is None else map_leaves(taken, self.labels)
        )


class DataSet:
    """Records and transformers, which work when a record is asked for, so that random choices are made anew in every
    epoch.

    records: Samples, or records that `transformers` turn into Samples, such as ImageFeatures. feature_padding,
        label_padding: how a batch is padded if records differ in size. The Optimizer takes a DataSet, asks for its
        records in another
    order each epoch, and seeds the generator for each record, so that a record depends only on the seed, the epoch and
    its place.
    Source: BigDL's DataSet.

    Raises:
        ValueError: there are no records.

    Example:
        >>> data = DataSet.array(np.arange(6).reshape(3, 2), np.array([1, 2, 1]))
        >>> doubled = data.transform(lambda sample: Sample.from_ndarray(sample.feature * 2, sample.labels))
        >>> doubled.size(), doubled[2].feature.tolist()
        (3, [8.0, 10.0])
    """

    def __init__(
        self,
        records: Sequence[Any],
        transformers: Sequence[Callable[[Any], Any]] = (),
        feature_padding: PaddingParam | None = None,
        label_padding: PaddingParam | None = None,
    ) -> None:
        if not len(records):
            raise ValueError("DataSet: got no records, expected at least one")
        self.records, self.transformers = records, tuple(transformers)
        self.feature_padding, self.label_padding = feature_padding, label_padding
        self._order = np.arange(len(records))

    @classmethod
    def array(
        cls,
        data: Any,
        labels: Any = None,
        feature_padding: PaddingParam | None = None,
        label_padding: PaddingParam | None = None,
    ) -> DataSet:
        """A DataSet of a list of Samples, or of arrays with the records along the first dimension and their labels."""
        is_samples = isinstance(data, (list, tuple)) and all(isinstance(record, Sample) for record in data)
        records = data if is_samples else ArrayRecords(as_given(data), None if labels is None else as_given(labels))
        return cls(records, (), feature_padding, label_padding)

    @classmethod
    def image_frame(cls, image_frame: Any, bigdl_type: str = "float") -> DataSet:
        """A DataSet of the pictures of an ImageFrame; transformers given to `transform` run each time that a picture is
        asked for."""
        found = cls(image_frame.features)
        found._frame = image_frame
        return found

    _frame: Any = None

    def get_image_frame(self) -> Any:
        """The ImageFrame that it was made from, else None."""
        return self._frame

    def transform(self, transformer: Callable[[Any], Any]) -> DataSet:
        """A DataSet whose records also go through `transformer`: a FeatureTransformer, or a function of a record. From
        a SampleToMiniBatch it takes how batches are padded; their size is the Optimizer's.

        Raises:
            TypeError: the transformer cannot be called.
        """
        if isinstance(transformer, SampleToMiniBatch):
            padding = transformer.feature_padding_param, transformer.label_padding_param
            return self._like(self.transformers, *padding)
        if not callable(transformer):
            raise TypeError(
                f"DataSet.transform: got {type(transformer).__name__}, expected a transformer or a function of a record"
            )
        step = getattr(transformer, "transform", transformer)
        return self._like((*self.transformers, step), self.feature_padding, self.label_padding)

    def _like(
        self, transformers: Sequence[Callable[[Any], Any]], features: PaddingParam | None, labels: PaddingParam | None
    ) -> DataSet:
        found = DataSet(self.records, transformers, features, labels)
        found._order, found._frame = self._order, self._frame
        return found

    def shuffle(self) -> DataSet:
        """Go through the records in another order from now on, drawn from the engine's generator."""
        self._order = RNG.permutation(len(self.records))
        return self

    def data_set(self) -> DataSet:
        """This DataSet itself; an ImageFrame has the same method."""
        return self

    def size(self) -> int:
        """The number of records."""
        return len(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: int) -> Any:
        """Record `place` (0-based), transformed."""
        record = self.records[int(self._order[place])]
        if self.transformers and hasattr(record, "clone"):
            record = record.clone()
        for transformer in self.transformers:
            record = transformer(record)
        return record

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))

    def data(self, train: bool = False) -> Iterator[Any]:
        """The records; with `train`, endlessly, in another order each round."""
        yield from self
        while train:
            yield from self.shuffle()

    def batch(self, places: Iterable[int], seeds: Iterable[int] | None = None) -> MiniBatch:
        """The batch of these records; with `seeds`, random choices in each are drawn from its seed."""
        if isinstance(self.records, ArrayRecords) and not self.transformers:
            return self.records.batch(self._order[np.asarray(list(places), np.intp)])
        if seeds is None or not self.transformers:
            samples = [sample_of(self[place]) for place in places]
        else:
            samples = [self._seeded(place, seed) for place, seed in zip(places, seeds, strict=True)]
        return batch_of(samples, self.feature_padding, self.label_padding)

    def batches(self, batch_size: int) -> Iterator[MiniBatch]:
        """All records in order, in batches; the last may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self.batch(range(start, min(start + batch_size, len(self))))

    def _seeded(self, place: int, seed: int) -> Sample:
        with RNG.seeded(seed):
            return sample_of(self[place])


def sample_of(record: Any) -> Sample:
    """The Sample that `record` is, or that a picture's ImageFeature holds.

    Raises:
        TypeError: the record is neither.
    """
    if isinstance(record, Sample):
        return record
    if hasattr(record, "get_sample"):
        found: Sample = record.get_sample()
        return found
    raise TypeError(
        f"DataSet: got a record of type {type(record).__name__}, expected a Sample; transform it into one with "
        "Sample.from_ndarray(features, labels)"
    )


def is_data_set(data: Any) -> bool:
    """Whether `data` holds records with their labels, here or on Spark, rather than arrays."""
    return elsewhere(data) is not None or data_set_of(data) is not None


def data_set_of(data: Any) -> DataSet | None:
    """`data` as a DataSet if it is one, a list of Samples, an ImageFrame or an RDD of Samples; None if it is something
    else."""
    if is_rdd(data):
        return DataSet(collected(data))
    if isinstance(data, (list, tuple)) and data and all(isinstance(record, Sample) for record in data):
        return DataSet.array(data)
    found: DataSet | None = data.data_set() if hasattr(data, "data_set") else None
    return found
