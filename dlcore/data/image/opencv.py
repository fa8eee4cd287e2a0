"""OpenCV's arithmetic of pictures, which defines BigDL's transformers, in numpy.

Pictures are (H, W, C) in BGR order, uint8 or float32, as OpenCV's matrices. uint8 results are OpenCV's to the bit, but
of a resize by INTER_CUBIC, INTER_AREA or INTER_LANCZOS4, where a value may differ by one: sums are rounded in another
order. Source: OpenCV's documentation of resize, cvtColor and convertTo; the fixed-point constants are those of its
8-bit code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[Any]
"""(H, W, C), uint8 or float32."""
Taps: TypeAlias = tuple[NDArray[np.intp], NDArray[np.float32]]
"""For each pixel of the result, the places (size, K) that it is made from, and their weights (size, K)."""

INTER_NEAREST, INTER_LINEAR, INTER_CUBIC, INTER_AREA, INTER_LANCZOS4 = range(5)
_WEIGHT_BITS = 11
_HSV_BITS = 12
_CUBIC = np.float32(-0.75)


def scaled(picture: Picture, alpha: float, beta: float) -> Picture:
    """alpha * x + beta, in the type of `picture`: bytes are rounded, halves to even, and end at 0 and 255 (OpenCV's
    convertTo)."""
    return _cast(picture * np.float32(alpha) + np.float32(beta), picture.dtype)


def _cast(values: NDArray[Any], kind: np.dtype[Any]) -> Picture:
    found: Picture = np.clip(np.rint(values), 0, 255).astype(np.uint8) if kind == np.uint8 else values.astype(kind)
    return found


# --- size -----------------------------------------------------------------------------------------------------------


def resize(picture: Picture, height: int, width: int, mode: int = INTER_LINEAR) -> Picture:
    """`picture` in another size, by one of OpenCV's ways to interpolate; pixels are areas, not points.

    Raises:
        ValueError: an unknown mode, or a size below 1.
    """
    if mode not in TAPS:
        raise ValueError(
            f"resize: got mode {mode}, expected one of {sorted(TAPS)}, OpenCV's numbers of INTER_NEAREST and on"
        )
    if height < 1 or width < 1:
        raise ValueError(f"resize: got size {height} x {width}, expected at least 1 x 1")
    rows, columns = picture.shape[:2]
    if mode == INTER_LINEAR and (rows, columns) == (2 * height, 2 * width):
        mode = INTER_AREA
    is_smaller = rows >= height and columns >= width
    if mode == INTER_AREA and is_smaller:
        return _area(picture, height, width)
    taps = _linear_of_area if mode == INTER_AREA else TAPS[mode]
    return _sampled(picture, taps(rows, height), taps(columns, width))


def _sampled(picture: Picture, vertical: Taps, horizontal: Taps) -> Picture:
    """Columns first, then rows; bytes by weights of 11 bits."""
    if picture.dtype != np.uint8:
        return _blend(_blend(picture, horizontal, 1), vertical, 0)
    across, (places, weights) = _in_bits(horizontal), _in_bits(vertical)
    used, kept = np.unique(places, return_inverse=True)
    rows, places = _blend(picture[used].astype(np.int32), across, 1), kept.reshape(places.shape)
    if vertical[0].shape[1] == 2:  # OpenCV's bilinear sum drops bits before it rounds
        parts = [(weights[:, tap, None, None] * (rows[places[:, tap]] >> 4)) >> 16 for tap in range(2)]
        total = (parts[0] + parts[1] + 2) >> 2
    else:
        total = _blend(rows.astype(np.int64), (places, weights), 0)
        total = (total + (1 << (2 * _WEIGHT_BITS - 1))) >> (2 * _WEIGHT_BITS)
    found: Picture = np.clip(total, 0, 255).astype(np.uint8)
    return found


def _in_bits(taps: Taps) -> tuple[NDArray[np.intp], NDArray[Any]]:
    return taps[0], np.rint(taps[1] * np.float32(1 << _WEIGHT_BITS)).astype(np.int32)


def _blend(values: NDArray[Any], taps: tuple[NDArray[np.intp], NDArray[Any]], axis: int) -> NDArray[Any]:
    places, weights = taps
    shape = (-1, 1, 1) if axis == 0 else (-1, 1)
    parts = (values.take(places[:, tap], axis) * weights[:, tap].reshape(shape) for tap in range(places.shape[1]))
    total: NDArray[Any] = next(parts)
    for part in parts:
        total = total + part
    return total


def _step(size: int, wanted: int) -> float:
    """The number of pixels of the picture in one pixel of the result, rounded as OpenCV rounds it."""
    return 1 / (wanted / size)


def _positions(size: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The pixel to the left of each centre of the result, and how far right of it that lies, [0, 1)."""
    centres = ((np.arange(wanted) + 0.5) * _step(size, wanted) - 0.5).astype(np.float32)
    left = np.floor(centres)
    return left.astype(np.intp), centres - left


def _nearest(size: int, wanted: int) -> Taps:
    places = np.minimum(np.floor(np.arange(wanted) * _step(size, wanted)).astype(np.intp), size - 1)
    return places[:, None], np.ones((wanted, 1), np.float32)


def _linear(size: int, wanted: int) -> Taps:
    return _between(*_positions(size, wanted), size)


def _linear_of_area(size: int, wanted: int) -> Taps:
    """INTER_AREA where it enlarges: between pixels only where the result's pixel covers two."""
    step = _step(size, wanted)
    left = np.floor(np.arange(wanted) * step).astype(np.intp)
    share = (np.arange(1, wanted + 1) - (left + 1) / step).astype(np.float32)
    return _between(left, np.where(share <= 0, np.float32(0), share - np.floor(share)), size)


def _between(left: NDArray[np.intp], share: NDArray[np.float32], size: int) -> Taps:
    places = np.clip(np.stack([left, left + 1], 1), 0, size - 1)
    return places, np.stack([1 - share, share], 1)


def _cubic(size: int, wanted: int) -> Taps:
    """Keys 1981, with a = -0.75."""
    left, x = _positions(size, wanted)

    def near(t: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((_CUBIC + 2) * t - (_CUBIC + 3)) * t * t + 1

    far = ((_CUBIC * (x + 1) - 5 * _CUBIC) * (x + 1) + 8 * _CUBIC) * (x + 1) - 4 * _CUBIC
    first, second = near(x), near(1 - x)
    weights = np.stack([far, first, second, 1 - far - first - second], 1)
    return np.clip(left[:, None] + np.arange(-1, 3), 0, size - 1), weights.astype(np.float32)


def _lanczos(size: int, wanted: int) -> Taps:
    """sinc(t) sinc(t / 4) over 8 pixels, of sum 1."""
    left, x = _positions(size, wanted)
    distances = x[:, None].astype(np.float64) - np.arange(-3, 5)
    weights = np.sinc(distances) * np.sinc(distances / 4)
    places = np.clip(left[:, None] + np.arange(-3, 5), 0, size - 1)
    return places, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


TAPS: dict[int, Callable[[int, int], Taps]] = {
    INTER_NEAREST: _nearest,
    INTER_LINEAR: _linear,
    INTER_CUBIC: _cubic,
    INTER_AREA: _linear_of_area,
    INTER_LANCZOS4: _lanczos,
}
"""How each of OpenCV's modes finds the pixels that make a pixel."""


def _area(picture: Picture, height: int, width: int) -> Picture:
    """The mean of what each pixel covers."""
    rows, columns = picture.shape[:2]
    if (rows, columns) == (2 * height, 2 * width) and picture.dtype == np.uint8:
        quarters = picture.reshape(height, 2, width, 2, -1).sum(axis=(1, 3), dtype=np.int64)
        means: Picture = ((quarters + 2) >> 2).astype(np.uint8)
        return means
    lines = _cover(rows, height) @ picture.reshape(rows, -1)
    return _cast(_cover(columns, width) @ lines.reshape(height, columns, -1), picture.dtype)


def _cover(size: int, wanted: int) -> NDArray[np.float64]:
    """(wanted, size) the share of each pixel in each of the result."""
    ends = np.arange(wanted + 1) * (size / wanted)
    pixels = np.arange(size)
    overlap = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    shares: NDArray[np.float64] = np.clip(overlap, 0, 1) * (wanted / size)
    return shares


# --- colour ---------------------------------------------------------------------------------------------------------


def to_hsv(picture: Picture) -> Picture:
    """BGR (H, W, 3) -> hue, saturation, value. Bytes: hue in steps of 2 degrees, 0 to 179, the others 0 to 255. Floats:
    hue in degrees, saturation 0 to 1, value as it is."""
    kind: Any = np.int64 if picture.dtype == np.uint8 else np.float32
    blue, green, red = (picture[..., channel].astype(kind) for channel in range(3))
    value = np.maximum(np.maximum(blue, green), red)
    spread = value - np.minimum(np.minimum(blue, green), red)
    is_red, is_green = value == red, value == green
    if kind == np.int64:
        steps = np.select([is_red, is_green], [green - blue, blue - red + 2 * spread], red - green + 4 * spread)
        hue = (steps * _HUE_SHARES[spread] + (1 << (_HSV_BITS - 1))) >> _HSV_BITS
        saturation = (spread * _SATURATION_SHARES[value] + (1 << (_HSV_BITS - 1))) >> _HSV_BITS
        return np.stack([np.where(hue < 0, hue + 180, hue), saturation, value], -1).astype(np.uint8)
    tiny = np.finfo(np.float32).eps
    unit = np.float32(60) / (spread + tiny)
    hue = np.select([is_red, is_green], [(green - blue) * unit, (blue - red) * unit + 120], (red - green) * unit + 240)
    return np.stack([np.where(hue < 0, hue + 360, hue), spread / (np.abs(value) + tiny), value], -1).astype(np.float32)


def _shares(numerator: float) -> NDArray[np.int64]:
    found = np.zeros(256, np.int64)
    found[1:] = np.rint(numerator / np.arange(1, 256))
    return found


_HUE_SHARES, _SATURATION_SHARES = _shares((180 << _HSV_BITS) / 6), _shares(255 << _HSV_BITS)
_SECTORS = np.array([[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]])
"""For each sixth of the hue circle, which of (value, low, falling, rising) blue, green and red are."""


def from_hsv(hsv: Picture) -> Picture:
    """The inverse of `to_hsv`; hues beyond the circle go on round it."""
    is_bytes = hsv.dtype == np.uint8
    hue, saturation, value = (hsv[..., channel].astype(np.float32) for channel in range(3))
    hue = hue * np.float32(6 / 180 if is_bytes else 6 / 360)
    if is_bytes:
        saturation, value = saturation * np.float32(1 / 255), value * np.float32(1 / 255)
    hue = hue - 6 * np.floor(hue / 6) if not is_bytes else np.where(hue >= 6, hue - 6, hue)
    sector = np.floor(hue)
    rest = (hue - sector).astype(np.float32)
    kinds = [value, value * (1 - saturation), value * (1 - saturation * rest), value * (1 - saturation * (1 - rest))]
    chosen = _SECTORS[sector.astype(np.intp) % 6]
    bgr = np.take_along_axis(np.stack(kinds, -1), chosen, -1)
    return _cast(bgr * np.float32(255), hsv.dtype) if is_bytes else bgr.astype(np.float32)
