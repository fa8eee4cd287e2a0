"""Two small signatures of a picture that complement the learned code: a luminance hash and a grid of colours.

Both are made from the same square RGB picture that the model sees. The hash is nearly blind to colour and tone, so it
recognises a greyscale or re-encoded copy; the grid shows a hue shift that turns a product into another article. Both
can be compared with a mirrored picture without its pixels.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from dlcore.search.codes import Codes

FREQUENCIES = 16
GRID = 8
CHROMA_BYTES = GRID * GRID * 2
LOW_HASH_BYTES = 8
LARGEST_SIDE = 256

Wholes = NDArray[np.float64]
"""Whole numbers below 2 ** 53 as float64: sums of their products are exact, in whatever order a CPU or a batch adds
them."""

_LUMINANCE = np.array([77, 150, 29])  # 256 times 0.299, 0.587, 0.114
_WAVE_SCALE = 1024
_MARGIN = 0.2  # grey levels
_CLEARLY_ONE_SIDED = 1.0  # grey levels


def luminance_hash(pictures: NDArray[np.uint8]) -> Codes:
    """256 bits of each RGB picture (N, S, S, 3): signs of its luminance's 16 x 16 lowest DCT frequencies -> (N, 32).

    The bits are ordered from low to high frequencies, so that the first 8 bytes are the coarse hash of the picture; the
    first bit, the mean, is always 0. It is the DCT variant of perceptual hashing (Zauner 2010), with signs instead of
    the median, so that a mirrored picture's hash is known from the picture's own (`mirrored_hash`).

    A symmetric picture has no waves of odd frequency, and the sign of almost nothing is noise. A wave of less than 0.2
    grey levels therefore takes the bit of a wave of even frequencies, which symmetry keeps (`_stand_in_bits`).
    The arithmetic is exact: the bits depend neither on the other pictures nor on the CPU.

    Raises:
        ValueError: S is above 256, beyond which sums would not be exact.
    """
    side = pictures.shape[1]
    if side > LARGEST_SIDE:
        raise ValueError(f"luminance_hash: got pictures of side {side}, expected at most {LARGEST_SIDE}: resize them")
    spectrum = _spectrum(pictures)
    waves = spectrum[:, :FREQUENCIES, :FREQUENCIES]
    level = side**2 / 4 * _LUMINANCE.sum() * _WAVE_SCALE**2  # a wave of one grey level
    bits = np.where(np.abs(waves) > _MARGIN * level, waves > 0, _stand_in_bits(spectrum, level))
    bits = bits.reshape(len(pictures), -1)[:, _frequency_order()]
    bits[:, 0] = False
    return np.packbits(bits, axis=1)


def mirrored_hash(hashes: Codes) -> Codes:
    """The hashes (N, 32) of the same pictures mirrored left to right: odd horizontal frequencies change their sign."""
    odd = (_frequency_order() % FREQUENCIES) % 2 == 1
    return hashes ^ np.packbits(odd)


def chroma_grid(pictures: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Mean (Cb, Cr) of 8 x 8 cells of each RGB picture (N, S, S, 3) -> (N, 128) int8, cells by row; S divides by 8."""
    count, side = pictures.shape[:2]
    cells = pictures.reshape(count, GRID, side // GRID, GRID, side // GRID, 3).sum(axis=(2, 4), dtype=np.int64)
    weighed = 1000 * cells - (299 * cells[..., 0] + 587 * cells[..., 1] + 114 * cells[..., 2])[..., None]
    means = weighed[..., [2, 0]] * np.array([0.564, 0.713]) / (1000 * (side // GRID) ** 2)
    grids: NDArray[np.int8] = np.clip(np.round(means), -127, 127).astype(np.int8).reshape(count, CHROMA_BYTES)
    return grids


def chroma_numbers(grids: NDArray[np.int8]) -> NDArray[np.complex64]:
    """Grids (N, 128) as complex numbers Cb + i Cr (N, 8, 8): a hue shift is a rotation of them."""
    pairs = grids.reshape(-1, GRID, GRID, 2).astype(np.float32)
    return (pairs[..., 0] + 1j * pairs[..., 1]).astype(np.complex64)


def _spectrum(pictures: NDArray[np.uint8]) -> Wholes:
    """(N, 32, 32): lowest DCT frequencies of the luminance of pictures (N, S, S, 3), as whole numbers."""
    luminance = sum(int(weight) * pictures[..., c].astype(np.int64) for c, weight in enumerate(_LUMINANCE))
    mean = np.sum(luminance, axis=(1, 2), keepdims=True) // pictures.shape[1] ** 2
    waves = _cosines(pictures.shape[1])
    spectrum: Wholes = waves @ (luminance - mean).astype(np.float64) @ waves.T
    return spectrum


def _stand_in_bits(spectrum: Wholes, level: float) -> NDArray[np.bool_]:
    """(N, 16, 16) bits for the waves below the margin. level: the value in `spectrum` of a wave of one grey level.

    Each is that of the wave with 15 more in place of every odd frequency: 1 where this is above the margin. Those of
    odd horizontal frequencies are turned over in a picture whose strongest wave of these is clearly positive. It is
    negative in the mirrored picture, so that these bits change with the others.
    """
    even = np.arange(FREQUENCIES) + (FREQUENCIES - 1) * (np.arange(FREQUENCIES) % 2)
    bits = spectrum[:, even][:, :, even] > _MARGIN * level
    leaning = spectrum[:, :FREQUENCIES, 1:FREQUENCIES:2].reshape(len(spectrum), -1)
    strongest = np.take_along_axis(leaning, np.abs(leaning).argmax(axis=1)[:, None], axis=1)
    bits[:, :, 1::2] ^= (strongest > _CLEARLY_ONE_SIDED * level)[:, :, None]
    return bits


@cache
def _cosines(side: int) -> Wholes:
    """(32, side): the lowest waves of the DCT-II in steps of 1 / 1024."""
    angles = np.pi * np.outer(np.arange(2 * FREQUENCIES), np.arange(side) + 0.5) / side
    cosines: Wholes = np.rint(_WAVE_SCALE * np.cos(angles))
    return cosines


@cache
def _frequency_order() -> NDArray[np.int64]:
    """Flat indices of the (16, 16) spectrum, low frequencies first: by the larger of the two, then by row."""
    rows, columns = np.divmod(np.arange(FREQUENCIES**2), FREQUENCIES)
    return np.lexsort((columns, rows, np.maximum(rows, columns)))
