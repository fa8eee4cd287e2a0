"""Two small signatures of a picture that a learned code does not replace: a luminance hash and a grid of colours.

Both are made from the same square RGB picture that the model sees. The hash is nearly blind to colour and tone, so it
knows a greyscale or re-encoded copy; the grid sees a hue shift that turns a product into another article. Either can
be compared with a mirrored picture without its pixels.
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
_TO_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def luminance_hash(pictures: NDArray[np.uint8]) -> Codes:
    """256 bits of each RGB picture (N, S, S, 3): signs of its luminance's 16 x 16 lowest DCT frequencies -> (N, 32).

    The bits are ordered from low to high frequencies, so that the first 8 bytes are the coarse hash of the picture; the
    first bit, the mean, is always 0. It is the DCT variant of perceptual hashing (Zauner 2010), with signs instead of
    the median, so that a mirrored picture's hash is known from the picture's own (`mirrored_hash`).
    """
    luminance = pictures.astype(np.float32) @ _TO_LUMINANCE
    waves = _cosines(pictures.shape[1])
    spectrum = np.einsum("fy,nyx,gx->nfg", waves, luminance, waves, optimize=True)
    bits = spectrum.reshape(len(pictures), -1)[:, _frequency_order()] > 0
    bits[:, 0] = False
    return np.packbits(bits, axis=1)


def mirrored_hash(hashes: Codes) -> Codes:
    """Hashes (N, 32) of the same pictures mirrored left to right: odd horizontal frequencies change their sign."""
    odd = (_frequency_order() % FREQUENCIES) % 2 == 1
    return hashes ^ np.packbits(odd)


def chroma_grid(pictures: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Mean (Cb, Cr) of 8 x 8 cells of each RGB picture (N, S, S, 3) -> (N, 128) int8, cells by row; S divides by 8."""
    count, side = pictures.shape[:2]
    cells = pictures.reshape(count, GRID, side // GRID, GRID, side // GRID, 3).mean(axis=(2, 4), dtype=np.float32)
    luminance = cells @ _TO_LUMINANCE
    cb = (cells[..., 2] - luminance) * 0.564
    cr = (cells[..., 0] - luminance) * 0.713
    return np.clip(np.round(np.stack([cb, cr], -1)), -127, 127).astype(np.int8).reshape(count, CHROMA_BYTES)


def chroma_numbers(grids: NDArray[np.int8]) -> NDArray[np.complex64]:
    """Grids (N, 128) as complex numbers Cb + i Cr (N, 8, 8): a hue shift is a rotation of them."""
    pairs = grids.reshape(-1, GRID, GRID, 2).astype(np.float32)
    return (pairs[..., 0] + 1j * pairs[..., 1]).astype(np.complex64)


@cache
def _cosines(side: int) -> NDArray[np.float32]:
    """(16, side): the lowest waves of the DCT-II."""
    angles = np.pi * np.outer(np.arange(FREQUENCIES), np.arange(side) + 0.5) / side
    return np.cos(angles).astype(np.float32)


@cache
def _frequency_order() -> NDArray[np.int64]:
    """Flat indices of the (16, 16) spectrum, low frequencies first: by the larger of the two, then by row."""
    rows, columns = np.divmod(np.arange(FREQUENCIES**2), FREQUENCIES)
    return np.lexsort((columns, rows, np.maximum(rows, columns)))
