"""Signatures: what they are blind to, and what they see."""

import imagehash
import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from dlcore.search.signatures import chroma_grid, chroma_numbers, luminance_hash, mirrored_hash


@pytest.fixture
def pictures():
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (6, 12, 12, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((96, 96), Image.Resampling.BICUBIC)) for p in small])


def share(a, b):
    return np.bitwise_count(a ^ b).sum(axis=1) / (8 * a.shape[1])


def test_hash_bits_are_the_signs_of_scipys_dct(pictures):
    luminance = pictures[0].astype(np.float64) @ [0.299, 0.587, 0.114]
    spectrum = dctn(luminance, type=2)[:16, :16]
    bits = np.unpackbits(luminance_hash(pictures[:1])[0])
    assert bits[0] == 0
    assert bits.sum() == (spectrum.ravel()[1:] > 0).sum()
    coarse = sorted((spectrum[:8, :8].ravel()[1:] > 0).tolist())
    assert sorted(bits[1:64].astype(bool).tolist()) == coarse  # the first 8 bytes are the 8 x 8 lowest frequencies


def test_mirrored_hash_is_the_hash_of_the_mirrored_picture(pictures):
    np.testing.assert_array_equal(mirrored_hash(luminance_hash(pictures)), luminance_hash(pictures[:, :, ::-1]))


def test_hash_survives_tone_and_greyscale_as_imagehash_does(pictures):
    darker = (pictures * 0.8).astype(np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(p).convert("L").convert("RGB")) for p in pictures])
    for changed in (darker, grey):
        assert share(luminance_hash(pictures), luminance_hash(changed)).max() < 0.05
    theirs = imagehash.phash(Image.fromarray(pictures[0])) - imagehash.phash(Image.fromarray(grey[0]))
    assert theirs <= 4
    assert share(luminance_hash(pictures[:3]), luminance_hash(pictures[3:])).min() > 0.3


def test_a_hue_shift_turns_the_chroma_numbers():
    hues = np.linspace(0, 255, 96, endpoint=False).astype(np.uint8)
    hsv = np.stack([np.tile(hues, (96, 1)), np.full((96, 96), 180, np.uint8), np.full((96, 96), 200, np.uint8)], -1)

    def grid(shift):
        turned = hsv.copy()
        turned[..., 0] += np.uint8(shift)
        return chroma_numbers(chroma_grid(np.asarray(Image.fromarray(turned, "HSV").convert("RGB"))[None]))[0]

    for degrees in (60, 90, 120):
        angles = np.degrees(np.angle(np.sum(grid(0).conj() * grid(round(degrees / 360 * 256)))))
        assert abs(abs(angles) - degrees) < 12


def test_grey_has_no_chroma():
    assert not chroma_grid(np.full((1, 96, 96, 3), 77, np.uint8)).any()
