"""Public harnesses: what every layer, criterion and optimisation method has to satisfy. They raise AssertionError.

Expected values come from elsewhere: a slow formula given by the caller, and central differences.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcore import kernels
from dlcore.activity import (
    Activity,
    Array,
    SparseMatrix,
    add,
    as_activity,
    describe,
    float_type,
    leaves,
    map_leaves,
    with_floats,
)
from dlcore.interop.native import load_module, save_module
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.nn.pullback import pulled
from dlcore.nn.shapes import ActivityShape, shape_of
from dlcore.nn.weights import cast
from dlcore.optim.method import Evaluation, OptimMethod
from dlcore.rng import RNG

_SEED = 20
_DIRECTIONS = 4


@dataclass(frozen=True)
class LayerCase:
    """A layer to check: how to build it, an input, and the slow formula of its output where there is one.

    Set has_batch=False where rows are not independent samples, is_differentiable=False where the gradient is not that
    of the output by design.
    """

    make: Callable[[], Module]
    x: Any
    formula: Callable[[Module, Any], Any] | None = None
    has_batch: bool = True
    is_differentiable: bool = True
    step: float = 1e-6
    tolerance: float = 1e-6


def check_layer(case: LayerCase) -> None:
    """Check all that a layer promises: gradients, modes, memory orders, batch sizes, copies, files, seeds.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    x = with_floats(as_activity(case.x), np.float32)
    for is_training in (True, False):
        module = _made(case).training(is_training)
        _check_result(case, module, x)
        _check_pure(module, x)
        if case.is_differentiable:
            _check_gradients(case, module, x)
    _check_output_shape(case, x)
    _check_memory_orders(case, x)
    _check_relu(case, x)
    _check_frozen(case, x)
    if case.has_batch:
        _check_batches(case, x)
    _check_copies(case, x)
    same = zip(_made(case).get_weights(), _made(case).get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in same), "the same seed gives other weights"


def _made(case: LayerCase) -> Module:
    RNG.set_seed(_SEED)
    return case.make()


def _apply(module: Module, x: Activity) -> tuple[Any, Any]:
    RNG.set_seed(_SEED)
    return module.apply(x)


def _forward(module: Module, x: Activity) -> Any:
    RNG.set_seed(_SEED)
    return module.forward(x)


def _like(y: Activity, seed: int = 1) -> Activity:
    rng = np.random.default_rng(seed)
    return map_leaves(lambda leaf: rng.standard_normal(leaf.shape).astype(float_type(leaf)), y)


def _dot(first: Activity, second: Activity) -> float:
    pairs = zip(leaves(first), leaves(second), strict=True)
    return float(sum(np.vdot(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs))


def _assert_close(got: Activity, expected: Activity, what: str, tolerance: float = 1e-4) -> None:
    got, expected = _dense(got), _dense(expected)
    assert describe(got) == describe(expected), f"{what}: got shape {describe(got)}, expected {describe(expected)}"
    for a, b in zip(leaves(got), leaves(expected), strict=True):
        scale = tolerance * max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=scale, err_msg=what)


def _dense(x: Activity) -> Activity:
    return map_leaves(lambda leaf: leaf.dense() if isinstance(leaf, SparseMatrix) else leaf, x)


def _check_result(case: LayerCase, module: Module, x: Activity) -> None:
    y = _forward(module, x)
    for leaf in leaves(y):
        assert leaf.dtype == np.float32, f"output has type {leaf.dtype}, expected float32"
    if case.formula is not None:
        _assert_close(y, as_activity(case.formula(module, case.x)), "the slow formula")


def _check_pure(module: Module, x: Activity) -> None:
    before = _copied(x)
    y, pullback = _apply(module, x)
    y_before, grad = _copied(y), _like(y)
    grad_before = _copied(grad)
    grad_x = pullback(grad)
    assert shape_of(grad_x) == shape_of(x), f"gradient has shape {describe(grad_x)}, expected {describe(x)}"
    _assert_close(x, before, "the input was changed", 0.0)
    _assert_close(y, y_before, "the output was changed by the backward pass", 0.0)
    _assert_close(grad, grad_before, "the output's gradient was changed", 0.0)


def _copied(x: Activity) -> Activity:
    return map_leaves(lambda leaf: leaf.copy(), x)


def _check_output_shape(case: LayerCase, x: Activity) -> None:
    """Of this input and, where rows are samples, of a batch of unknown size; nothing of the layer or the generator
    changes."""
    y = shape_of(_forward(_made(case), x))
    module = _made(case)
    before = pickle.dumps([module, RNG.state()])
    found = module.output_shape(shape_of(x))
    assert _is_shape(found, y, module.is_dynamic), f"output_shape gives {found}, apply {y}"
    if case.has_batch:
        found = module.output_shape(_of_unknown_batch(shape_of(x)))
        assert found == _of_unknown_batch(y), f"output_shape gives {found} for an unknown batch, apply {y}"
    assert pickle.dumps([module, RNG.state()]) == before, "output_shape changes the layer or the generator"


def _is_shape(found: ActivityShape, y: ActivityShape, is_dynamic: bool) -> bool:
    """Whether `found` is `y`; what depends on the data may be unknown."""
    if isinstance(found, list) or isinstance(y, list) or not is_dynamic:
        return found == y
    return len(found) == len(y) and all(a in (None, b) for a, b in zip(found, y, strict=True))


def _of_unknown_batch(shape: ActivityShape) -> ActivityShape:
    return [_of_unknown_batch(part) for part in shape] if isinstance(shape, list) else (None, *shape[1:])


def _check_gradients(case: LayerCase, module: Module, x: Activity) -> None:
    """In float64 against central differences, then as it is used: in float32, on the kernels in use, added up."""
    grad = _like(_apply(module, x)[0])
    with kernels.using("reference"):
        expected_x, expected = _check_differences(case, module.clone(), x, grad)
    module.zero_grad_parameters()
    grad_x = _apply(module, x)[1](grad)
    _assert_close(grad_x, expected_x, "the input's gradient in float32", 1e-4)
    for times in (1, 2):
        for name, parameter in module.named_parameters().items():
            _assert_close(parameter.grad, times * expected[name], f"gradient of {name} in float32, {times} times", 1e-3)
        _apply(module, x)[1](grad)
    module.zero_grad_parameters()
    pulled(_apply(module, x)[1], grad, needs_x=False)
    for name, parameter in module.named_parameters().items():
        _assert_close(parameter.grad, expected[name], f"gradient of {name} without that of the input", 1e-3)


def _check_differences(
    case: LayerCase, module: Module, single_x: Activity, single_grad: Activity
) -> tuple[Activity, dict[str, Array]]:
    """The gradients of the input and of the parameters in float64, which agree with central differences."""
    cast(module, np.float64)
    x, grad = with_floats(single_x, np.float64), with_floats(single_grad, np.float64)
    y, pullback = _apply(module, x)
    grad_x = pullback(grad)
    found = {name: parameter.grad.copy() for name, parameter in module.named_parameters().items()}
    for leaf in [*leaves(y), *leaves(grad_x)]:
        assert leaf.dtype == np.float64, f"of float64 input there is an output or gradient of {leaf.dtype}"

    def value(moved: Activity) -> float:
        return _dot(_apply(module, moved)[0], grad)

    is_sparse = any(isinstance(leaf, SparseMatrix) for leaf in leaves(x))  # whose values cannot be moved
    for seed in range(0 if is_sparse else _DIRECTIONS):
        direction = _direction(x, seed)
        ends = (value(add(x, _scaled(direction, sign * case.step))) for sign in (1, -1))
        _assert_slope(case, ends, _dot(grad_x, direction), _size(grad_x, direction), "input")
    for name, parameter in module.named_parameters().items():
        _check_parameter(case, parameter.value, found[name], lambda: value(x), name)
    return grad_x, found


def _check_parameter(case: LayerCase, value: Array, grad: Array, loss: Callable[[], float], name: str) -> None:
    kept = value.copy()
    for seed in range(_DIRECTIONS):
        direction = _direction(kept, seed)
        ends = []
        for sign in (1, -1):
            value[...] = kept + sign * case.step * direction  # type: ignore[operator]
            ends.append(loss())
        value[...] = kept
        _assert_slope(case, ends, _dot(grad, direction), _size(grad, direction), name)


def _direction(x: Activity, seed: int) -> Activity:
    """A random direction; every second one moves a single random element of each array."""
    direction = _like(x, 100 + seed)
    if seed % 2 == 0:
        return direction
    rng = np.random.default_rng(seed)

    def single(leaf: Array) -> Array:
        sparse = np.zeros(leaf.size, leaf.dtype)
        if leaf.size:
            sparse[rng.integers(leaf.size)] = 1.0
        return sparse.reshape(leaf.shape)

    return map_leaves(single, direction)


def _scaled(x: Activity, factor: float) -> Activity:
    return map_leaves(lambda leaf: leaf * leaf.dtype.type(factor), x)


def _size(grad: Activity, direction: Activity) -> float:
    return float(np.sqrt(_dot(grad, grad) * _dot(direction, direction)))


def _assert_slope(case: LayerCase, ends: Any, found: float, size: float, name: str) -> None:
    above, below = ends
    measured = (above - below) / (2 * case.step)
    allowed = case.tolerance * max(size, 1e-1)
    assert abs(measured - found) <= allowed, f"gradient of {name}: got {found:.6g}, differences give {measured:.6g}"


def _check_memory_orders(case: LayerCase, x: Activity) -> None:
    expected = _forward(_made(case).evaluate(), x)

    def strided(leaf: Array) -> Array:
        wide = np.zeros([2 * side for side in leaf.shape], np.float32)
        view = wide[tuple(slice(None, None, 2) for _ in leaf.shape)]
        view[...] = leaf
        return view

    # Layers of sparse matrices take arrays as well.
    for what, order in (
        ("strided", strided),
        ("Fortran-ordered", np.asfortranarray),
        ("row-major", np.ascontiguousarray),
    ):
        y = _forward(_made(case).evaluate(), map_leaves(order, _dense(x)))
        _assert_close(y, expected, f"{what} input gives another output", 1e-5)


def _check_relu(case: LayerCase, x: Activity) -> None:
    results = []
    for is_fused in (False, True):
        module = _made(case)
        RNG.set_seed(_SEED)
        if not isinstance(module.apply(x)[0], np.ndarray):
            return
        RNG.set_seed(_SEED)
        y, pullback = module.apply_with_relu(x) if is_fused else Module.apply_with_relu(module, x)
        results.append([y, pullback(_like(y)), [p.grad for p in module.named_parameters().values()]])
    _assert_close(results[1], results[0], "apply_with_relu is not ReLU of apply", 1e-4)


def _check_frozen(case: LayerCase, x: Activity) -> None:
    module = _made(case).freeze()
    y, pullback = _apply(module, x)
    pullback(_like(y))
    for name, parameter in module.named_parameters().items():
        assert not parameter.grad.any(), f"frozen {name} has a gradient"


def _check_batches(case: LayerCase, x: Activity) -> None:
    module = _made(case).evaluate()
    expected = map_leaves(lambda leaf: leaf[:1], _forward(module, x))
    first = _forward(module, map_leaves(lambda leaf: leaf[:1], x))
    _assert_close(first, expected, "a batch of one gives another output", 1e-5)
    for is_training in (True, False):
        module = _made(case).training(is_training)
        nothing = map_leaves(lambda leaf: leaf[:0], x)
        y, pullback = _apply(module, nothing)
        assert all(len(leaf) == 0 for leaf in leaves(y)), f"an empty batch gives {describe(y)}"
        assert shape_of(pullback(_like(y))) == shape_of(nothing), "an empty batch has a gradient of another shape"


def _check_copies(case: LayerCase, x: Activity) -> None:
    module = _made(case)
    _forward(module, x)
    expected = _forward(module.evaluate(), x)
    _assert_close(_forward(pickle.loads(pickle.dumps(module)), x), expected, "a pickled copy differs", 0.0)
    _assert_close(_forward(module.clone(), x), expected, "a clone differs", 0.0)
    with tempfile.TemporaryDirectory() as folder:
        save_module(module, Path(folder) / "model")
        loaded = load_module(Path(folder) / "model")
    _assert_close(_forward(loaded, x), expected, "the saved and loaded layer differs", 0.0)


def check_criterion(
    criterion: Criterion,
    output: Any,
    target: Any,
    formula: Callable[[Any, Any], float] | None = None,
    is_differentiable: bool = True,
    step: float = 1e-6,
    tolerance: float = 1e-6,
) -> None:
    """Check a criterion: the slow formula, central differences, arguments left as they are, the same result twice.

    Raises:
        AssertionError: a promise is broken.
    """
    x, t = as_activity(output, np.float32), as_activity(target, np.float32)
    before = map_leaves(np.copy, [x, t])
    loss, gradient = criterion.apply(x, t)
    grad = gradient()
    assert isinstance(loss, float), f"the loss is a {type(loss).__name__}, expected float"
    assert np.isfinite(loss), f"the loss is {loss}"
    assert describe(grad) == describe(x), f"gradient has shape {describe(grad)}, expected {describe(x)}"
    assert all(leaf.dtype == np.float32 for leaf in leaves(grad)), "the gradient is not float32"
    _assert_close([x, t], before, "the arguments were changed", 0.0)
    assert criterion.forward(output, target) == loss, "a second forward pass gives another loss"
    _assert_close(criterion.backward(output, target), grad, "backward differs from apply", 0.0)
    if formula is not None:
        expected = formula(output, target)
        assert abs(loss - expected) <= 1e-4 * max(1.0, abs(expected)), f"got loss {loss}, the formula gives {expected}"
    if is_differentiable:
        case = LayerCase(Module, x, step=step, tolerance=tolerance)
        double, double_t = as_activity(x, np.float64), as_activity(t, np.float64)
        with kernels.using("reference"):
            expected_grad = criterion.backward(double, double_t)
            assert all(leaf.dtype == np.float64 for leaf in leaves(expected_grad)), (
                "the gradient of float64 is not float64"
            )
            for seed in range(_DIRECTIONS):
                direction = _direction(double, seed)
                ends = (criterion.forward(add(double, _scaled(direction, sign * step)), double_t) for sign in (1, -1))
                slope, size = _dot(expected_grad, direction), _size(expected_grad, direction)
                _assert_slope(case, ends, slope, size, "output")
        _assert_close(grad, expected_grad, "the gradient in float32", 1e-4)


def check_optim_method(make: Callable[[], OptimMethod], steps: int = 200, factor: float = 0.5) -> None:
    """Check a method: it makes a quadratic bowl's value fall to `factor`, goes on exactly from its saved state, and
    refuses arrays of different shapes.

    Raises:
        AssertionError: a promise is broken.
    """
    centre = np.linspace(-1, 1, 7, dtype=np.float32)

    def run(method: OptimMethod, weights: Array, count: int) -> Array:
        def evaluate() -> tuple[float, Array]:
            return float(np.square(weights - centre).sum() / 2), weights - centre

        for _ in range(count):
            loss, grads = evaluate()
            method.update(weights, grads, evaluation=Evaluation(loss, evaluate))
        return weights

    start = np.full(7, 2.0, np.float32)
    first = make()
    middle = run(first, start.copy(), steps // 2)
    second = make()
    second.restore(pickle.loads(pickle.dumps(first.state())), {n: a.copy() for n, a in first.slots.items()})
    ends = [run(method, middle.copy(), steps - steps // 2) for method in (first, second)]
    assert np.array_equal(ends[0], ends[1]), "a restored method goes on differently"
    before, after = (float(np.square(weights - centre).sum()) for weights in (start, ends[0]))
    assert after <= factor * before, f"the value went from {before:.4g} to {after:.4g}, expected at most {factor} of it"
    _assert_refused(make())


def _assert_refused(method: OptimMethod) -> None:
    try:
        method.update(np.zeros(3, np.float32), np.zeros(4, np.float32))
    except ValueError:
        return
    raise AssertionError("weights and gradients of different shapes were accepted")
