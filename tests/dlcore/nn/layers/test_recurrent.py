"""Layers of the family recurrent: a row per layer and variant, and what they keep from one pass to the next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcore.activity import leaves
from dlcore.inference import compile
from dlcore.interop.native import load_module
from dlcore.nn.layer import (
    GRU,
    LSTM,
    BiRecurrent,
    CMaxTable,
    HardSigmoid,
    JoinTable,
    Linear,
    LSTMPeephole,
    MultiRNNCell,
    Recurrent,
    RecurrentDecoder,
    ReLU,
    RnnCell,
    Select,
    Sequential,
    Tanh,
    TimeDistributed,
)
from dlcore.nn.regularizer import L2Regularizer
from dlcore.rng import RNG
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal

ONNX = np.load(Path(__file__).parents[3] / "golden/onnx_recurrent/recorded.npz")
x, start = normal(2, 5, 4), normal(2, 3)


def steps(cell, inputs, states):
    """The outputs and the last states of a cell called step by step, which its own table checks."""
    outputs = []
    for given in np.moveaxis(inputs, 1, 0):
        y, states = cell.forward([given, states])
        outputs.append(y)
    return np.stack(outputs, axis=1), states


def zeros(cell, n=2):
    return cell.initial_states((n, 0), np.float32)


def forwards(module, inputs):
    return steps(module.cell.clone().evaluate(), inputs, zeros(module.cell))[0]


def both_ways(module, inputs):
    first, second = (cell.clone().evaluate() for cell in module.modules)
    backwards = steps(second, inputs[:, ::-1], zeros(second))[0][:, ::-1]
    return np.concatenate([steps(first, inputs, zeros(first))[0], backwards], axis=2)


def fed_back(module, given):
    cell, states, outputs = module.cell.clone().evaluate(), zeros(module.cell), []
    for _ in range(module.output_length):
        given, states = cell.forward([given, states])
        outputs.append(given)
    return np.stack(outputs, axis=1)


CASES = {
    "Recurrent": LayerCase(lambda: Recurrent().add(RnnCell(4, 3, Tanh())), x, forwards),
    "Recurrent-LSTM": LayerCase(lambda: Recurrent().add(LSTM(4, 3)), x, forwards),
    "Recurrent-dropout": LayerCase(lambda: Recurrent().add(LSTM(4, 3, 0.3)), x),
    "Recurrent-LSTMPeephole": LayerCase(lambda: Recurrent().add(LSTMPeephole(4, 3)), x, forwards),
    "Recurrent-GRU": LayerCase(lambda: Recurrent().add(GRU(4, 3)), x, forwards),
    "Recurrent-MultiRNNCell": LayerCase(
        lambda: Recurrent().add(MultiRNNCell([LSTM(4, 3, 0.3), GRU(3, 2), LSTM(2, 3)])), x
    ),
    "Recurrent-one-step": LayerCase(lambda: Recurrent().add(GRU(4, 3)), x[:, :1], forwards),
    "RecurrentDecoder": LayerCase(lambda: RecurrentDecoder(4).add(LSTM(3, 3)), start, fed_back),
    "RecurrentDecoder-MultiRNNCell": LayerCase(
        lambda: RecurrentDecoder(3).add(MultiRNNCell([GRU(3, 4, 0.3), LSTM(4, 3)])), start
    ),
    "BiRecurrent": LayerCase(lambda: BiRecurrent().add(GRU(4, 3)), x),
    "BiRecurrent-JoinTable": LayerCase(lambda: BiRecurrent(JoinTable(2, 2)).add(LSTM(4, 3)), x, both_ways),
    "BiRecurrent-CMaxTable": LayerCase(lambda: BiRecurrent(CMaxTable()).add(LSTM(4, 3, 0.3)), x),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


CELLS = {"LSTM": lambda: LSTM(4, 3), "MultiRNNCell": lambda: MultiRNNCell([GRU(4, 2), LSTM(2, 3)])}


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_in_two_halves_is_the_sequence(name):
    model = Recurrent().add(CELLS[name]())
    whole, last = model.forward(x), list(leaves(model.get_hidden_state()))
    first = model.forward(x[:, :2])
    second = model.set_hidden_state(model.get_hidden_state()).forward(x[:, 2:])
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-6)
    for got, expected in zip(leaves(model.get_hidden_state()), last, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(model.reset_states().forward(x), whole)


def test_dropout_is_the_same_at_all_steps_and_another_in_the_next_pass():
    """Of an LSTM that forgets at once and does not see its output, the same input makes the same output if the same is
    dropped."""
    model = Recurrent().add(LSTM(6, 4, 0.5))
    weight, bias, recurrent = model.get_weights()
    bias[8:12] = -100
    model.set_weights([weight, bias, np.zeros_like(recurrent)])
    ones = np.ones((3, 5, 6), np.float32)
    RNG.set_seed(4)
    y, then = model.forward(ones), model.forward(ones)
    np.testing.assert_allclose(y, y[:, :1].repeat(5, axis=1), atol=1e-6)
    assert not np.allclose(y[0], y[1], atol=1e-3)
    assert not np.allclose(y, then, atol=1e-3)


@pytest.mark.parametrize("kind", [LSTM, GRU, LSTMPeephole])
def test_penalties_count_once_a_pass(kind):
    penalties = {
        f"{part}Regularizer": L2Regularizer(factor) for part, factor in zip("wub", (0.5, 0.25, 2), strict=True)
    }
    model = Recurrent().add(kind(4, 3, **penalties))
    model.forward(x)
    model.backward(x, np.zeros((2, 5, 3)))
    for path, parameter in model.named_parameters().items():
        if parameter.regularizer is not None:
            factor = 2 if path.endswith("bias") else 0.5 if "input.weight" in path else 0.25
            np.testing.assert_allclose(parameter.grad, factor * parameter.value, rtol=1e-6)
    counted = sum(parameter.regularizer is not None for parameter in model.named_parameters().values())
    assert counted == {LSTM: 3, GRU: 4, LSTMPeephole: 6}[kind]


def of_onnx(cell, case, way):
    """The cell with the weights of ONNX's operator, whose gates lie in another order and which has two biases."""
    recorded, order = {name: ONNX[f"{case}/{name}"] for name in "WRB"}, {"lstm": (0, 3, 2, 1), "gru": (1, 0, 2)}
    gates = list(order["gru" if isinstance(cell, GRU) else "lstm"])

    def ordered(rows):
        parts = np.split(rows, len(gates))
        return np.concatenate([parts[gate] for gate in gates])

    of_input, of_output = np.split(recorded["B"][way], 2)
    recurrent = ordered(recorded["R"][way])
    parts = [recurrent[:8], recurrent[8:]] if isinstance(cell, GRU) else [recurrent]
    cell.set_weights([ordered(recorded["W"][way]), ordered(of_input + of_output), *parts])
    return cell


@pytest.mark.parametrize(("case", "kind"), [("lstm", LSTM), ("gru", GRU)])
def test_what_onnx_runtime_gives(case, kind):
    states = [ONNX[f"{case}/{name}"][0] for name in ("initial_h", "initial_c") if f"{case}/{name}" in ONNX]
    model = Recurrent().add(of_onnx(kind(5, 4), case, 0)).set_hidden_state(states)
    y = model.forward(ONNX[f"{case}/X"].swapaxes(0, 1))
    np.testing.assert_allclose(y.swapaxes(0, 1), ONNX[f"{case}/Y"][:, 0], atol=2e-6)
    for name, state in zip(("Y_h", "Y_c"), model.get_hidden_state(), strict=False):
        np.testing.assert_allclose(state, ONNX[f"{case}/{name}"][0], atol=2e-6)


def test_what_onnx_runtime_gives_both_ways():
    cells = [of_onnx(LSTM(5, 4), "both_ways", way) for way in (0, 1)]
    y = BiRecurrent(JoinTable(2, 2)).add(cells[0]).add(cells[1]).forward(ONNX["both_ways/X"].swapaxes(0, 1))
    for way in (0, 1):
        expected = ONNX["both_ways/Y"][:, way].swapaxes(0, 1)
        np.testing.assert_allclose(y[:, :, 4 * way : 4 * way + 4], expected, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_plan_gives_what_the_layer_gives(name):
    model = CASES[name].make().evaluate()
    given = CASES[name].x
    plan = compile(model, given.shape)
    for inputs in (given, given[::-1] / 2):
        np.testing.assert_allclose(plan(inputs), model.forward(inputs), atol=1e-5)


def test_a_model_of_sequences_of_any_length():
    model = (
        Sequential().add(BiRecurrent(JoinTable(2, 2)).add(LSTM(4, 3).set_name("cell"))).add(Recurrent().add(GRU(6, 2)))
    )
    model.add(TimeDistributed(Linear(2, 5))).add(Select(2, -1))
    assert model.output_shape((None, None, 4)) == (None, 5)
    assert {"0.cell.input.weight", "0.cell_backward.input.weight"} <= model.named_parameters().keys()


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_activations_may_be_named(kind, tmp_path):
    RNG.set_seed(1)
    named = Recurrent().add(kind(4, 3, activation="ReLU", inner_activation="hard_sigmoid"))
    RNG.set_seed(1)
    given = Recurrent().add(kind(4, 3, activation=ReLU(), inner_activation=HardSigmoid()))
    np.testing.assert_array_equal(named.forward(x), given.forward(x))
    named.save(tmp_path / "model")
    np.testing.assert_array_equal(load_module(tmp_path / "model").forward(x), given.forward(x))


@pytest.mark.parametrize(
    ("make", "given", "error", "message"),
    [
        (lambda: Recurrent().add(Linear(4, 3)), x, TypeError, "got Linear, expected a recurrent cell"),
        (lambda: BiRecurrent().add(Linear(4, 3)), x, TypeError, "got Linear, expected a recurrent cell"),
        (lambda: MultiRNNCell([Linear(4, 3)]), x, TypeError, "got Linear, expected a recurrent cell"),
        (lambda: MultiRNNCell(LSTM(4, 3)), x, TypeError, "got LSTM, expected a list of cells"),
        (lambda: MultiRNNCell([]), x, ValueError, "got no cells"),
        (lambda: Recurrent().add(GRU(4, 3)).add(GRU(3, 3)), x, ValueError, "got a second cell"),
        (lambda: LSTM(4, 3, 1.0), x, ValueError, "got probability 1.0"),
        (
            lambda: LSTM(4, 3, activation="fast"),
            x,
            ValueError,
            "got activation 'fast', expected a layer or one of hard_sigmoid",
        ),
        (lambda: RnnCell(4, 3, Tanh), x, TypeError, r"expected a layer, such as Tanh\(\), or a name"),
        (Recurrent, x, ValueError, "got no cell"),
        (BiRecurrent, x, ValueError, "0 cells"),
        (lambda: Recurrent().add(GRU(4, 3)), x[0], ValueError, "expected sequences"),
        (lambda: Recurrent().add(GRU(5, 3)), x, ValueError, r"got steps of shape \(2, 4\), expected \(N, 5\)"),
        (lambda: RecurrentDecoder(0), start, ValueError, "got output_length 0, expected at least one step"),
        (lambda: RecurrentDecoder(2).add(GRU(3, 4)), start, ValueError, "output is the next input"),
        (lambda: Recurrent().add(GRU(4, 3)).set_hidden_state([start[:1]]), x, ValueError, r"got states \[\(1, 3\)\]"),
        (lambda: Recurrent().add(GRU(4, 3)).get_hidden_state(), x, RuntimeError, "got no pass yet"),
    ],
)
def test_what_is_refused(make, given, error, message):
    with pytest.raises(error, match=message):
        make().forward(given)
