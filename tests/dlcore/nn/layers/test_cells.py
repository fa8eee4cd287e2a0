"""Layers of the family cells: a row per layer and variant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from dlcore.nn.layer import GRU, LSTM, Cell, HardSigmoid, LSTMPeephole, MultiRNNCell, RnnCell, Sigmoid, SoftSign
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal

x, h, c = normal(2, 4), normal(2, 3, seed=6), normal(2, 3, seed=7)


@dataclass(eq=False, kw_only=True)
class Leak(Cell, namespace="tests"):
    """A cell of one's own: h' = h / 2 + x."""

    def initial_states(self, shape, kind):
        return [np.zeros(shape, kind)]

    def step(self, share, states, products):
        half = np.float32(0.5)
        return [half * states[0] + share], lambda grads: (grads[0], [half * grads[0]])


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def rnn(cell, given):
    weight, bias, recurrent, offset = (part.astype(np.float64) for part in cell.get_weights())
    step, (before,) = given
    after = sigmoid(step @ weight.T + bias + before @ recurrent.T + offset)
    return [after, [after]]


def lstm(cell, given):
    """Gate by gate and record by record."""
    weight, bias, recurrent = (part.astype(np.float64) for part in cell.get_weights())
    step, (before, memory) = given
    after, kept = np.empty((2, 3)), np.empty((2, 3))
    for n in range(2):
        for k in range(3):
            i, g, f, o = (
                bias[gate * 3 + k] + weight[gate * 3 + k] @ step[n] + recurrent[gate * 3 + k] @ before[n]
                for gate in range(4)
            )
            kept[n, k] = sigmoid(f) * memory[n, k] + sigmoid(i) * np.tanh(g)
            after[n, k] = sigmoid(o) * np.tanh(kept[n, k])
    return [after, [after, kept]]


def gru(cell, given):
    weight, bias, recurrent, candidate = (part.astype(np.float64) for part in cell.get_weights())
    step, (before,) = given
    share = step @ weight.T + bias
    r = sigmoid(share[:, :3] + before @ recurrent[:3].T)
    z = sigmoid(share[:, 3:6] + before @ recurrent[3:].T)
    n = np.tanh(share[:, 6:] + (r * before) @ candidate.T)
    after = (1 - z) * n + z * before
    return [after, [after]]


def peephole(cell, given):
    weight, bias, see_f, of_f, see_i, of_i, of_g, see_o, of_o = (part.astype(np.float64) for part in cell.get_weights())
    step, (before, memory) = given
    i, f, g, o = np.split(step @ weight.T + bias, 4, axis=1)
    i = sigmoid(i + before @ of_i.T + see_i * memory)
    f = sigmoid(f + before @ of_f.T + see_f * memory)
    kept = f * memory + i * np.tanh(g + before @ of_g.T)
    after = sigmoid(o + before @ of_o.T + see_o * kept) * np.tanh(kept)
    return [after, [after, kept]]


def stacked(cell, given):
    step, (first, second) = given
    below = lstm(cell.cells[0], [step, first])
    above = gru(cell.cells[1], [below[0], second])
    return [above[0], [below[1], above[1]]]


CASES = {
    "Cell": LayerCase(Leak, [h, [c]], lambda _, given: [given[0] + given[1][0] / 2, [given[0] + given[1][0] / 2]]),
    "RnnCell": LayerCase(lambda: RnnCell(4, 3, Sigmoid()), [x, [h]], rnn),
    "RnnCell-bare": LayerCase(lambda: RnnCell(4, 3, SoftSign(), False, False), [x, [h]]),
    "LSTM": LayerCase(lambda: LSTM(4, 3), [x, [h, c]], lstm),
    "LSTM-dropout": LayerCase(lambda: LSTM(4, 3, 0.4, SoftSign(), HardSigmoid()), [x, [h, c]]),
    "LSTMPeephole": LayerCase(lambda: LSTMPeephole(4, 3), [x, [h, c]], peephole),
    "LSTMPeephole-dropout": LayerCase(lambda: LSTMPeephole(4, 3, 0.4), [x, [h, c]]),
    "GRU": LayerCase(lambda: GRU(4, 3), [x, [h]], gru),
    "GRU-dropout": LayerCase(lambda: GRU(4, 3, 0.4, SoftSign(), HardSigmoid()), [x, [h]]),
    "MultiRNNCell": LayerCase(lambda: MultiRNNCell([LSTM(4, 3), GRU(3, 3)]), [x, [[h, c], [h]]], stacked),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])
