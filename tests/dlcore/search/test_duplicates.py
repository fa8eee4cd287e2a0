"""Groups of duplicates: no chains, no dependence on order."""

import numpy as np
import pytest

from dlcore.search import duplicates
from dlcore.search.duplicates import group_pairs


def groups_of(matrix, threshold, **options):
    i, j = np.triu_indices(len(matrix), 1)
    return group_pairs(len(matrix), (i, j), lambda a, b: matrix[a, b], threshold, **options)


def blocks(*sizes, inside=0.9, outside=0.01):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.where(labels[:, None] == labels, inside, outside)


def test_clear_groups_are_found():
    matrix = blocks(3, 1, 2)
    assert [group.members.tolist() for group in groups_of(matrix, 0.5)] == [[0, 1, 2], [4, 5]]


@pytest.mark.parametrize("method", ["average", "complete"])
def test_one_wrong_pair_does_not_chain_two_groups(method):
    matrix = blocks(4, 4)
    matrix[3, 4] = matrix[4, 3] = 0.88
    assert [group.members.tolist() for group in groups_of(matrix, 0.5, method=method)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_chain_of_neighbours_is_not_one_group():
    places = np.arange(30.0)
    matrix = np.exp(-np.abs(places[:, None] - places) / 2)
    assert max(len(group.members) for group in groups_of(matrix, 0.5)) <= 3


def test_the_order_of_pairs_and_items_does_not_matter():
    generator = np.random.default_rng(0)
    matrix = np.clip(blocks(4, 3, 2, 5) + generator.normal(0, 0.1, (14, 14)), 0, 1)
    matrix = (matrix + matrix.T) / 2
    order = generator.permutation(14)
    expected = {frozenset(group.members.tolist()) for group in groups_of(matrix, 0.5)}
    shuffled = groups_of(matrix[np.ix_(order, order)], 0.5)
    assert {frozenset(order[group.members].tolist()) for group in shuffled} == expected


def test_the_representative_resembles_the_others_most():
    matrix = blocks(3)
    matrix[1, 0] = matrix[0, 1] = matrix[1, 2] = matrix[2, 1] = 0.99
    assert groups_of(matrix, 0.5)[0].representative == 1


def test_a_component_above_the_limit_is_cut_by_stronger_pairs(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_COMPONENT", 4)
    matrix = blocks(4, 4, inside=0.95, outside=0.6)
    assert [len(group.members) for group in groups_of(matrix, 0.5)] == [4, 4]


def test_single_linkage_is_refused():
    with pytest.raises(ValueError, match="others chain"):
        groups_of(blocks(2), 0.5, method="single")
