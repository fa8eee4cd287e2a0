"""Pictures for training and prediction, and their transformers, as in `bigdl.transform.vision.image`."""

from __future__ import annotations

from dlcore.data.image.boxes import RandomSampler, RoiHFlip, RoiNormalize, RoiProject, RoiResize
from dlcore.data.image.colour import (
    Brightness,
    ChannelNormalize,
    ChannelOrder,
    ChannelScaledNormalizer,
    ColorJitter,
    Contrast,
    Hue,
    PixelNormalize,
    Saturation,
)
from dlcore.data.image.conversion import BytesToMat, ImageFrameToSample, MatToFloats, MatToTensor, PixelBytesToMat
from dlcore.data.image.cropping import (
    CenterCrop,
    DetectionCrop,
    Expand,
    Filler,
    FixedCrop,
    FixExpand,
    HFlip,
    RandomCrop,
    RandomCropper,
)
from dlcore.data.image.feature import ImageFeature
from dlcore.data.image.frame import ImageFrame, LocalImageFrame
from dlcore.data.image.regions import BoundingBox, RoiLabel
from dlcore.data.image.resizing import AspectScale, RandomAlterAspect, RandomAspectScale, RandomResize, Resize
from dlcore.data.image.spark_frame import DistributedImageFrame
from dlcore.data.image.transformer import FeatureTransformer, Pipeline, RandomTransformer

__all__ = [
    "AspectScale",
    "BoundingBox",
    "Brightness",
    "BytesToMat",
    "CenterCrop",
    "ChannelNormalize",
    "ChannelOrder",
    "ChannelScaledNormalizer",
    "ColorJitter",
    "Contrast",
    "DetectionCrop",
    "DistributedImageFrame",
    "Expand",
    "FeatureTransformer",
    "Filler",
    "FixExpand",
    "FixedCrop",
    "HFlip",
    "Hue",
    "ImageFeature",
    "ImageFrame",
    "ImageFrameToSample",
    "LocalImageFrame",
    "MatToFloats",
    "MatToTensor",
    "Pipeline",
    "PixelBytesToMat",
    "PixelNormalize",
    "RandomAlterAspect",
    "RandomAspectScale",
    "RandomCrop",
    "RandomCropper",
    "RandomResize",
    "RandomSampler",
    "RandomTransformer",
    "Resize",
    "RoiHFlip",
    "RoiLabel",
    "RoiNormalize",
    "RoiProject",
    "RoiResize",
    "Saturation",
]
