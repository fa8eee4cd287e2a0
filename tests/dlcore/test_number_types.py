"""Types of numbers: what stays, what becomes float32, and that float64 goes through forward, backward and training."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy import signal

from dlcore import kernels
from dlcore.activity import as_activity, leaves
from dlcore.inference import compile
from dlcore.interop.native import load_module
from dlcore.nn import criterion, layer
from dlcore.nn.criterion import ClassNLLCriterion, MSECriterion, NTXentCriterion
from dlcore.nn.init import skipped
from dlcore.nn.layer import (
    BatchNormalization,
    GaussianNoise,
    Graph,
    Highway,
    Input,
    Linear,
    LookupTable,
    Narrow,
    ReLU,
    Sequential,
    SpatialConvolution,
    Tanh,
)
from dlcore.nn.weights import cast
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.metric import MeanTally, ValidationMethod
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG

DRAWS = np.random.default_rng(6)
X, Y = DRAWS.standard_normal((12, 3)), DRAWS.standard_normal((12, 2))


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int64"])
def test_these_types_stay(kind):
    array = np.ones(3, kind)
    assert as_activity(array) is array
    assert [leaf.dtype for leaf in leaves(as_activity((array, [array])))] == [kind, kind]
    assert as_activity(array, np.float32).dtype == np.float32


@pytest.mark.parametrize("x", [np.ones(3, np.uint8), np.ones(3, np.float16), np.ones(3, bool), [1, 2.5], 3, [1, 2]])
def test_these_become_float32(x):
    assert as_activity(x).dtype == np.float32


def test_a_table_finds_places_that_float32_does_not_know():
    with skipped():
        table = LookupTable(2**24 + 2, 1)
    table.weight.value[2**24] = 7
    assert table.forward(np.array([2**24 + 1])).item() == 7


def test_floats_take_the_type_of_the_weights():
    layer = Linear(3, 2)
    assert layer.forward(X).dtype == np.float32
    assert layer.backward(X, Y).dtype == np.float32
    cast(layer, np.float64)
    with kernels.using("reference"):
        y = layer.forward(X)
        grad_x = layer.backward(X, Y)
    weight, bias = (parameter.value for parameter in layer.named_parameters().values())
    np.testing.assert_allclose(y, X @ weight.T + bias, rtol=1e-14)
    np.testing.assert_allclose(grad_x, Y @ weight, rtol=1e-14)
    np.testing.assert_allclose(layer.weight.grad, Y.T @ X, rtol=1e-13)


def test_without_weights_floats_stay():
    np.testing.assert_array_equal(Tanh().forward(X), np.tanh(X))
    noise = GaussianNoise(0.5)
    RNG.set_seed(3)
    single = noise.forward(X.astype(np.float32)) - X.astype(np.float32)
    RNG.set_seed(3)
    np.testing.assert_allclose(noise.forward(X) - X, single, atol=1e-6)
    assert noise.forward(X).dtype == np.float64


def test_whole_numbers_have_gradients_that_are_not_whole():
    layer = Narrow(2, 1, 2)
    layer.forward(np.arange(12).reshape(4, 3))
    grad_x = layer.backward(np.arange(12).reshape(4, 3), np.full((4, 2), 0.25))
    np.testing.assert_array_equal(grad_x, np.tile([0.25, 0.25, 0], (4, 1)))


def test_a_criterion_computes_in_the_type_of_the_output():
    for kind in (np.float32, np.float64):
        assert MSECriterion().backward(X.astype(kind), 2 * X).dtype == kind
        assert ClassNLLCriterion().backward(X.astype(kind), np.array([1, 2, 3] * 4)).dtype == kind
    assert MSECriterion().backward(np.arange(3), np.arange(3)).dtype == np.float32


def test_random_numbers_are_of_one_stream_in_both_types():
    for draw in (RNG.uniform, RNG.normal):
        RNG.set_seed(5)
        single = draw(0.0, 2.0, (4, 3))
        RNG.set_seed(5)
        double = draw(0.0, 2.0, (4, 3), np.float64)
        assert (single.dtype, double.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal(double.astype(np.float32), single)


@pytest.mark.parametrize("workers", [1, 2])
def test_training_in_float64(workers):
    """Adam on one linear layer, by its formula in float64."""
    RNG.set_seed(7)
    model, method = Linear(3, 2, bigdl_type="double"), Adam(0.05)
    w, b = (parameter.value.copy() for parameter in model.named_parameters().values())
    Optimizer(model, (X, Y), MSECriterion(), MaxIteration(5), 12, method, workers=workers, is_quiet=True).optimize()
    first, second = np.zeros(8), np.zeros(8)
    for step in range(1, 6):
        gap = (X @ w.T + b - Y) * 2 / Y.size
        grad = np.concatenate([(gap.T @ X).reshape(-1), gap.sum(axis=0)])
        first, second = 0.9 * first + 0.1 * grad, 0.999 * second + 0.001 * grad**2
        rate = 0.05 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        change = rate * first / (np.sqrt(second) + 1e-8)
        w, b = w - change[:6].reshape(2, 3), b - change[6:]
    assert {value.dtype for value in method.slots.values()} == {np.dtype(np.float64)}
    np.testing.assert_allclose(model.weight.value, w, rtol=1e-12)
    np.testing.assert_allclose(model.bias.value, b, rtol=1e-12)


class FloatShare(ValidationMethod):
    """The share of batches whose outputs and targets are float32."""

    def __call__(self, output, target):
        return MeanTally(float(output.dtype == target.dtype == np.float32), 1, self.name())


def test_pictures_stay_bytes_until_their_batch_is_made():
    RNG.set_seed(1)
    pictures, labels = DRAWS.integers(0, 256, (8, 3), np.uint8), np.array([1, 2] * 4, np.uint8)
    results = []
    for data in ((pictures, labels), (pictures.astype(np.float32), labels.astype(np.float32))):
        RNG.set_seed(1)
        model = Sequential().add(Linear(3, 2)).add(Tanh())
        optimizer = Optimizer(model, data, ClassNLLCriterion(), MaxIteration(3), 4, is_quiet=True)
        optimizer.set_validation(4, data, MaxIteration(3), [FloatShare()])
        assert optimizer.source.inputs is data[0]
        results.append(optimizer.optimize().get_weights())
        assert optimizer.state.score == 1.0
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", [np.int64, np.uint32])
def test_whole_numbers_are_never_rounded(kind):
    numbers = np.array([1 << 24, (1 << 24) + 1] * 2, kind)
    codes = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    for call in (lambda: NTXentCriterion().forward(codes, numbers), lambda: as_activity(numbers, np.float32)):
        with pytest.raises(ValueError, match="got integers from 16777216 to 16777217, expected at most 16777216"):
            call()
    assert as_activity(numbers[:1], np.float32)[0] == 1 << 24
    with pytest.raises(ValueError, match="from 1 to 16777217"):
        as_activity([1, (1 << 24) + 1])


NAMES = [(home, name) for home in (layer, criterion) for name in home.__all__ if name not in ("Module", "Node")]


def test_the_last_argument_is_bigdl_type():
    for home, name in NAMES:
        last = list(inspect.signature(getattr(home, name)).parameters.values())[-1]
        assert (last.name, last.default) == ("bigdl_type", "float"), name


def test_double_computes_in_float64_on_any_kernels():
    """Against SciPy's correlation, to more digits than float32 has."""
    image = DRAWS.standard_normal((1, 1, 5, 6))
    layer = SpatialConvolution(1, 1, 3, 3, bigdl_type="double")
    expected = signal.correlate(image[0, 0], layer.weight.value[0, 0], mode="valid") + layer.bias.value
    np.testing.assert_allclose(layer.forward(image)[0, 0], expected, rtol=1e-12)
    assert layer.backward(image, np.ones((1, 1, 3, 4))).dtype == np.float64
    assert layer.weight.grad.dtype == np.float64
    assert MSECriterion(bigdl_type="double").backward(np.float32([[0.1]]), np.float32([[0]])).dtype == np.float64


def test_double_draws_the_numbers_of_float_with_more_digits():
    layers = []
    for kind in ("float", "double"):
        RNG.set_seed(4)
        layers.append(Linear(6, 4, bigdl_type=kind))
    np.testing.assert_array_equal(layers[1].weight.value.astype(np.float32), layers[0].weight.value)
    assert (layers[1].weight.value != layers[0].weight.value).any()
    given = Linear(1, 1, init_weight=np.array([[0.1]]), bigdl_type="double")
    assert given.weight.value.item() == 0.1


def test_what_a_layer_makes_inside_is_of_its_type():
    layer = Highway(3, bigdl_type="double")
    assert {parameter.value.dtype for parameter in layer.named_parameters().values()} == {np.dtype(np.float64)}
    assert {part.bigdl_type for _, part in layer.named_modules()} == {"double"}
    assert Linear(3, 3).weight.value.dtype == np.float32


def test_layers_of_both_types_in_one_model():
    model = Sequential().add(Linear(3, 4)).add(Linear(4, 2, bigdl_type="double")).add(Tanh())
    y = model.forward(X)
    grad_x = model.backward(X, Y)
    assert (y.dtype, grad_x.shape) == (np.float64, X.shape)
    assert [parameter.grad.dtype for parameter in model.named_parameters().values()] == ["f4", "f4", "f8", "f8"]
    first, second = model.modules[:2]
    hidden = X.astype(np.float32).astype(np.float64) @ first.weight.value.T + first.bias.value
    np.testing.assert_allclose(y, np.tanh(hidden @ second.weight.value.T + second.bias.value), atol=1e-6)


def test_double_is_saved(tmp_path):
    inputs = Input(bigdl_type="double")
    model = Graph([inputs], [BatchNormalization(3, bigdl_type="double")(inputs)], bigdl_type="double")
    model.forward(X)
    loaded = load_module(model.save(tmp_path / "model"))
    assert [part.bigdl_type for _, part in loaded.named_modules()] == ["double"] * 3
    np.testing.assert_array_equal(loaded.evaluate().forward(X), model.evaluate().forward(X))
    assert loaded.forward(X).dtype == np.float64
    loaded.reset()
    assert loaded.nodes[1].module.weight.value.dtype == np.float64


def test_other_types_are_refused():
    for make in (
        lambda: ReLU(bigdl_type="int"),
        lambda: Linear(3, 2, bigdl_type="float64"),
        lambda: MSECriterion(bigdl_type="half"),
    ):
        with pytest.raises(ValueError, match="expected 'float' or 'double'"):
            make()
    with pytest.raises(ValueError, match="got Tanh at '1' of double, expected float"):
        compile(Sequential().add(Linear(3, 2)).add(Tanh(bigdl_type="double")), (1, 3))
