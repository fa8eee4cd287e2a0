"""Transformers of colours. Pictures are in BGR order; bytes stay bytes, rounded and cut off at 0 and 255, as in
OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dlcore.data.image.feature import ImageFeature
from dlcore.data.image.opencv import Picture, from_hsv, scaled, to_hsv
from dlcore.data.image.transformer import FeatureTransformer, Pipeline, RandomTransformer, drawn
from dlcore.rng import RNG

__all__ = [
    "Brightness",
    "ChannelNormalize",
    "ChannelOrder",
    "ChannelScaledNormalizer",
    "ColorJitter",
    "Contrast",
    "Hue",
    "PixelNormalize",
    "Saturation",
]


def three_channels(feature: ImageFeature) -> Picture:
    """The pixels (H, W, 3).

    Raises:
        ValueError: there is another number of channels.
    """
    picture = feature.mat()
    if picture.shape[2] != 3:
        raise ValueError(f"got a picture {picture.shape}, expected 3 channels")
    return picture


@dataclass(eq=False)
class _Between(FeatureTransformer):
    """A transformer with a number drawn from [delta_low, delta_high), which begins at `least` or above."""

    least: ClassVar[float] = -np.inf
    delta_low: float
    delta_high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.least <= self.delta_low <= self.delta_high:
            raise ValueError(
                f"{type(self).__name__}: got {self.delta_low} to {self.delta_high}, expected a range that rises, from "
                f"{self.least}"
            )

    def number(self) -> float:
        """The number that is drawn."""
        return drawn(self.delta_low, self.delta_high)


@dataclass(eq=False)
class Brightness(_Between):
    """Add a number drawn from [delta_low, delta_high) to all pixels.

    Source: BigDL's Brightness.

    Raises:
        ValueError: delta_low above delta_high.
    """

    def change(self, feature: ImageFeature) -> None:
        feature.set_mat(scaled(feature.mat(), 1.0, self.number()))


@dataclass(eq=False)
class Contrast(_Between):
    """Multiply all pixels by a number drawn from [delta_low, delta_high).

    Source: BigDL's Contrast.

    Raises:
        ValueError: delta_low above delta_high, or below 0.
    """

    least = 0.0

    def change(self, feature: ImageFeature) -> None:
        factor = self.number()
        if abs(factor - 1.0) > 1e-3:
            feature.set_mat(scaled(feature.mat(), factor, 0.0))


@dataclass(eq=False)
class Saturation(_Between):
    """Multiply the saturation (of HSV) by a number drawn from [delta_low, delta_high).

    Within 0.001 of 1 nothing changes; BigDL goes to HSV and back even then, which rounds.
    Source: BigDL's Saturation.

    Raises:
        ValueError: delta_low above delta_high, or below 0.
    """

    least = 0.0

    def change(self, feature: ImageFeature) -> None:
        factor = self.number()
        if abs(factor - 1.0) > 1e-3:
            hsv = to_hsv(three_channels(feature))
            hsv[..., 1] = scaled(hsv[..., 1], factor, 0.0)
            feature.set_mat(from_hsv(hsv))


@dataclass(eq=False)
class Hue(_Between):
    """Add a number drawn from [delta_low, delta_high) to the hue (of HSV), for bytes in steps of 2 degrees, for floats
    in degrees.

    Hues of bytes end at 0, as OpenCV's bytes do: they do not go round below it.
    Source: BigDL's Hue.

    Raises:
        ValueError: delta_low above delta_high.
    """

    def change(self, feature: ImageFeature) -> None:
        shift = self.number()
        if shift != 0:
            hsv = to_hsv(three_channels(feature))
            hsv[..., 0] = scaled(hsv[..., 0], 1.0, shift)
            feature.set_mat(from_hsv(hsv))


@dataclass(eq=False)
class ChannelOrder(FeatureTransformer):
    """Put the channels into a random order.

    Source: BigDL's ChannelOrder.
    """

    def change(self, feature: ImageFeature) -> None:
        picture = feature.mat()
        feature.set_mat(picture[..., RNG.permutation(picture.shape[2])])


@dataclass(eq=False)
class ColorJitter(FeatureTransformer):
    """Brightness, contrast, saturation, hue and the order of the channels, each with its probability.

    Contrast comes before saturation and hue or after them, at random; with `shuffle` all five are in any order.
    Source: BigDL's ColorJitter; Liu et al. 2016, "SSD: Single Shot MultiBox Detector".
    """

    brightness_prob: float = 0.5
    brightness_delta: float = 32.0
    contrast_prob: float = 0.5
    contrast_lower: float = 0.5
    contrast_upper: float = 1.5
    hue_prob: float = 0.5
    hue_delta: float = 18.0
    saturation_prob: float = 0.5
    saturation_lower: float = 0.5
    saturation_upper: float = 1.5
    random_order_prob: float = 0.0
    shuffle: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._steps = [
            RandomTransformer(Brightness(-self.brightness_delta, self.brightness_delta), self.brightness_prob),
            RandomTransformer(Contrast(self.contrast_lower, self.contrast_upper), self.contrast_prob),
            RandomTransformer(Saturation(self.saturation_lower, self.saturation_upper), self.saturation_prob),
            RandomTransformer(Hue(-self.hue_delta, self.hue_delta), self.hue_prob),
            RandomTransformer(ChannelOrder(), self.random_order_prob),
        ]

    def change(self, feature: ImageFeature) -> None:
        if self.shuffle:
            order = RNG.permutation(len(self._steps)).tolist()
        else:
            order = [0, 1, 2, 3, 4] if drawn(0.0, 1.0) > 0.5 else [0, 2, 3, 1, 4]
        Pipeline([self._steps[place] for place in order]).transform(feature)


@dataclass(eq=False)
class ChannelNormalize(FeatureTransformer):
    """(x - mean) / std, channel by channel; the result is float32.

    Each argument is for the channel in its name; pixels are in BGR order. A grey picture takes
    the first mean.
    Source: BigDL's ChannelNormalize.

    Raises:
        ValueError: a std of 0.
    """

    mean_r: float
    mean_g: float
    mean_b: float
    std_r: float = 1.0
    std_g: float = 1.0
    std_b: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all((self.std_r, self.std_g, self.std_b)):
            raise ValueError("ChannelNormalize: got a std of 0, expected others")

    def change(self, feature: ImageFeature) -> None:
        picture = feature.mat()
        is_grey = picture.shape[2] == 1
        mean, std = (
            np.array(values[-1:] if is_grey else values, np.float32)
            for values in ((self.mean_b, self.mean_g, self.mean_r), (self.std_b, self.std_g, self.std_r))
        )
        pixels = picture if is_grey else three_channels(feature)
        feature.set_mat((pixels.astype(np.float32) - mean) / std)


@dataclass(eq=False)
class ChannelScaledNormalizer(FeatureTransformer):
    """(x - mean) * scale, channel by channel; the result is float32.

    BigDL 0.13 takes the means by thirds of the rows, not by channel.
    Source: BigDL's ChannelScaledNormalizer.
    """

    mean_r: float
    mean_g: float
    mean_b: float
    scale: float

    def change(self, feature: ImageFeature) -> None:
        mean = np.array([self.mean_b, self.mean_g, self.mean_r], np.float32)
        feature.set_mat((three_channels(feature).astype(np.float32) - mean) * np.float32(self.scale))


@dataclass(eq=False)
class PixelNormalize(FeatureTransformer):
    """x - mean, pixel by pixel; the result is float32.

    means: as many numbers as the picture has, row by row, of each pixel blue, green and red.
    Source: BigDL's PixelNormalize.

    Raises:
        ValueError: another number of means.
    """

    means: Any

    def change(self, feature: ImageFeature) -> None:
        picture, means = feature.mat(), np.asarray(self.means, np.float32)
        if means.size != picture.size:
            raise ValueError(f"got {means.size} means for a picture {picture.shape}, expected {picture.size}")
        feature.set_mat(picture.astype(np.float32) - means.reshape(picture.shape))
