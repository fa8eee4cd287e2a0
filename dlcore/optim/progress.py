"""Show the progress of training: a bar on a terminal, elsewhere a line for each epoch, and the scores of each
validation."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dlcore.optim.crew import StepResult
from dlcore.optim.trigger import TrainingState

logger = logging.getLogger(__name__)
_SAID_EVERY_S = 10.0


class ProgressDisplay:
    """Shows steps, loss, rate and throughput on stderr, or in the log where that takes INFO.

    planned: the number of steps in all, None when unknown. per_epoch: the records of an epoch, None where there are no
    epochs; then a line comes every ten seconds, as it does in long epochs. is_quiet: nothing but the log.
    """

    def __init__(self, planned: int | None, done: int, is_quiet: bool, per_epoch: int | None = None) -> None:
        self._is_shown = sys.stderr.isatty() and not is_quiet
        self._is_quiet, self._per_epoch = is_quiet, per_epoch
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._is_shown,
        )
        self._task = self._progress.add_task("training", total=planned, completed=done, text="")
        self._began = self._said = monotonic()
        self._smooth = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, state: TrainingState, result: StepResult, seconds: float) -> None:
        """Show one step; the bar has the rate of the first of several methods."""
        rate = next(iter(result.rates.values()), 0.0)
        throughput = result.records / max(seconds, 1e-9)
        self._smooth = throughput if self._smooth == 0.0 else 0.9 * self._smooth + 0.1 * throughput
        text = f"loss {state.loss:.4f}  rate {rate:.2e}  {self._smooth:.0f} records/s"
        self._progress.update(self._task, completed=state.iteration, text=text)
        is_due = state.is_epoch_end or monotonic() - self._said >= _SAID_EVERY_S
        line = step_line(state, result, seconds, monotonic() - self._began, self._per_epoch)
        if is_due and not self._is_shown:
            self._said = monotonic()
            self._say(line)
        else:
            logger.debug("%s", line)

    def tell_scores(self, state: TrainingState, scores: Mapping[str, float]) -> None:
        """Show what a validation gave."""
        found = ", ".join(f"{name} is {value:.6g}" for name, value in scores.items())
        self._say(f"[Epoch {_epoch(state)}][Iteration {state.iteration}] {found}.")

    def _say(self, line: str) -> None:
        """To the log where somebody has set it to take such lines, else to stderr, on a terminal above the bar."""
        if self._is_quiet or (logger.isEnabledFor(logging.INFO) and not self._is_shown):
            logger.info("%s", line)
        elif self._is_shown:
            self._console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)


def _epoch(state: TrainingState) -> int:
    """The epoch of the latest step; the state has the epoch of the coming step."""
    return state.epoch - 1 if state.is_epoch_end else state.epoch


def step_line(state: TrainingState, result: StepResult, seconds: float, wall_s: float, per_epoch: int | None) -> str:
    """A step in BigDL's words: `[Epoch 1 60/60][Iteration 5][Wall Clock 0.312s] Trained 12 records in 0.003 seconds.
    ...`

    per_epoch: the records of an epoch; without epochs the records of all steps stand in place of n/N.
    """
    place = str(state.records)
    if per_epoch:
        done = per_epoch if state.is_epoch_end else state.records % per_epoch
        place = f"{done}/{per_epoch}"
    rates = ". ".join(
        f"Current learning rate{f' of {name}' if name else ''} is {rate:g}" for name, rate in result.rates.items()
    )
    return (
        f"[Epoch {_epoch(state)} {place}][Iteration {state.iteration}][Wall Clock {wall_s:.3f}s] "
        f"Trained {result.records} records in {seconds:.3f} seconds. "
        f"Throughput is {result.records / max(seconds, 1e-9):.1f} records/second. Loss is {state.loss:.5f}. {rates}."
    )
