"""Metrics against their definitions, counted pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from dlcore.search.metrics import bit_correlation, bit_entropy, pair_scores, retrieval


def test_pair_scores_equal_counting_pairs():
    generator = np.random.default_rng(1)
    predicted, truth = generator.integers(-1, 5, 40), generator.integers(-1, 6, 40)

    def pairs(labels):
        return {(a, b) for a, b in combinations(range(40), 2) if labels[a] == labels[b] >= 0}

    scores = pair_scores(predicted, truth)
    both = len(pairs(predicted) & pairs(truth))
    assert scores["precision"] == pytest.approx(both / len(pairs(predicted)))
    assert scores["recall"] == pytest.approx(both / len(pairs(truth)))


def test_a_false_merge_is_a_group_with_members_of_two_true_groups():
    assert pair_scores([0, 0, 1, 1, 2, 2], [5, 5, 6, 7, 8, -1])["false_merges"] == 2


def test_nothing_predicted_is_precise_and_finds_nothing():
    assert pair_scores([-1, -1], [0, 0]) == {"precision": 1.0, "recall": 0.0, "f1": 0.0, "false_merges": 0}


def test_retrieval_of_a_worked_example():
    # distances from item 0: item 1 (relevant) 1, item 2 2, item 3 (relevant) 3 -> AP = (1/1 + 2/3) / 2
    codes = np.array([[0b0], [0b1], [0b11], [0b111], [0b11111111]], np.uint8)
    scores = retrieval(codes, np.array([0, 0, -1, 0, -1]), k=1)
    ap = {0: (1 + 2 / 3) / 2, 1: (1 / 2 + 2 / 3) / 2, 3: (1 / 2 + 2 / 3) / 2}  # ties rank irrelevant codes first
    assert scores["map"] == pytest.approx(np.mean(list(ap.values())))
    assert scores["recall_at_1"] == pytest.approx(1 / 3)


def test_bit_statistics():
    codes = np.array([[0b10110000], [0b11010000], [0b10000000], [0b11100000]], np.uint8)
    np.testing.assert_allclose(bit_entropy(codes, 2), [0, 1])
    assert bit_correlation(np.array([[0b11000000], [0]], np.uint8), 2) == pytest.approx(1)
