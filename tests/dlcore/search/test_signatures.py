"""Signatures: what they are blind to, and what they see."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from dlcore.search.signatures import (
    LARGEST_SIDE,
    _spectrum,
    chroma_grid,
    chroma_numbers,
    luminance_hash,
    mirrored_hash,
)


@pytest.fixture
def pictures():
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (6, 12, 12, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(p).resize((96, 96), Image.Resampling.BICUBIC)) for p in small])


def share(a, b):
    return np.bitwise_count(a ^ b).sum(axis=1) / (8 * a.shape[1])


def waves_of(picture):
    """(32, 32) amplitudes of a picture's lowest waves in grey levels, by scipy; those of frequency 0 count double."""
    luminance = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
    return dctn(luminance, type=2)[:32, :32] / picture.shape[0] ** 2


def bits_by_frequency(picture):
    """The hash's bits as (16, 16): it lists them by the larger of the two frequencies, then by row."""
    places = sorted(((row, column) for row in range(16) for column in range(16)), key=lambda p: (max(p), p))
    found = np.zeros((16, 16), bool)
    found[tuple(np.array(places).T)] = np.unpackbits(luminance_hash(picture[None])[0]).astype(bool)
    return found


def test_hash_bits_are_the_signs_of_scipys_dct_where_it_has_a_margin(pictures):
    for picture in pictures:
        waves, bits = waves_of(picture)[:16, :16], bits_by_frequency(picture)
        clear = np.abs(waves) > 0.21
        clear[0, 0] = False
        assert clear.sum() > 150
        np.testing.assert_array_equal(bits[clear], waves[clear] > 0)
        assert not bits[0, 0]


def test_a_wave_without_a_margin_takes_the_sign_of_an_even_one(pictures):
    for picture in pictures:
        waves, bits = waves_of(picture), bits_by_frequency(picture)
        strongest = max((waves[row, column] for row in range(16) for column in range(1, 16, 2)), key=abs)
        checked = 0
        for row, column in np.argwhere(np.abs(waves[:16, :16]) < 0.19):
            other = waves[row + 15 * (row % 2), column + 15 * (column % 2)]
            if abs(abs(other) - 0.2) > 0.01:
                assert bits[row, column] == ((other > 0.2) != (column % 2 == 1 and strongest > 0))
                checked += 1
        assert checked > 10


def test_a_hash_is_the_same_alone_and_among_others(pictures):
    many = np.concatenate([pictures, pictures[:, ::-1], symmetric(pictures)] * 3)
    alone = np.concatenate([luminance_hash(picture[None]) for picture in many])
    np.testing.assert_array_equal(luminance_hash(many), alone)
    np.testing.assert_array_equal(chroma_grid(many), np.concatenate([chroma_grid(p[None]) for p in many]))
    np.testing.assert_array_equal(luminance_hash(np.asfortranarray(many)), alone)


def test_the_sums_are_exact(pictures):
    picture = pictures[0]
    grey = picture.astype(np.int64) @ np.array([77, 150, 29])
    grey -= grey.sum() // grey.size
    cosines = np.rint(1024 * np.cos(np.pi * np.outer(np.arange(32), np.arange(96) + 0.5) / 96)).astype(np.int64)
    np.testing.assert_array_equal(_spectrum(picture[None])[0], cosines @ grey @ cosines.T)
    limit = 256 * LARGEST_SIDE * 1024 * LARGEST_SIDE * 1024 * 255
    assert limit < 2**53


def symmetric(pictures):
    """The left half, and its mirror image as the right half."""
    left = pictures[:, :, : pictures.shape[2] // 2]
    return np.concatenate([left, left[:, :, ::-1]], axis=2)


SYMMETRIES = {
    "left and right": symmetric,
    "top and bottom": lambda pictures: np.concatenate([pictures[:, :48], pictures[:, 47::-1]], axis=1),
    "half a turn": lambda pictures: np.concatenate([pictures[:, :48], pictures[:, 47::-1, ::-1]], axis=1),
    "both": lambda pictures: SYMMETRIES["top and bottom"](symmetric(pictures)),
}


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetric_pictures_are_known_again_and_told_apart(pictures, symmetry):
    pictures = SYMMETRIES[symmetry](np.stack([grained(picture, seed) for seed, picture in enumerate(pictures)]))
    hashes = luminance_hash(pictures)
    for quality in (40, 60, 80):
        copies = np.stack([np.asarray(Image.open(io.BytesIO(encoded(p, quality))).convert("RGB")) for p in pictures])
        assert share(hashes, luminance_hash(copies)).max() < 0.08
    assert share(hashes[:3], hashes[3:]).min() > 0.3


def test_a_picture_that_is_its_own_mirror_image_has_one_hash(pictures):
    pictures = symmetric(pictures)
    np.testing.assert_array_equal(luminance_hash(pictures), luminance_hash(pictures[:, :, ::-1]))


def grained(picture, seed):
    """The picture with details as small as photos have."""
    grain = np.random.default_rng(seed).integers(-40, 41, (48, 48, 1)).repeat(2, 0).repeat(2, 1)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def encoded(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_a_hash_of_signs_alone_as_older_lakes_have_is_still_near(pictures):
    pictures = np.stack([grained(picture, seed) for seed, picture in enumerate(pictures)])
    for number, picture in enumerate(pictures):
        signs = waves_of(picture)[:16, :16] > 0
        signs[0, 0] = False
        apart = [(signs != bits_by_frequency(other)).mean() for other in pictures]
        assert apart[number] < 0.1
        assert min(apart[:number] + apart[number + 1 :]) > 0.3


def test_too_large_pictures_are_refused():
    with pytest.raises(ValueError, match="side 257, expected at most 256"):
        luminance_hash(np.zeros((1, 257, 257, 3), np.uint8))


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
