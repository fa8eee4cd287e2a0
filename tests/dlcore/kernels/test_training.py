"""Updates, masks and sums of rows: to the bit what numpy gives, with any instructions, on any number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dlcore import kernels
from dlcore.kernels import AdamMeans, cpu, native, native_training, reference
from dlcore.rng import RandomGenerator
from tests.dlcore.kernels.instruction_sets import limited_to
from tests.dlcore.kernels.training_cases import images, random

BACKENDS = ("auto", "onednn", "mkl", "native", "reference")
UPDATES = {
    "descent": ("sgd", 1, (None, 0.1, 0.0, 0.0, 1.0, False)),
    "decay": ("sgd", 1, (None, 0.1, 0.01, 0.0, 1.0, False)),
    "momentum": ("sgd", 2, (0.1, 0.0, 0.9, 0.1, False)),
    "momentum and decay": ("sgd", 2, (0.1, 0.01, 0.9, 1.0, False)),
    "nesterov": ("sgd", 2, (0.1, 0.01, 0.9, 1.0, True)),
    "adam": ("adam", 3, (0.01, 1.0, AdamMeans(0.9, 0.999, 1e-8))),
    "adamw": ("adam", 3, (0.01, 0.99, AdamMeans(0.9, 0.999, 1e-8, 0.19, 0.002))),
    "rmsprop": ("rmsprop", 2, (0.01, 0.0, 0.99, 0.01, 1e-8)),
    "adagrad": ("rmsprop", 2, (0.01, 0.02, 1.0, 1.0, 1e-10)),
}
"""Name -> operation, how many arrays of the weights' shape follow the weights, what comes behind."""


@pytest.fixture(params=["portable", "avx2", "avx512"])
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from limited_to(request.param)


def arrays(size: int, count: int, kind: type = np.float32) -> list[np.ndarray]:
    """Weights, gradients and slots, the last of which is never below 0."""
    found = [random(size + 1, i + 3)[:-1, i].astype(kind) for i in range(count + 1)]
    found[-1] = np.abs(found[-1])
    return found


def changed(backend: str, name: str, given: list[np.ndarray]) -> list[np.ndarray]:
    """Weights and slots after the step; the gradients may be anything then."""
    operation, _, rest = UPDATES[name]
    with kernels.using(backend):
        getattr(kernels, operation)(*given, *rest)
    return [given[0], *given[2:]]


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("size", [1, 7, 1000, 100_003])
@pytest.mark.parametrize("threads", [1, 3])
def test_updates_are_numpys(
    name: str, size: int, threads: int, instructions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu._threads, "count", threads)
    given = arrays(size, UPDATES[name][1])
    expected = changed("reference", name, [each.copy() for each in given])
    for ours, theirs in zip(changed("native", name, given), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", UPDATES)
def test_updates_change_what_they_are_given(name: str, backend: str) -> None:
    """Also doubles, in their precision, and arrays with gaps."""
    count = UPDATES[name][1]
    exact = changed("reference", name, arrays(50, count, np.float64))
    for given in (arrays(50, count, np.float64), [np.repeat(each, 2)[::2] for each in arrays(50, count)]):
        kind = given[0].dtype
        for ours, theirs in zip(changed(backend, name, given), exact, strict=True):
            assert ours.dtype == kind
            np.testing.assert_allclose(ours, theirs, rtol=0 if kind == np.float64 else 1e-5, atol=1e-6)


def test_rates_by_weight() -> None:
    weights, grads, rates = random(5), random(6)[:5], np.array([1, 0, 2, 0, 3], np.float32)
    expected = weights - rates * grads
    kernels.sgd(weights, grads, None, rates, 0.0, 0.0, 1.0, False)
    np.testing.assert_array_equal(weights, expected)


@pytest.mark.parametrize("probability", [0.0, 1e-10, 0.3, 0.5, 1.0])
def test_draws_are_the_generators(probability: float, instructions: str) -> None:
    """Across the ends of its blocks of 624, and what is drawn afterwards is as if it had drawn them."""
    ours, theirs = RandomGenerator(7), RandomGenerator(7)
    for size in ((1,), (5, 3), (607,), (625,), (3, 500), (0,)):
        mask = native_training.bernoulli(ours, probability, size)
        np.testing.assert_array_equal(mask, theirs.bernoulli(probability, size))
    np.testing.assert_array_equal(ours.draws(700), theirs.draws(700))


def test_draws_of_each_record_are_its_own(instructions: str) -> None:
    ours, theirs = RandomGenerator(7), RandomGenerator(7)
    with ours.by_row([3, 9, 4]), theirs.by_row([3, 9, 4]):
        for size in ((3, 400), (6, 5, 7), (4, 10)):
            np.testing.assert_array_equal(native_training.bernoulli(ours, 0.4, size), theirs.bernoulli(0.4, size))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("x", [random(100_003), images(2, 3, 5, 4), random(8, 9)[::2], random(7).astype(np.float64)])
def test_masks(x: np.ndarray, backend: str) -> None:
    mask = RandomGenerator(1).bernoulli(0.5, x.shape)
    with kernels.using(backend):
        y = kernels.masked(x, mask, 1.25)
        planes = kernels.masked(x, mask.reshape(-1)[: x.shape[-1]], 1.25)
    assert y.dtype == planes.dtype == x.dtype
    np.testing.assert_array_equal(y, np.where(mask, x * x.dtype.type(1.25), 0))
    np.testing.assert_array_equal(planes, x * mask.reshape(-1)[: x.shape[-1]] * x.dtype.type(1.25))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_added_in_order(kind: type, threads: int, instructions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu._threads, "count", threads)
    rows, values = np.random.default_rng(1).integers(0, 40, 700), random(700, 65).astype(kind)
    found, total = np.ones((40, 65), kind), np.ones((40, 65), kind)
    with kernels.using("native"):
        kernels.add_rows(found, rows, values)
    for row, value in zip(rows, values, strict=True):
        total[row] += value
    np.testing.assert_allclose(
        found, total, rtol=0 if kind == np.float32 else 1e-12, atol=0 if kind == np.float32 else 1e-12
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("row", [-1, 4])
def test_rows_outside_are_refused(row: int, backend: str) -> None:
    with kernels.using(backend), pytest.raises(ValueError, match=rf"got rows .*{row}.*, expected 0 to 3"):
        kernels.add_rows(np.zeros((4, 2), np.float32), np.array([1, row]), random(2, 2))


@pytest.mark.parametrize("backend", BACKENDS)
def test_as_many_values_as_rows_are_added(backend: str) -> None:
    with kernels.using(backend), pytest.raises(ValueError, match=r"expected values \(3, 2\)"):
        kernels.add_rows(np.zeros((4, 2), np.float32), np.arange(3), random(4, 2))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_may_not_be_written_stays_as_it_is(backend: str) -> None:
    weights = np.frombuffer(bytes(32), np.float32)
    with kernels.using(backend), pytest.raises(ValueError, match="read-only"):
        kernels.sgd(weights, random(8), None, 0.1, 0.0, 0.0, 1.0, False)
    with kernels.using(backend), pytest.raises(ValueError, match="read-only"):
        kernels.add_rows(weights.reshape(4, 2), np.arange(2), random(2, 2))
    assert not weights.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_smaller_gradient_is_broadcast(backend: str) -> None:
    x, planes = random(4, 8), np.ones(8, np.float32)
    with kernels.using(backend):
        saved = kernels.layer_norm(x, planes, planes, 1e-6)[1]
        given = [kernels.layer_norm_backward(grad, saved)[0] for grad in (random(1, 8), np.tile(random(1, 8), (4, 1)))]
        around = kernels.lrn(images(2, 4, 3, 3), 3, 0.1, 0.75, 1.0)[1]
        wide = [kernels.lrn_backward(np.full(shape, 0.5, np.float32), around) for shape in ((1, 1, 1, 1), (2, 4, 3, 3))]
    np.testing.assert_allclose(*given, atol=1e-6)
    np.testing.assert_allclose(*wide, atol=1e-6)


def test_few_draws_are_left_to_numpy() -> None:
    suits = native_training.SUITS["bernoulli"]
    generator = RandomGenerator(1)
    assert [suits(generator, 0.5, size) for size in ((1, 100), (32, 1000))] == [False, True]
    with generator.by_row(list(range(32))):
        assert [suits(generator, 0.5, size) for size in ((32, 1000), (32, 30_000))] == [False, True]


def test_what_is_no_number_stays_so(instructions: str) -> None:
    x = random(3, 50)
    x[1, 7] = np.nan
    assert np.flatnonzero(np.isnan(native_training.relu(x))).tolist() == [57]
    for operation in ("softmax", "log_softmax"):
        y = getattr(native, operation)(x, 1)
        assert np.isnan(y).all(axis=1).tolist() == [False, True, False]


def test_places_that_are_left_out_get_nothing(instructions: str) -> None:
    """As attention does it: -inf, or far below the others."""
    x = random(4, 40)
    x[:, 5], x[:, 9], x[2, :] = -np.inf, -1e9, 300
    np.testing.assert_array_equal(native.softmax(x, 1)[:2, [5, 9]], 0)
    np.testing.assert_allclose(native.softmax(x, 1), reference.softmax(x, 1), atol=1e-6)
