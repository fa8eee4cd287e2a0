"""Pictures taken apart into thing and backdrop, and put together otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from spark_jobs.stages.look_alike_views import _counted, filled, placed, taken_apart


def slope(height=120, width=160):
    """A backdrop that grows brighter to the right."""
    return np.repeat(np.linspace(60, 200, width)[None, :, None], height, axis=0).repeat(3, axis=2).astype(np.uint8)


def test_a_hole_is_filled_as_its_surroundings_go_on():
    backdrop = slope()
    holed, hole = backdrop.copy(), np.zeros(backdrop.shape[:2], bool)
    hole[30:90, 50:110] = True
    holed[hole] = (255, 0, 0)
    found = filled(holed, hole)
    np.testing.assert_array_equal(found[~hole], backdrop[~hole])
    assert np.abs(found.astype(int) - backdrop).max() < 40
    assert np.abs(found.astype(int) - backdrop)[hole].mean() < 15


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (64, 65)])
def test_what_is_known_everywhere_stays(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(filled(pixels, np.zeros(size, bool)), pixels)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (2, 30), (60, 50)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_squares_are_counted_as_rank_filters_rank_them(size, share):
    mask = np.random.default_rng(0).random(size) < share
    picture = Image.fromarray(mask.astype(np.uint8))
    np.testing.assert_array_equal(_counted(mask, 5) > 12, np.asarray(picture.filter(ImageFilter.MedianFilter(5))))
    np.testing.assert_array_equal(_counted(mask, 5) > 0, np.asarray(picture.filter(ImageFilter.MaxFilter(5))))
    np.testing.assert_array_equal(_counted(mask, 3) == 9, np.asarray(picture.filter(ImageFilter.MinFilter(3))))


def test_a_thing_is_cut_out_along_its_outline():
    pixels = slope()
    y, x = np.mgrid[:120, :160]
    disc = (y - 60) ** 2 + (x - 80) ** 2 < 25**2
    pixels[disc] = (20, 160, 40)
    apart = taken_apart(pixels, (48, 28, 112, 92))
    mask = np.zeros(disc.shape, bool)
    mask[28:92, 48:112] = np.asarray(apart.thing.getchannel("A")) > 128
    assert (mask & disc).sum() / (mask | disc).sum() > 0.9
    assert np.abs(np.asarray(apart.backdrop).astype(int) - slope()).mean() < 8


@pytest.mark.parametrize("box", [None, (0, 0, 160, 120), (0, 0, 1, 1), (159, 119, 160, 120), (40, 40, 41, 120)])
def test_any_box_can_be_taken_apart_and_filled_again(box):
    apart = taken_apart(slope(), box)
    assert placed(apart.thing, apart.backdrop, apart.box).shape == (120, 160, 3)


def test_a_thing_that_cannot_be_told_apart_is_an_ellipse():
    alpha = np.asarray(taken_apart(slope(), (40, 30, 120, 90)).thing.getchannel("A"))
    assert alpha[30, 40] == 255 and alpha[0, 0] == 0
    assert 0.6 < alpha.mean() / 255 < 0.9
