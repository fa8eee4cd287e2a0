"""Turn a cell of a DataFrame into a network's input, step by step: Analytics Zoo's preprocessing.

Each step is called with the result of the one before. The transformers of pictures are steps too.
Source: Analytics Zoo's feature.common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.data.image.feature import FLOATS, IMAGE_TENSOR, ORIGINAL_SIZE, SAMPLE, ImageFeature
from dlcore.data.sample import Sample
from dlcore.spark.frames import array_of

__all__ = [
    "ArrayToTensor",
    "ChainedPreprocessing",
    "FeatureLabelPreprocessing",
    "ImageFeatureToTensor",
    "MLlibVectorToTensor",
    "Preprocessing",
    "RowToImageFeature",
    "ScalarToTensor",
    "SeqToTensor",
    "TensorToSample",
]


@dataclass
class Preprocessing:
    """A step: `step(x)` gives what it makes of x."""

    def __call__(self, x: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")


@dataclass
class ChainedPreprocessing(Preprocessing):
    """One step after the other.

    Raises:
        TypeError: something is no step.
    """

    transformers: Sequence[Any]

    def __post_init__(self) -> None:
        for step in self.transformers:
            if not callable(step) or isinstance(step, type):
                raise TypeError(f"ChainedPreprocessing: got {step!r:.80}, expected steps such as RowToImageFeature()")

    def __call__(self, x: Any) -> Any:
        for step in self.transformers:
            x = step(x)
        return x


@dataclass
class SeqToTensor(Preprocessing):
    """A tensor of shape `size` of a number, a list of numbers or a vector; without a size of its own shape."""

    size: Sequence[int] = ()

    def __call__(self, x: Any) -> Array:
        array: Array = np.atleast_1d(array_of(x)).astype(np.float32)
        return array.reshape(tuple(self.size)) if len(self.size) else array


class ArrayToTensor(SeqToTensor):
    """SeqToTensor, for arrays."""


class MLlibVectorToTensor(SeqToTensor):
    """SeqToTensor, for vectors of Spark ML."""


class ScalarToTensor(SeqToTensor):
    """SeqToTensor, for numbers: a tensor (1,)."""


_DEPTHS = {np.dtype(np.uint8): 0, np.dtype(np.float32): 5}
"""OpenCV's numbers of the types of a channel: CV_8U and CV_32F."""


def mode_of(kind: Any, channels: int) -> int:
    """OpenCV's number of pixels of so many channels: 16 of three bytes (CV_8UC3), 21 of three floats (CV_32FC3)."""
    return _DEPTHS[np.dtype(kind)] + 8 * (channels - 1)


def _type_of(mode: int) -> Any:
    for kind, depth in _DEPTHS.items():
        if mode % 8 == depth:
            return kind
    raise ValueError(
        f"RowToImageFeature: got a picture of mode {mode}, expected bytes (such as 16) or floats (such as 21)"
    )


@dataclass
class RowToImageFeature(Preprocessing):
    """A picture of a cell as `NNImageReader` and Spark's own reader of images make them: pixels in BGR order.

    Raises:
        ValueError: its mode says neither bytes nor floats.
    """

    def __call__(self, x: Any) -> ImageFeature:
        if isinstance(x, ImageFeature):
            return x
        shape = tuple(int(x[name]) for name in ("height", "width", "nChannels"))
        pixels = np.frombuffer(x["data"], _type_of(int(x["mode"]))).reshape(shape)
        feature = ImageFeature(pixels, path=x["origin"])
        feature[ORIGINAL_SIZE] = shape
        return feature


@dataclass
class ImageFeatureToTensor(Preprocessing):
    """The tensor that MatToTensor or MatToFloats made of a picture.

    Raises:
        ValueError: the picture is not valid, or nothing made one.
    """

    def __call__(self, x: ImageFeature) -> Array:
        for key in (IMAGE_TENSOR, FLOATS):
            if x[key] is not None:
                return np.asarray(x[key], np.float32)
        if x[SAMPLE] is not None:
            return np.asarray(x[SAMPLE].feature.to_ndarray())
        raise ValueError(
            f"{x.name()}: got a picture without a tensor ({x.reason or 'none made'}), expected ImageMatToTensor()"
        )


@dataclass
class TensorToSample(Preprocessing):
    """A Sample without a label."""

    def __call__(self, x: Any) -> Sample:
        return x if isinstance(x, Sample) else Sample.from_ndarray(x)


@dataclass
class FeatureLabelPreprocessing(Preprocessing):
    """A Sample of a pair (feature, label), each through its own steps."""

    feature_transformer: Any
    label_transformer: Any

    def __call__(self, x: Any) -> Sample:
        feature, label = x
        return Sample.from_ndarray(self.feature_transformer(feature), self.label_transformer(label))


def steps_of(given: Any) -> Any:
    """Steps; a list of numbers is the size of a tensor, None the cell's own shape."""
    if given is None:
        return SeqToTensor()
    if isinstance(given, (list, tuple)) and all(isinstance(size, int) for size in given):
        return SeqToTensor(given)
    return ChainedPreprocessing(given) if isinstance(given, (list, tuple)) else given


@dataclass
class TensorOf:
    """Makes a network's input of a cell by steps, whose end may also be a picture or a sample."""

    steps: Any

    def __call__(self, cell: Any) -> Array:
        """The tensor."""
        found = self.steps(cell)
        if isinstance(found, ImageFeature):
            found = ImageFeatureToTensor()(found)
        if isinstance(found, Sample):
            found = found.feature.to_ndarray()
        return np.asarray(found, np.float32)
