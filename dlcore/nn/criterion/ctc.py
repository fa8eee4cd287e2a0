"""Connectionist temporal classification (Graves et al. 2006): labels in order, without their times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array, describe
from dlcore.nn.criterion.criterion import Criterion, Gradient

_ROUNDING = 1e-3
"""How far above 0 a log-probability may be."""
_Doubles = NDArray[np.float64]
_Places = NDArray[np.intp]


@dataclass(eq=False)
class CTCCriterion(Criterion):
    """Mean over samples of -log of the probability of the labels, summed over all alignments with the steps.

    An alignment gives each step a class. Equal classes in a row count once; then blanks are left out.
    output: (N, T, C) log-probabilities, or (T, C); target: (N, L) 1-based labels, -1 behind the last one; or a table of
    these and the number of steps (N,) of each sample, which is T unless given. `blank` is a 1-based class too.
    The loss is computed in float64 whatever the output's type. A sample whose labels have the probability 0 costs
    infinity, and has no gradient.
    Source: Graves et al. 2006.

    Raises:
        ValueError: scores that are no log-probabilities, an invalid label, more steps than there are, or too few for
            the labels, which need one step each and one between equal ones.
    """

    blank: int = 1
    size_average: bool = True

    def apply(self, output: Array, target: Any) -> tuple[float, Gradient]:
        logs, labels, steps = self._checked(output, target)
        counts = (labels > 0).sum(axis=1)
        states, may_skip = _states(labels - 1, self.blank - 1)
        self._check_steps(may_skip, counts, steps, logs.shape[1])
        said = np.take_along_axis(logs, np.broadcast_to(states[:, None], (*logs.shape[:2], states.shape[1])), axis=2)
        until = _forwards(said, may_skip, counts)
        samples = np.arange(len(logs))
        ends = until[samples, steps - 1]
        final = np.logaddexp(
            ends[samples, 2 * counts], np.where(counts > 0, ends[samples, np.maximum(2 * counts - 1, 0)], -np.inf)
        )
        share = 1.0 / max(len(logs), 1) if self.size_average else 1.0

        def gradient() -> Array:
            whole = np.where(np.isneginf(final), 0.0, final)[:, None, None]
            chances = np.exp(until + _backwards(said, may_skip, counts, steps) - whole)
            back = np.zeros(logs.shape)
            place = samples[:, None, None], np.arange(logs.shape[1])[None, :, None], states[:, None]
            np.add.at(back, place, -share * chances)
            return back.reshape(output.shape).astype(output.dtype)

        return float(-final.sum() * share), gradient

    def _checked(self, output: Array, target: Any) -> tuple[_Doubles, _Places, _Places]:
        """Log-probabilities (N, T, C), labels (N, L), numbers of steps (N,)."""
        logs = (output[None] if output.ndim == 2 else output).astype(np.float64)
        parts = target if isinstance(target, list) else [target]
        labels = np.atleast_2d(parts[0]).astype(np.intp)
        steps = parts[1].reshape(-1).astype(np.intp) if len(parts) > 1 else np.full(len(logs), logs.shape[1])
        if logs.ndim != 3 or len(parts) > 2 or len(labels) != len(logs) or len(steps) != len(logs):
            raise ValueError(
                f"{self.label()}: got output {describe(output)} and target {describe(target)}, expected (N, T, C) and "
                f"labels "
                "(N, L), or a table of labels and numbers of steps (N,)"
            )
        if logs.max(initial=0.0) > _ROUNDING:
            raise ValueError(
                f"{self.label()}: got an output of {logs.max():g}, expected log-probabilities, none above 0; put "
                f"LogSoftMax before it"
            )
        if not 1 <= self.blank <= logs.shape[2]:
            raise ValueError(f"{self.label()}: got blank={self.blank}, expected a class, 1 to {logs.shape[2]}")
        counted = labels != -1
        wrong = counted & ((labels < 1) | (labels > logs.shape[2]) | (labels == self.blank))
        if wrong.any():
            raise ValueError(
                f"{self.label()}: got label {labels[wrong][0]}, expected 1 to {logs.shape[2]} without the blank, "
                f"{self.blank}"
            )
        if (counted[:, 1:] & ~counted[:, :-1]).any():
            raise ValueError(f"{self.label()}: got a label behind -1, expected -1 behind the last label only")
        return logs, labels, steps

    def _check_steps(self, may_skip: NDArray[np.bool_], counts: _Places, steps: _Places, longest: int) -> None:
        odd = np.arange(1, may_skip.shape[1], 2)
        equal = (~may_skip[:, odd] & (odd > 1) & (odd < 2 * counts[:, None])).sum(axis=1)
        needed = np.maximum(counts + equal, 1)
        if bad := np.flatnonzero((steps < needed) | (steps > longest)).tolist():
            raise ValueError(
                f"{self.label()}: got {steps[bad[0]]} steps for the {counts[bad[0]]} labels of sample {bad[0]}, "
                f"expected at least "
                f"{needed[bad[0]]}, one for each label and one between equal ones, and at most {longest}"
            )


def _states(labels: _Places, blank: int) -> tuple[_Places, NDArray[np.bool_]]:
    """(N, 2 L + 1) the 0-based classes that a way goes through, blanks around the labels, and which of them may be
    reached from two states before: labels unlike the one before."""
    states = np.full((len(labels), 2 * labels.shape[1] + 1), blank)
    states[:, 1::2] = np.where(labels >= 0, labels, blank)
    may_skip = np.zeros(states.shape, bool)
    may_skip[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return states, may_skip


def _moved(chances: _Doubles, by: int) -> _Doubles:
    """What comes from `by` states before; from behind if it is negative."""
    moved = np.full_like(chances, -np.inf)
    if by > 0:
        moved[:, by:] = chances[:, :-by]
    else:
        moved[:, :by] = chances[:, -by:]
    return moved


def _forwards(said: _Doubles, may_skip: NDArray[np.bool_], counts: _Places) -> _Doubles:
    """(N, T, S) log of the probability of all ways up to a step that end in a state; `said` are the steps' own."""
    until = np.full(said.shape, -np.inf)
    until[:, 0, 0] = said[:, 0, 0]
    if said.shape[2] > 1:
        until[:, 0, 1] = np.where(counts > 0, said[:, 0, 1], -np.inf)
    for t in range(1, said.shape[1]):
        before = until[:, t - 1]
        stayed = np.logaddexp(before, _moved(before, 1))
        until[:, t] = np.logaddexp(stayed, np.where(may_skip, _moved(before, 2), -np.inf)) + said[:, t]
    return until


def _backwards(said: _Doubles, may_skip: NDArray[np.bool_], counts: _Places, steps: _Places) -> _Doubles:
    """(N, T, S) log of the probability of all ways from a state on, after a step, to the end of the labels."""
    place = np.arange(said.shape[2])
    last = (place == 2 * counts[:, None]) | (place == 2 * counts[:, None] - 1)
    after = np.full(said.shape, -np.inf)
    for t in range(said.shape[1] - 1, -1, -1):
        if t + 1 < said.shape[1]:
            coming = after[:, t + 1] + said[:, t + 1]
            stayed = np.logaddexp(coming, _moved(coming, -1))
            after[:, t] = np.logaddexp(stayed, _moved(np.where(may_skip, coming, -np.inf), -2))
        after[:, t] = np.where((steps == t + 1)[:, None], np.where(last, 0.0, -np.inf), after[:, t])
    return after
