"""Wait for Airflow's runs and show them: a row per run, a mark per task."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from deploy.airflow_rest import Airflow, Task

_POLL_S = 2.0
_MARKS = {
    "success": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "upstream_failed": "[red]–[/]",
    "running": "[yellow]●[/]",
    "up_for_retry": "[yellow]↻[/]",
    "queued": "·",
    "scheduled": "·",
}


class RunDisplay:
    """Shows the runs of some DAGs while something is waited for; without a terminal it prints each task as it ends."""

    def __init__(
        self, airflow: Airflow, dags: tuple[str, ...], stages: dict[str, tuple[str, ...]], console: Console
    ) -> None:
        self._airflow = airflow
        self._dags = dags
        self._stages = stages
        self._console = console
        self._told: set[tuple[str, str, str, int]] = set()
        self._live = Live(console=console, refresh_per_second=4)

    def __enter__(self) -> RunDisplay:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def wait_until(self, is_true: Callable[[], bool], limit_s: float, what: str) -> None:
        """Show the runs until a condition holds.

        Raises:
            TimeoutError: it does not within the limit.
        """
        deadline = time.monotonic() + limit_s
        while True:
            done = is_true()
            self._show()
            if done:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: did not come within {limit_s:.0f} s")
            time.sleep(_POLL_S)

    def _show(self) -> None:
        self._live.update(Group(*(self._table(dag) for dag in self._dags)))

    def _table(self, dag: str) -> Table:
        tasks: dict[tuple[str, str], Task] = {(task.run, task.name): task for task in self._airflow.tasks(dag)}
        table = Table(dag, *self._stages[dag], "state")
        for run in self._airflow.runs(dag):
            cells = [self._cell(dag, run.day, tasks.get((run.name, stage))) for stage in self._stages[dag]]
            table.add_row(run.day, *cells, run.state)
        return table

    def _cell(self, dag: str, day: str, task: Task | None) -> str:
        if task is None or task.state is None:
            return ""
        seconds = f" {task.seconds:.0f} s" if task.seconds is not None else ""
        event = (dag, task.run, task.name, task.attempt)
        if not self._console.is_terminal and task.seconds is not None and event not in self._told:
            self._told.add(event)
            self._console.print(f"{day} {task.name}: {task.state}{seconds}", highlight=False)
        return _MARKS.get(task.state, task.state) + seconds
