"""What training shows while it runs: a bar on a terminal, else a log line now and then."""

import logging
import sys
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dlcore.optim.trigger import TrainingState
from dlcore.optim.worker import Report

logger = logging.getLogger(__name__)
_LOG_EVERY_S = 10.0


class ProgressDisplay:
    """Shows steps, loss, rate and throughput. `planned` is the number of steps in all, None when unknown."""

    def __init__(self, planned: int | None, done: int, is_quiet: bool) -> None:
        self._is_shown = sys.stderr.isatty() and not is_quiet
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._is_shown,
        )
        self._task = self._progress.add_task("training", total=planned, completed=done, text="")
        self._logged = monotonic()
        self._smooth = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, state: TrainingState, records: int, seconds: float, rate: float, reports: list[Report]) -> None:
        """Show one step."""
        throughput = records / max(seconds, 1e-9)
        self._smooth = throughput if self._smooth == 0.0 else 0.9 * self._smooth + 0.1 * throughput
        text = f"loss {state.loss:.4f}  rate {rate:.2e}  {self._smooth:.0f} records/s"
        self._progress.update(self._task, completed=state.iteration, text=text)
        if not self._is_shown and monotonic() - self._logged >= _LOG_EVERY_S:
            self._logged = monotonic()
            logger.info(
                "[Epoch %d][Iteration %d] Trained %d records in %.3f seconds (data %.3f, compute %.3f). "
                "Throughput is %.1f records/second. Loss is %.5f. Learning rate is %.3g.",
                state.epoch,
                state.iteration,
                records,
                seconds,
                max(report.data_s for report in reports),
                max(report.compute_s for report in reports),
                self._smooth,
                state.loss,
                rate,
            )
