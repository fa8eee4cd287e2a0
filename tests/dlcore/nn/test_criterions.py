"""Every criterion through the one harness, by table; the codes' losses against slow formulas."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest

import dlcore
from dlcore.nn import criterion
from dlcore.nn.criterion import (
    ClassNLLCriterion,
    ClassSimplexCriterion,
    CosineEmbeddingCriterion,
    CrossEntropyCriterion,
    DeepBitCriterion,
    EvenDistributionCriterion,
    MarginRankingCriterion,
    MSECriterion,
    MultiLabelMarginCriterion,
    MultiMarginCriterion,
    NTXentCriterion,
    QuantisationCriterion,
    RotationInvarianceCriterion,
    SmoothL1CriterionWithWeights,
    TimeDistributedMaskCriterion,
    TransformerCriterion,
)
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.layer import Linear
from dlcore.testing import check_criterion
from tests.dlcore.nn.criterion_cases import CASES, angles, labels, normal, one_hot, scores

STRAIGHT_THROUGH = {"EvenDistributionCriterion", "DeepBitCriterion"}
"""Their gradient is that of a soft sign, tested below."""


@pytest.mark.parametrize("name", CASES)
def test_criterion(name):
    built, output, target, formula = CASES[name]
    check_criterion(built, output, target, formula)


OF_RECORDS = [name for name, (_, *arrays, _) in CASES.items() if all(isinstance(x, np.ndarray) for x in arrays)]


@pytest.mark.parametrize("name", sorted({*OF_RECORDS} - {"NTXentCriterion", "CosineDistanceCriterion-row"}))
def test_no_records_cost_nothing(name):
    built, output, target, _ = CASES[name]
    assert built.forward(output[:0], target[:0]) == 0
    assert built.backward(output[:0], target[:0]).shape == (0, *output.shape[1:])


def test_nothing_escapes_its_harness():
    """Whatever dlcore defines, in whichever file, and whether or not it is public; MultiBoxLoss has tests of its own,
    test_multi_box.py."""
    for found in pkgutil.walk_packages(dlcore.__path__, "dlcore."):
        importlib.import_module(found.name)
    ours = {kind for kind in Criterion.registry.values() if kind.__module__.startswith("dlcore.")}
    parents = {parent for kind in ours for parent in kind.__mro__[1:] if "apply" not in vars(parent)}
    checked = {name.split("-")[0] for name in CASES} | {"MultiBoxLoss"} | STRAIGHT_THROUGH
    assert {kind.__name__ for kind in ours - parents} == checked


@pytest.mark.parametrize("name", sorted(set(criterion.__all__) - {"Criterion"}))
def test_a_criterion_states_its_shapes_and_its_source(name):
    doc = inspect.getdoc(getattr(criterion, name))
    assert re.search(r"(^|\. )output: .+", doc, flags=re.M), "expected 'output: ...; target: ...'"
    assert re.search(r"(^|; )target: .+|the target is not used", doc, flags=re.M)
    assert re.search(r"(^|\. )Source: [^.].*\.$", doc, flags=re.M | re.S), "expected 'Source: BigDL's ..., or a paper.'"


def test_even_distribution_moves_each_bit_towards_half():
    codes = np.array([[0.3, -0.2], [0.1, 0.4], [0.2, -0.1], [0.4, -0.3]], np.float32)
    even = EvenDistributionCriterion()
    assert even.forward(codes, 0) == pytest.approx(0.5**2 + 0.25**2)
    grad = even.backward(codes, 0)
    assert (grad[:, 0] > 0).all()
    assert (grad[:, 1] < 0).all()
    np.testing.assert_allclose(grad[0], [2 * 0.5 / 4, 2 * -0.25 / 4])


def test_deepbit_is_the_weighted_sum_of_its_parts():
    output = [normal(4, 5), normal(4, 5)]
    parts = [QuantisationCriterion(), EvenDistributionCriterion()]
    expected = [2 * parts[0].backward(output[0], 0) + 3 * parts[1].backward(output[0], 0), 0]
    for index, grad in enumerate(RotationInvarianceCriterion().backward(output, angles)):
        expected[index] = expected[index] + 0.5 * grad
    whole = DeepBitCriterion(2.0, 3.0, 0.5)
    for got, wanted in zip(whole.backward(output, angles), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_the_released_deepbit_learns_from_the_rotation_alone():
    output = [normal(4, 5), normal(4, 5)]
    first, second = DeepBitCriterion(released=True).backward(output, angles)
    np.testing.assert_allclose(second, 0.001 * (output[1] - output[0]) / 4, atol=1e-7)
    np.testing.assert_array_equal(first, -second)


def test_a_contrast_needs_two_views():
    with pytest.raises(ValueError, match="expected two views"):
        NTXentCriterion().forward(normal(3, 4), [1, 2, 3])


def test_labels_are_one_based():
    with pytest.raises(ValueError, match="labels are 1-based"):
        CrossEntropyCriterion().forward(scores, [0, 1, 2, 3])


@pytest.mark.parametrize(
    "criterion",
    [
        ClassNLLCriterion(),
        CrossEntropyCriterion(),
        MultiMarginCriterion(),
        MultiMarginCriterion(2, np.linspace(0.5, 1.5, 5)),
        MultiMarginCriterion(size_average=False),
        ClassSimplexCriterion(5),
    ],
)
def test_the_label_that_is_left_out_counts_nowhere(criterion):
    kept = labels != -1
    assert criterion.forward(scores, labels) == pytest.approx(criterion.forward(scores[kept], labels[kept]), rel=1e-5)
    grad = criterion.backward(scores, labels)
    np.testing.assert_allclose(grad[kept], criterion.backward(scores[kept], labels[kept]), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(grad[~kept], 0)


@pytest.mark.parametrize("wrong", [-1, 6])
def test_margins_of_classes_that_do_not_exist_are_refused(wrong):
    with pytest.raises(ValueError, match=f"got label {wrong}, expected 1 to 5, then zeros"):
        MultiLabelMarginCriterion().forward(scores[:1], np.array([[2, wrong, 0, 0, 0]]))


def test_tables_are_no_arrays():
    with pytest.raises(ValueError, match=r"got output \[\(2,\), \(2,\)\] and target \(2, 2\), expected two arrays"):
        MSECriterion().forward([np.ones(2), np.ones(2)], np.ones((2, 2)))


def test_what_a_loss_is_taken_through_does_not_learn():
    features = Linear(5, 3)
    loss = TransformerCriterion(MSECriterion(), features, features)
    features.zero_grad_parameters()
    assert loss.backward(scores, one_hot).any()
    assert not features.weight.grad.any()
    assert features.learns()


def test_a_batch_of_padding_costs_nothing():
    loss = TimeDistributedMaskCriterion(ClassNLLCriterion())
    assert loss.forward(normal(2, 3, 5), np.zeros((2, 3))) == 0.0
    assert not loss.backward(normal(2, 3, 5), np.zeros((2, 3))).any()


@pytest.mark.parametrize(
    ("loss", "output", "target", "message"),
    [
        (CosineEmbeddingCriterion(), scores, np.ones(4), r"got output \(4, 5\), expected a table of two arrays"),
        (MarginRankingCriterion(), [scores[0], scores[0]], np.ones(4), r"got target \(4,\), expected 5 numbers"),
        (SmoothL1CriterionWithWeights(1.0), scores, [scores, scores], "expected one array, or three"),
        (TimeDistributedMaskCriterion(MSECriterion()), scores, labels, r"expected \(N, T, ...\) and \(N, T\)"),
    ],
)
def test_what_does_not_fit_is_refused(loss, output, target, message):
    with pytest.raises(ValueError, match=message):
        loss.forward(output, target)


def test_numbers_go_with_a_column():
    """Targets (N,) for outputs (N, 1), as a table's column gives them, and the other way round; never (N, N) by
    broadcasting."""
    column, numbers = np.float32([[1], [2], [4]]), np.float32([1, 1, 1])
    assert MSECriterion().forward(column, numbers) == pytest.approx(10 / 3)
    np.testing.assert_allclose(MSECriterion().backward(column, numbers), [[0], [2 / 3], [2]], rtol=1e-6)
    assert MSECriterion().forward(numbers, column) == pytest.approx(10 / 3)
    with pytest.raises(ValueError, match=r"got output \(3, 1\) and target \(2,\), expected two arrays of equal shapes"):
        MSECriterion().forward(column, numbers[:2])


def test_the_first_of_several_targets_ranks():
    output, signs = [np.float32([1, 2]), np.float32([3, 1])], np.float32([1, -1])
    alone = MarginRankingCriterion().forward(output, signs)
    assert MarginRankingCriterion().forward(output, [signs, -signs]) == alone == 2.5
