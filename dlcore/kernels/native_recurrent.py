"""The steps of a long short-term memory by the native kernels, with weights laid out once: for plans.

A step's product has few rows but reads all its weights, so it waits for memory. Here each stretch of weights serves all
sequences while it is in the cache, and the gates are computed while the sums are in registers.
"""

from __future__ import annotations

import ctypes

import numpy as np

from dlcore.activity import Array
from dlcore.kernels.memory import empty
from dlcore.kernels.native_library import instruction_set, is_available, library
from dlcore.kernels.prepared import prepared

GATES = 4


class _Shape(ctypes.Structure):
    """`LstmShape` of recurrence.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("count", "steps", "hidden", "is_reversed", "threads")]


class _Arrays(ctypes.Structure):
    """`LstmArrays` of recurrence.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("shares", "weights", "h", "c", "y", "workspace")]


def has_lstm() -> bool:
    """Whether this machine runs the kernel, which needs x86 with at least AVX2."""
    return is_available() and instruction_set() != "portable"


def by_block(gates: Array) -> Array:
    """(4 H, ...), gate by gate, -> (blocks, 4, lanes, ...), with zeros behind the last of H; a block has a vector of
    each gate."""
    lanes = library().dlcore_lanes()
    hidden = len(gates) // GATES
    blocks = -(-hidden // lanes)
    whole = np.zeros((GATES, blocks * lanes, *gates.shape[1:]), np.float32)
    whole[:, :hidden] = gates.reshape(GATES, hidden, *gates.shape[1:])
    return whole.reshape(GATES, blocks, lanes, *gates.shape[1:]).swapaxes(0, 1)


def _by_column(u: Array) -> Array:
    """(4 H, H) -> (blocks, H, 4, lanes), flat."""
    packed = by_block(u)
    weights = empty((packed.size,))
    weights.reshape(len(packed), u.shape[1], GATES, -1)[...] = packed.transpose(0, 3, 1, 2)
    return weights


class Lstm:
    """All steps of `kernels.lstm` with arrays bound: call it to compute `y` from what is in `shares` and `states`.

    shares (N, T, blocks * 4 * lanes): w x + b with the rows of w and b in the order of `by_block`; u (4 H, H); states:
    h and c (N, H); y (N, T, H); all contiguous. A sequence's result depends neither on `threads` nor on the others.
    """

    def __init__(self, shares: Array, u: Array, states: list[Array], y: Array, is_reversed: bool, threads: int) -> None:
        count, steps, hidden = y.shape
        lanes = library().dlcore_lanes()
        rows = -(-hidden // lanes) * lanes * GATES
        expected = (count, steps, rows)
        arrays = (shares, *states, y)
        if shares.shape != expected or not all(array.flags.c_contiguous for array in arrays):
            raise ValueError(f"lstm: got shares {shares.shape}, expected {expected}, and all arrays contiguous")
        if len(states) != 2 or any(state.shape != (count, hidden) for state in states):
            raise ValueError(f"lstm: got states {[state.shape for state in states]}, expected two of {(count, hidden)}")
        weights = prepared(rows * hidden, lambda: _by_column(u))
        self._shape = _Shape(count, steps, hidden, is_reversed, threads)
        workspace = empty((library().dlcore_lstm_workspace_size(ctypes.addressof(self._shape)),))
        self._kept = (shares, weights, *states, y, workspace)
        self._arrays = _Arrays(*(array.ctypes.data for array in self._kept))
        self._run = library().dlcore_lstm_forward
        self._addresses = ctypes.addressof(self._shape), ctypes.addressof(self._arrays)

    def __call__(self) -> None:
        """Compute y."""
        self._run(*self._addresses)
