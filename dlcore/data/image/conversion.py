"""Transformers from a file to pixels, from pixels to a tensor, and from that to a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.data.image.feature import (
    FLOATS,
    IMAGE_TENSOR,
    LABEL,
    MAT,
    ORIGINAL_SIZE,
    SAMPLE,
    SIZE,
    UNKNOWN_SIZE,
    ImageFeature,
    decoded,
)
from dlcore.data.image.regions import RoiLabel
from dlcore.data.image.transformer import FeatureTransformer
from dlcore.data.sample import Sample

__all__ = ["BytesToMat", "ImageFrameToSample", "MatToFloats", "MatToTensor", "PixelBytesToMat"]


@dataclass(eq=False)
class BytesToMat(FeatureTransformer):
    """Decode the picture's file, under `byte_key`, to pixels; a file that cannot be decoded makes the picture invalid.
    A picture from an array, which has no file, keeps its pixels.

    Source: BigDL's BytesToMat.
    """

    byte_key: str = "bytes"

    def change(self, feature: ImageFeature) -> None:
        if feature[self.byte_key] is None and feature[MAT] is not None:
            return
        try:
            feature.set_mat(decoded(feature[self.byte_key] or b""))
            feature[ORIGINAL_SIZE] = feature[MAT].shape
        except ValueError as error:
            feature[ORIGINAL_SIZE] = UNKNOWN_SIZE
            feature.fail(str(error))


@dataclass(eq=False)
class PixelBytesToMat(FeatureTransformer):
    """Take the bytes under `byte_key` as pixels, row by row, of the size "originalSize". If there is no size, or the
    number of bytes differs from it, the picture becomes invalid.

    Source: BigDL's PixelBytesToMat.
    """

    byte_key: str = "bytes"

    def change(self, feature: ImageFeature) -> None:
        size, content = feature.known_size(), feature[self.byte_key]
        if size is None or content is None:
            feature.fail(f'got no {self.byte_key!r} or no "originalSize" (height, width, channels), expected both')
        elif len(content) != int(np.prod(size)):
            feature.fail(f"got {len(content)} bytes, expected {int(np.prod(size))} for a picture {tuple(size)}")
        else:
            feature.set_mat(np.frombuffer(content, np.uint8).reshape(size))


@dataclass(eq=False)
class MatToFloats(FeatureTransformer):
    """Pixels become float32 (H, W, C) under `out_key`, and are then dropped.

    Invalid pictures get zeros of valid_height x valid_width x valid_channel. Memory is never shared, whatever
    share_buffer says.
    Source: BigDL's MatToFloats.
    """

    valid_height: int = 300
    valid_width: int = 300
    valid_channel: int = 300
    out_key: str = "floats"
    share_buffer: bool = True

    def transform(self, image_feature: ImageFeature, bigdl_type: str = "float") -> ImageFeature:
        image_feature[MAT]  # which may find it invalid
        if image_feature.is_valid:
            return super().transform(image_feature)
        image_feature[SIZE] = self.valid_height, self.valid_width, self.valid_channel
        image_feature[self.out_key] = np.broadcast_to(np.float32(0), image_feature[SIZE])
        return image_feature

    def change(self, feature: ImageFeature) -> None:
        picture = feature.mat()
        feature[self.out_key], feature[SIZE], feature[MAT] = picture.astype(np.float32), picture.shape, None


@dataclass(eq=False)
class MatToTensor(FeatureTransformer):
    """Pixels become a tensor of float32 under `tensor_key`, (C, H, W) or (H, W) for a grey picture, and are then
    dropped.

    Channels are in BGR order; to_rgb reverses it.
    Source: BigDL's MatToTensor.
    """

    to_rgb: bool = False
    tensor_key: str = "imageTensor"

    def change(self, feature: ImageFeature) -> None:
        picture = feature.mat()
        MatToFloats(out_key=FLOATS).change(feature)
        ordered = picture[..., ::-1] if self.to_rgb and picture.shape[2] == 3 else picture
        tensor = np.ascontiguousarray(ordered.transpose(2, 0, 1), np.float32)
        feature[self.tensor_key] = tensor[0] if len(tensor) == 1 else tensor


@dataclass(eq=False)
class ImageFrameToSample(FeatureTransformer):
    """A Sample, under `sample_key`, of the tensors under input_keys and, if there are target_keys, the labels under
    those.

    Source: BigDL's ImageFrameToSample.

    Raises:
        ValueError: nothing, or no array, is kept under a key.
    """

    input_keys: Sequence[str] = (IMAGE_TENSOR,)
    target_keys: Sequence[str] | None = None
    sample_key: str = SAMPLE

    def change(self, feature: ImageFeature) -> None:
        inputs, targets = ([_array(feature, key) for key in keys] for keys in (self.input_keys, self.target_keys or ()))
        feature[self.sample_key] = Sample.from_ndarray(inputs, targets)


_ABSENT = {
    IMAGE_TENSOR: "; MatToTensor() makes imageTensor",
    LABEL: "; frame.set_label gives labels, and pictures to predict on need no target_keys",
}


def _array(feature: ImageFeature, key: str) -> object:
    found = feature[key]
    if found is None or isinstance(found, (RoiLabel, bytes, str)):
        known = ", ".join(feature.keys())
        hint = _ABSENT.get(key, "")
        raise ValueError(f"got {type(found).__name__} under {key!r}, expected an array; there are {known}{hint}")
    return found
