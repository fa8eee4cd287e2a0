"""What people take: of the seed alone, nothing twice, and alike where tastes are."""

from __future__ import annotations

import numpy as np
import pytest

from sample_data.ratings import taken


def test_a_seed_draws_the_same_items_and_none_twice() -> None:
    items = taken(50, 30, 12, 3)
    assert items.shape == (50, 12)
    assert items.min() >= 0 and items.max() < 30
    assert all(len(set(row)) == 12 for row in items.tolist())
    assert np.array_equal(items, taken(50, 30, 12, 3))
    assert not np.array_equal(items, taken(50, 30, 12, 4))


def test_some_people_are_much_more_alike_than_by_chance() -> None:
    seen = np.zeros((200, 300))
    seen[np.arange(200)[:, None], taken(200, 300, 20, 0)] = 1
    shared = (seen @ seen.T)[np.triu_indices(200, 1)]
    # Drawn from all alike, a pair would share 20 * 20 / 300 = 1.3 items, and of 19,900 pairs hardly one as many as 9.
    assert (shared >= 9).mean() > 0.01


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(ValueError, match="got 5 items for each user, expected at most all, 4"):
        taken(1, 4, 5, 0)
