"""L-BFGS and its line search against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.line_search import Point, StrongWolfe
from dlcore.optim.method import Evaluation


def minimised(function, slope, start, steps=10, **options):
    """The weights after `steps` steps, and how often the function was asked for."""
    weights, asked = np.array(start, np.float64), 0

    def again():
        nonlocal asked
        asked += 1
        return float(function(weights)), slope(weights)

    method = LBFGS(linesearch="wolfe", tolfun=1e-9, tolx=1e-16, **options)
    for _ in range(steps):
        method.update(weights, again()[1], evaluation=Evaluation(float(function(weights)), again))
    return weights, asked


@pytest.mark.parametrize("start", [[-1.2, 1.0], [0.5, -2.0], [-2.0, 2.0, -1.0, 0.5, 1.5]])
def test_rosenbrocks_valley(start):
    """As low as SciPy's L-BFGS, with no more than twice as many evaluations."""
    theirs = optimize.minimize(
        optimize.rosen, start, jac=optimize.rosen_der, method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-9}
    )
    ours, asked = minimised(optimize.rosen, optimize.rosen_der, start)
    assert optimize.rosen(ours) <= max(theirs.fun, 1e-12)
    np.testing.assert_allclose(ours, theirs.x, atol=1e-4)
    assert asked <= 2 * theirs.nfev


def test_a_quadratic_bowl():
    rng = np.random.default_rng(4)
    root = rng.standard_normal((8, 8))
    matrix, vector = root @ root.T + np.eye(8), rng.standard_normal(8)
    ours, _ = minimised(lambda w: w @ matrix @ w / 2 - vector @ w, lambda w: matrix @ w - vector, np.zeros(8))
    np.testing.assert_allclose(ours, np.linalg.solve(matrix, vector), atol=1e-6)


FUNCTIONS = {
    "bowl": (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    "steep": (lambda t: np.exp(4 * t) - 9 * t, lambda t: 4 * np.exp(4 * t) - 9),
    "waves": (lambda t: np.sin(3 * t) - t / 2, lambda t: 3 * np.cos(3 * t) - 0.5),
    "quartic": (lambda t: (t - 2) ** 4 - t, lambda t: 4 * (t - 2) ** 3 - 1),
    "wall": (lambda t: -np.log(1 - t) - 3 * t if t < 1 else np.inf, lambda t: 1 / (1 - t) - 3 if t < 1 else np.nan),
}
"""Functions of one number that fall at 0, or begin to after a turn of the sign."""


@pytest.mark.parametrize("first", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_conditions_hold(name, first):
    function, slope = FUNCTIONS[name]
    sign = -np.sign(slope(0.0))

    def at(length):
        value = float(function(sign * length))
        return Point(length, value, float(sign * slope(sign * length)), np.zeros(1))

    start, rule = at(0.0), StrongWolfe(1e-4, 0.4)
    with np.errstate(over="ignore"):
        found, asked = rule.search(start, first, at)
    assert found.loss <= start.loss + 1e-4 * found.length * start.slope
    assert abs(found.slope) <= 0.4 * abs(start.slope)
    assert found.length > 0
    assert asked <= rule.max_evaluations


def test_evaluations_are_limited():
    function, asked = optimize.rosen, []
    weights = np.array([-1.2, 1.0])

    def again():
        asked.append(1)
        return float(function(weights)), optimize.rosen_der(weights)

    LBFGS(max_iter=100, max_eval=10, linesearch="wolfe", linesearch_options={"max_evaluations": 4}).update(
        weights, optimize.rosen_der(weights), evaluation=Evaluation(float(function(weights)), again)
    )
    assert 5 <= len(asked) <= 13


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"linesearch": "armijo"}, "got linesearch 'armijo', expected None, or 'wolfe'"),
        ({"linesearch": "wolfe", "linesearch_options": {"c3": 1}}, "expected some of c1, c2, max_evaluations"),
        ({"linesearch": "wolfe", "linesearch_options": {"c1": 0.95}}, "expected 0 < c1 < c2 < 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LBFGS(**options)
