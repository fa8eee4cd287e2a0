"""How pixels become a network's input, as data that the model keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dlcore.activity import Array

FITS = ("warp", "centre_crop")
CHANNELS = {"RGB": 3, "BGR": 3, "GREY": 1}
"""How many planes each order of channels has."""
_LUMINANCE = np.array([299, 587, 114], np.uint32)
"""Thousandths of red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize (bilinear) to `resize` pixels a side, take `size`, order the channels, subtract `mean`, multiply by
    `scale`.

    channels: RGB, BGR, or GREY for the luminance alone.
    fit: "warp" ignores the aspect ratio and needs resize == size; "centre_crop" warps to `resize` and cuts the middle
    out.
    mean, scale: per channel, in the order of `channels`, for pixels 0 to 255.
    """

    size: int
    channels: str = "RGB"
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    scale: tuple[float, ...] = (1 / 58.395, 1 / 57.12, 1 / 57.375)
    resize: int = 0
    fit: str = "warp"

    def __post_init__(self) -> None:
        if self.fit not in FITS or self.channels not in CHANNELS:
            raise ValueError(
                f"got fit {self.fit!r}, channels {self.channels!r}, expected one of {FITS} and {tuple(CHANNELS)}"
            )
        if not len(self.mean) == len(self.scale) == self.planes:
            raise ValueError(
                f"got {len(self.mean)} means and {len(self.scale)} scales, expected {self.planes} of both for "
                f"{self.channels}"
            )
        if not self.resize:
            object.__setattr__(self, "resize", self.size)

    @property
    def planes(self) -> int:
        """Channels of the network's input."""
        return CHANNELS[self.channels]

    def metadata(self) -> dict[str, Any]:
        """The fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, values: dict[str, Any]) -> Preprocessing:
        """The preprocessing that `metadata` described."""
        return cls(**{**values, "mean": tuple(values["mean"]), "scale": tuple(values["scale"])})

    def normalise(self, pixels: np.ndarray) -> Array:
        """The input (N, planes, size, size), channels-last in memory, of RGB pixels (N, resize, resize, 3) uint8.

        Raises:
            ValueError: the pixels have another shape.
        """
        if pixels.shape[1:] != (self.resize, self.resize, 3):
            raise ValueError(f"got pixels {pixels.shape}, expected (N, {self.resize}, {self.resize}, 3)")
        margin = (self.resize - self.size) // 2
        cut = pixels[:, margin : margin + self.size, margin : margin + self.size]
        ordered = self._ordered(cut)
        count, height, width, planes = ordered.shape
        mean, scale = (np.tile(np.array(values, np.float32), width) for values in (self.mean, self.scale))
        x: Array = ordered.astype(np.float32, order="C").reshape(count, height, width * planes)
        x -= mean  # row by row: numpy takes ten times as long over the three channels of each pixel
        x *= scale
        return x.reshape(count, height, width, planes).transpose(0, 3, 1, 2)

    def _ordered(self, pixels: np.ndarray) -> np.ndarray:
        if self.channels == "GREY":
            return (pixels @ _LUMINANCE)[..., None] / np.float32(1000)
        return pixels if self.channels == "RGB" else pixels[..., ::-1]


SSD_VGG16 = Preprocessing(300, "BGR", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0))
DEEPBIT_VGG16 = Preprocessing(224, "BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), resize=256, fit="centre_crop")
