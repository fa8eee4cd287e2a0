"""The step of a plan that runs a recurrent cell over all steps of its sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.inference import packed
from dlcore.inference.fuse import uses
from dlcore.inference.steps import Step
from dlcore.kernels import native_recurrent
from dlcore.kernels.memory import empty
from dlcore.nn.layers.cells import Whole

FEW_SEQUENCES, MEMORY_BYTES = 4, 512 << 10
"""The native kernel is the faster one for so few sequences, and for weights that leave a core's cache from one step to
the next."""


def recurrence(
    whole: Whole, arrays: tuple[Array, Array], states: list[Array], holder: Any, is_reversed: bool, threads: int
) -> Step:
    """All steps of x (N, T, I) -> y (N, T, H), by kernels with packed weights, else by the kernel of the seam.

    states: memory for those before the first step, (N, H) each; they are what `holder` begins with, or zeros.
    """
    x = arrays[0]
    run, name = _bound(whole, arrays, states, is_reversed, threads)

    def begin_and_run() -> None:
        first = None if holder is None else holder.first_states
        given = [0] * len(states) if first is None else holder.cell.checked(first, x[:, 0].shape, x.dtype)
        for state, value in zip(states, given, strict=True):
            state[...] = value
        run()

    products = sum(parameter.value.size for parameter in whole.parameters[:-1])
    return Step(begin_and_run, name, 2.0 * x.shape[0] * x.shape[1] * products)


def _bound(
    whole: Whole, arrays: tuple[Array, Array], states: list[Array], is_reversed: bool, threads: int
) -> tuple[Callable[[], None], str]:
    """The call that computes y from x and the states, and the name of its kernel."""
    x, y = arrays
    parameters = [parameter.value for parameter in whole.parameters]
    if not x.size or not uses("onednn"):
        return _by_the_seam(
            whole.kind, arrays, [each.copy() for each in parameters], states, is_reversed
        ), kernels.active()
    is_waiting = len(x) <= FEW_SEQUENCES or parameters[1].nbytes > MEMORY_BYTES
    if whole.kind == "lstm" and is_waiting and uses("native") and native_recurrent.has_lstm():
        return _native_lstm(x, y, parameters, states, is_reversed, threads), "native lstm"
    run, code = packed.recurrence(whole.kind, arrays, parameters, states, is_reversed)
    return run, f"onednn {code}"


def _by_the_seam(
    kind: str, arrays: tuple[Array, Array], parameters: list[Array], states: list[Array], is_reversed: bool
) -> Callable[[], None]:
    x, y = arrays
    order = slice(None, None, -1 if is_reversed else 1)

    def run() -> None:
        found = getattr(kernels, kind)(x.swapaxes(0, 1)[order], *parameters, *states)[0]
        y[...] = found[order].swapaxes(0, 1)

    return run


def _native_lstm(
    x: Array, y: Array, parameters: list[Array], states: list[Array], is_reversed: bool, threads: int
) -> Callable[[], None]:
    """The input's share in all steps by one product, then the steps."""
    w, u, b = parameters
    rows = np.ascontiguousarray(native_recurrent.by_block(w)).reshape(-1, w.shape[1])
    bias = np.ascontiguousarray(native_recurrent.by_block(b)).reshape(-1)
    shares = empty((*x.shape[:2], len(bias)))
    flat = x.reshape(-1, x.shape[2]), rows, bias, shares.reshape(-1, len(bias))
    share, _ = packed.product(flat, (False, np.inf))
    advance = native_recurrent.Lstm(shares, u, states, y, is_reversed, threads)

    def run() -> None:
        share()
        advance()

    return run
