"""CTC against all ways there are, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special

from dlcore.nn.criterion import CTCCriterion

RNG = np.random.default_rng(8)
LOGS = special.log_softmax(RNG.standard_normal((3, 5, 3)), axis=2)


def said(way, blank):
    """The labels of a way: repeated ones once, without blanks."""
    return [label for label, _ in itertools.groupby(way) if label != blank]


def brute_loss(logs, labels, blank):
    """Over all ways of 1-based classes, step by step."""
    ways = itertools.product(range(1, logs.shape[1] + 1), repeat=len(logs))
    chances = [sum(logs[t, k - 1] for t, k in enumerate(way)) for way in ways if said(way, blank) == labels]
    return -special.logsumexp(chances)


@pytest.mark.parametrize(
    ("blank", "labels"),
    [(1, [[2, 3], [3, 3], [2, -1]]), (3, [[1, 2, 1], [2, 2, -1], [-1, -1, -1]]), (2, [[1], [3], [-1]])],
)
@pytest.mark.parametrize("steps", [None, [5, 4, 1]])
def test_all_ways(blank, labels, steps):
    target = np.array(labels) if steps is None else [np.array(labels), np.array(steps)]
    losses = [
        brute_loss(logs[:count], [label for label in row if label > 0], blank)
        for logs, row, count in zip(LOGS, labels, steps or [5] * 3, strict=True)
    ]
    assert CTCCriterion(blank, size_average=False).forward(LOGS, target) == pytest.approx(sum(losses), rel=1e-12)
    assert CTCCriterion(blank).forward(LOGS, target) == pytest.approx(np.mean(losses), rel=1e-12)


@pytest.mark.parametrize("labels", [[2, 2], [3], []])
def test_gradient_is_that_of_all_ways(labels):
    """Central differences of the sum over ways, each log-probability for itself."""
    row, step = np.array(labels or [-1]), 1e-5
    expected = np.zeros((4, 3))
    for place in np.ndindex(4, 3):
        ends = []
        for sign in (1, -1):
            moved = LOGS[0, :4].copy()
            moved[place] += sign * step
            ends.append(brute_loss(moved, labels, 1))
        expected[place] = (ends[0] - ends[1]) / (2 * step)
    got = CTCCriterion().backward(LOGS[0, :4], row)
    np.testing.assert_allclose(got, expected, atol=1e-8)
    np.testing.assert_allclose(-got.sum(axis=1), 1)  # in each step some class is said


def test_a_long_sequence_stays_finite():
    """200 certain steps: the way that says the labels has probability 1; in float32."""
    labels = np.arange(50) % 7 + 2
    logs = np.full((1, 200, 9), -80.0, np.float32)
    logs[0, np.arange(200), np.where(np.arange(200) % 4 == 0, labels.repeat(4), 1) - 1] = 0.0
    loss = CTCCriterion()
    assert loss.forward(logs, labels[None]) == pytest.approx(0.0, abs=1e-6)
    grad = loss.backward(logs, labels[None])
    assert grad.dtype == np.float32
    np.testing.assert_allclose(grad, np.where(logs == 0, -1.0, 0.0), atol=1e-6)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([[2, 2, 2], [3, -1, -1], [2, -1, -1]], None),
        (
            [[2, 2, 2, 2], [3, -1, -1, -1], [2, -1, -1, -1]],
            "got 5 steps for the 4 labels of sample 0, expected at least 7",
        ),
        ([[1], [2], [2]], "got label 1, expected 1 to 3 without the blank, 1"),
        ([[0], [2], [2]], "got label 0, expected 1 to 3"),
        ([[4], [2], [2]], "got label 4, expected 1 to 3"),
        ([[-1, 2], [2, 3], [2, 3]], "expected -1 behind the last label only"),
        ([[2], [2]], r"expected \(N, T, C\) and labels \(N, L\)"),
    ],
)
def test_labels_that_no_way_says_are_refused(target, message):
    if message is None:
        assert np.isfinite(CTCCriterion().forward(LOGS, np.array(target)))
    else:
        with pytest.raises(ValueError, match=message):
            CTCCriterion().forward(LOGS, np.array(target))


def test_scores_are_no_log_probabilities():
    with pytest.raises(ValueError, match=r"got an output of 2, expected log-probabilities.* put LogSoftMax before it"):
        CTCCriterion().forward(np.full((1, 4, 3), 2.0), np.array([[2]]))


def test_labels_of_no_probability_leave_the_other_samples_gradient():
    logs, labels = LOGS[:2].copy(), np.array([[2], [3]])
    logs[0, :, 1] = -np.inf
    loss = CTCCriterion(size_average=False)
    assert loss.forward(logs, labels) == np.inf
    grad = loss.backward(logs, labels)
    loss.forward(logs[1:], labels[1:])
    np.testing.assert_array_equal(grad, [np.zeros_like(grad[0]), *loss.backward(logs[1:], labels[1:])])


@pytest.mark.parametrize("steps", [6, 0])
def test_steps_that_are_not_there_are_refused(steps):
    with pytest.raises(ValueError, match=f"got {steps} steps"):
        CTCCriterion().forward(LOGS, [np.array([[2], [2], [2]]), np.array([5, steps, 5])])
    with pytest.raises(ValueError, match="got blank=4, expected a class, 1 to 3"):
        CTCCriterion(4).forward(LOGS, np.array([[2], [2], [2]]))
