"""A record for training: a sample of features and labels, each a tensor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dlcore.activity import Array, as_given, require_exact
from dlcore.number_type import FLOATS


class JTensor(NDArrayOperatorsMixin):
    """An array of float32, or a sparse one, given by the places of its values, in memory of its own. It behaves like
    the array in every respect.

    storage: the values, of as many elements as `shape` says; for a sparse tensor (K,) values. indices: for a sparse
    tensor (D, K), or (K,) for one dimension, the 0-based places of the values; repeated places add up. bigdl_type:
    "double" keeps float64. All three may also be bytes, of floats and of int32, as BigDL's own tensors are pickled.
    It has the array's methods, and numpy computes plain arrays from it; a sparse tensor is made dense for that.
    Source: BigDL's JTensor.

    Raises:
        ValueError: values, places and shape do not fit together, or whole numbers are too large for float32.

    Example:
        >>> label = JTensor.from_ndarray(np.array(5))
        >>> int(label[0]) - 1, label.shape, (label * 2).tolist()
        (4, (1,), [10.0])
        >>> JTensor.sparse(np.array([1, 3]), np.array([[0, 2], [0, 1]]), [3, 2]).to_ndarray()
        array([[1., 0.],
               [0., 0.],
               [0., 3.]], dtype=float32)
    """

    def __init__(self, storage: Any, shape: Any, bigdl_type: str = "float", indices: Any = None) -> None:
        if bigdl_type not in FLOATS:
            raise ValueError(f"JTensor: got bigdl_type {bigdl_type!r}, expected one of {', '.join(FLOATS)}")
        if isinstance(storage, bytes) and isinstance(shape, bytes):
            storage, shape = np.frombuffer(storage, FLOATS[bigdl_type]), np.frombuffer(shape, np.int32)
        if isinstance(indices, bytes):
            indices = np.frombuffer(indices, np.int32)
        given = np.asarray(storage)
        if bigdl_type == "float":
            require_exact(given)
        self.storage: Array = np.array(given, FLOATS[bigdl_type])  # a copy: readers fill one buffer again and again
        self.shape = tuple(int(size) for size in np.atleast_1d(shape))
        self.bigdl_type = bigdl_type
        self.indices: Any = None if indices is None else self._places(indices)
        if indices is None and self.storage.size != int(np.prod(self.shape)):
            raise ValueError(f"JTensor: got {self.storage.size} values, expected as many as shape {self.shape} has")

    def _places(self, indices: Any) -> Any:
        places = np.asarray(indices, np.int64)
        rows = places.reshape(len(self.shape), -1) if places.size % len(self.shape) == 0 else places
        if self.storage.ndim != 1 or rows.shape != (len(self.shape), self.storage.size):
            raise ValueError(
                f"JTensor: got {self.storage.size} values and places {places.shape}, expected places "
                f"({len(self.shape)}, {self.storage.size}) for shape {self.shape}"
            )
        if rows.size and ((rows < 0) | (rows >= np.array(self.shape)[:, None])).any():
            raise ValueError(f"JTensor: got places up to {rows.max(axis=1)}, expected them 0-based, below {self.shape}")
        return places

    @classmethod
    def from_ndarray(cls, a_ndarray: Any, bigdl_type: str = "float") -> Any:
        """The tensor of an array; a single number has shape (1,), as in BigDL; None stays None."""
        if a_ndarray is None:
            return None
        array = np.asarray(a_ndarray)
        return cls(array, array.shape or (1,), bigdl_type)

    @classmethod
    def sparse(cls, a_ndarray: Any, i_ndarray: Any, shape: Any, bigdl_type: str = "float") -> Any:
        """The sparse tensor of values (K,) at the places (D, K); None stays None.

        Raises:
            ValueError: values, places and shape do not fit together.
        """
        return None if a_ndarray is None else cls(a_ndarray, shape, bigdl_type, i_ndarray)

    @property
    def is_sparse(self) -> bool:
        """Whether it is a sparse tensor."""
        return self.indices is not None

    def to_ndarray(self) -> Array:
        """The array: a dense tensor's own memory, or a new array with all zeros of a sparse one."""
        if self.indices is None:
            return self.storage.reshape(self.shape)
        full = np.zeros(self.shape, self.storage.dtype)
        np.add.at(full, tuple(self.indices.reshape(len(self.shape), -1)), self.storage)
        return full

    # --- the array --------------------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.to_ndarray()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [each.to_ndarray() if isinstance(each, JTensor) else each for each in inputs]
        if "out" in options:
            options["out"] = tuple(each._writable() if isinstance(each, JTensor) else each for each in options["out"])
            getattr(ufunc, method)(*plain, **options)
            return self
        return getattr(ufunc, method)(*plain, **options)

    def _writable(self) -> Array:
        if self.is_sparse:
            raise TypeError(
                "JTensor: got an assignment to a sparse tensor, expected a dense one; assign to to_ndarray()"
            )
        return self.to_ndarray()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("storage", "indices"):
            raise AttributeError(f"JTensor has no attribute {name!r}")
        return getattr(self.to_ndarray(), name)

    def __getitem__(self, key: Any) -> Any:
        return self.to_ndarray()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._writable()[key] = value

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_ndarray())

    def __contains__(self, value: Any) -> bool:
        return value in self.to_ndarray()

    def __float__(self) -> float:
        return float(self.to_ndarray().item())

    def __int__(self) -> int:
        return int(self.to_ndarray().item())

    def __bool__(self) -> bool:
        return bool(self.to_ndarray())

    def __repr__(self) -> str:
        indices = "" if self.indices is None else f" ,indices {self.indices}"
        return f"JTensor: storage: {self.storage}, shape: {np.array(self.shape)}{indices}, {self.bigdl_type}"


class Sample:
    """One record: its features and its labels, each one or several tensors without a batch dimension.

    feature, label: the first of each (label None without labels); features, labels: all of them.
    Source: BigDL's Sample.

    Example:
        >>> sample = Sample.from_ndarray(np.ones((2, 3)), 7)
        >>> sample.feature.shape, sample.label[0]
        ((2, 3), np.float32(7.0))
    """

    def __init__(self, features: list[JTensor], labels: list[JTensor], bigdl_type: str = "float") -> None:
        if not features:
            raise ValueError("Sample: got no features, expected at least one tensor")
        self.features, self.labels, self.bigdl_type = list(features), list(labels), bigdl_type

    @property
    def feature(self) -> JTensor:
        """The first feature."""
        return self.features[0]

    @property
    def label(self) -> JTensor | None:
        """The first label, None if there is none."""
        return self.labels[0] if self.labels else None

    @classmethod
    def from_ndarray(cls, features: Any, labels: Any = (), bigdl_type: str = "float") -> Sample:
        """A Sample from features and labels, each an array or a list of arrays; a label may be a number. Without
        labels, a sample is only for prediction."""
        return cls(_tensors(features, bigdl_type), _tensors(labels, bigdl_type), bigdl_type)

    @classmethod
    def from_jtensor(cls, features: Any, labels: Any = (), bigdl_type: str = "float") -> Sample:
        """A Sample from features and labels, each a tensor or a list of tensors, dense or sparse; a label may be a
        number."""
        return cls(_tensors(features, bigdl_type), _tensors(labels, bigdl_type), bigdl_type)

    def __repr__(self) -> str:
        return f"Sample: features: {self.features}, labels: {self.labels}"


def _tensors(given: Any, bigdl_type: str) -> list[JTensor]:
    """The tensors of one array, or of each in a list; a list of plain numbers is one array."""
    if given is None:
        return []
    if isinstance(given, JTensor):
        return [given]
    if isinstance(given, (list, tuple)) and any(isinstance(each, JTensor) for each in given):
        return [each if isinstance(each, JTensor) else JTensor.from_ndarray(each, bigdl_type) for each in given]
    parts = as_given(given)
    arrays = parts if isinstance(parts, list) else [parts]
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise TypeError(f"Sample: got {type(given).__name__} of lists, expected an array or a list of arrays")
    return [JTensor.from_ndarray(array, bigdl_type) for array in arrays]
