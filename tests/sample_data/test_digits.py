"""Drawn digits: of the seed alone, each class told from the others, none like another."""

from __future__ import annotations

import numpy as np
import pytest

from sample_data.digits import digits


def test_a_seed_draws_the_same_digits() -> None:
    pictures, labels = digits(40, 3)
    assert pictures.shape == (40, 28, 28) and pictures.dtype == np.uint8
    again = digits(40, 3)
    assert np.array_equal(pictures, again[0]) and np.array_equal(labels, again[1])
    assert not np.array_equal(labels, digits(40, 4)[1])
    assert digits(0, 0)[0].shape == (0, 28, 28)


def test_the_nearest_mean_of_a_class_tells_many_digits() -> None:
    (pictures, labels), (unseen, their_labels) = digits(800, 0, 16), digits(200, 1, 16)
    assert np.bincount(labels).min() > 50
    means = np.array([pictures[labels == label].mean(axis=0) for label in range(10)])
    distances = np.square(unseen[:, None] - means).sum(axis=(2, 3))
    # Far more than one of ten, and far from all: the digits turn, lean and move.
    assert 0.3 < (distances.argmin(axis=1) == their_labels).mean() < 0.9


def test_small_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="got side 8, expected 16 pixels or more"):
        digits(1, 0, 8)
