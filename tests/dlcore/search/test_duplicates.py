"""Groups of duplicates: no chains, no dependence on order."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.search import duplicates
from dlcore.search.duplicates import Group, group_pairs, with_copies


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


@pytest.mark.parametrize("inside", [0.51, 0.6, 0.9, 0.97, 1.0])
def test_nearly_equal_items_stay_together_however_many_they_are(monkeypatch, inside):
    monkeypatch.setattr(duplicates, "MAX_COMPONENT", 10)
    assert [len(group.members) for group in groups_of(blocks(50, 3, 25, inside=inside), 0.5)] == [50, 3, 25]


def test_a_large_component_of_small_groups_is_cut_as_a_small_one_is(monkeypatch):
    sizes = [3, 5, 4, 6, 2, 5, 3]
    matrix = blocks(*sizes)
    ends = np.cumsum(sizes)[:-1]
    matrix[ends - 1, ends] = matrix[ends, ends - 1] = 0.88  # one wrong pair ties each group to the next
    matrix[0, 10] = matrix[10, 0] = 0.7
    expected = groups_of(matrix, 0.5)
    assert [len(group.members) for group in expected] == sizes
    monkeypatch.setattr(duplicates, "MAX_COMPONENT", 8)
    found = groups_of(matrix, 0.5)
    assert [group.members.tolist() for group in found] == [group.members.tolist() for group in expected]


def test_a_long_chain_above_the_limit_is_not_one_group(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_COMPONENT", 10)
    places = np.arange(60.0)
    groups = groups_of(np.exp(-np.abs(places[:, None] - places) / 2), 0.5)
    assert max(len(group.members) for group in groups) <= 3
    assert sum(len(group.members) for group in groups) > 30


def test_copies_join_the_group_of_what_they_equal():
    groups = [Group(np.array([1, 3]), 3), Group(np.array([0, 4]), 0)]
    found = with_copies(groups, np.array([0, 1, 2, 1, 3, 2, 4, 3, 5]))
    assert [(group.members.tolist(), group.representative) for group in found] == [
        ([0, 6], 0), ([1, 3, 4, 7], 4), ([2, 5], 2),
    ]  # fmt: skip
    assert with_copies([], np.arange(3)) == []
    assert with_copies([], np.empty(0, np.int64)) == []


def test_single_linkage_is_refused():
    with pytest.raises(ValueError, match="others chain"):
        groups_of(blocks(2), 0.5, method="single")
