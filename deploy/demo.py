"""The whole pipeline on a generated catalogue: `make demo`, `make demo LAKE=hdfs`, or `docker compose run --rm demo`.

It draws a catalogue of three days, starts every server, loads HBase, lets Airflow backfill the three days and finish
the similar images, searches by the search service, writes `report.html` and `report.json` into `build/demo` (or
`--report FOLDER`), and stops everything that it started. Exit code 0 only if every run succeeded. Its data lies in
`<PIPELINE_HOME>/demo`, made anew each time: look at it with `make up PIPELINE_HOME=var/demo`.

With `--running` it uses servers that run already and leaves them running. The PIPELINE_ variables name them:
PIPELINE_AIRFLOW_URL and PIPELINE_AIRFLOW_PASSWORD (of its user `admin`) for Airflow, PIPELINE_SEARCH_URL and
PIPELINE_SEARCH_TOKEN for the search service (PIPELINE_SEARCH_PAGE: its address in a browser).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer
from rich.console import Console

from deploy import REPOSITORY
from deploy.airflow_rest import FINISHED, Airflow, AirflowError, Run
from deploy.demo_search import search_by_service
from deploy.run_display import RunDisplay
from deploy.services import down, free_offset, interruptible, remove, undisturbed, up
from deploy.stack import PORTS, Lake, Stack
from deploy.supervision import StackError, die_with, port_is_free
from quality_report.write import write_report
from spark_jobs.pipeline import IMAGE_PIPELINE, SIMILAR_IMAGES, stages_of
from spark_jobs.settings import Settings

REPORT = REPOSITORY / "build" / "demo"
FIRST_DAY = date(2026, 11, 1)
DAYS = 3
_OF_THE_USER = ("PIPELINE_", "AIRFLOW_")
_DAGS_LIMIT_S = 1200.0
_RUNS_LIMIT_S = 4 * 3600.0
_POLL_S = 0.5
_LOG_LINES = 25


class DemoError(RuntimeError):
    """A step of the demo went wrong; the message says which and where to look."""


def demo_days(today: date) -> list[date]:
    """The days of the catalogue: always the same three, unless this machine's clock is before them (Airflow backfills
    the past only)."""
    first = FIRST_DAY if FIRST_DAY + timedelta(days=DAYS) <= today else today - timedelta(days=DAYS)
    return [first + timedelta(days=i) for i in range(DAYS)]


def demo_stack(lake: Lake) -> Stack:
    """A fresh stack below PIPELINE_HOME, at free ports, on which nothing is scheduled.

    Raises:
        StackError: an earlier demo's processes cannot be stopped.
    """
    usual = Stack.from_environment(lake=lake)
    home = usual.home / "demo"
    is_free = all(port_is_free(usual.port(server)) for server in PORTS)
    own = {name: value for name, value in usual.overrides.items() if name == "PIPELINE_MODELS"}
    offset = usual.offset if is_free else free_offset()
    _forget_other_servers()
    stack = Stack(home, offset, lake, overrides={**own, "PIPELINE_SCHEDULE": "off"})
    remove(stack)
    return stack


def _forget_other_servers() -> None:
    """Drop the variables that name servers and folders of the user's own: the demo reads and writes only its own."""
    for name in [name for name in os.environ if name.startswith(_OF_THE_USER)]:
        del os.environ[name]


@dataclass(frozen=True)
class Site:
    """Where the demo runs. environment: the variables of the servers' clients. airflow: its REST interface. search_url,
    search_token: those of the search service."""

    environment: Mapping[str, str]
    airflow: Airflow
    search_url: str
    search_token: str

    @classmethod
    def of_stack(cls, stack: Stack) -> Site:
        """The servers of a local stack."""
        airflow = Airflow(stack.airflow_url, stack.secrets["airflow_password"])
        return cls(stack.environment(), airflow, stack.search_url, stack.secrets["search_token"])

    @classmethod
    def from_environment(cls) -> Site:
        """The servers that this process's variables name.

        Raises:
            DemoError: a variable for Airflow or the search service is missing.
        """
        names = ("PIPELINE_AIRFLOW_URL", "PIPELINE_AIRFLOW_PASSWORD", "PIPELINE_SEARCH_URL", "PIPELINE_SEARCH_TOKEN")
        try:
            airflow_url, password, search_url, token = (os.environ[name] for name in names)
        except KeyError as missing:
            raise DemoError(
                f"got no variable {missing}, expected one that says how to reach the running Airflow and search service"
            ) from None
        return cls({}, Airflow(airflow_url, password), search_url, token)

    def settings(self) -> Settings:
        """The settings that the jobs read."""
        return Settings.from_environment({**os.environ, **self.environment})


def run_with_servers(stack: Stack, days: list[date], per_day: int, report: Path, console: Console) -> None:
    """Run every step of the demo on a stack that is not started yet, and stop it at the end.

    report: the folder for the report.
    Raises:
        DemoError, StackError, AirflowError: a step fails.
    """
    site = Site.of_stack(stack)
    try:
        with _drawing(site, days, per_day) as manifest:
            console.rule("starting the servers, drawing the catalogue")
            up(stack, attached=True, console=console)
        run_demo(site, manifest, days, report, console)
    finally:
        with undisturbed():
            try:
                console.rule("stopping the servers")
            finally:  # also when the terminal has gone
                down(stack)


def run_demo(site: Site, manifest: Path, days: list[date], report: Path, console: Console) -> None:
    """Load a catalogue, backfill its days, search, and write the report into a folder, on servers that run.

    Raises:
        DemoError, AirflowError: a step fails.
    """
    console.rule("loading the catalogue into HBase")
    _run_module(site, "spark_jobs.load_images", str(manifest))
    console.rule(f"backfilling {days[0]} to {days[-1]}: {site.airflow.url}")
    _backfill(site.airflow, days, console)
    console.rule("searching by the search service")
    settings = site.settings()
    searched = search_by_service(site.search_url, site.search_token, settings.index, console)
    console.rule("writing the report")
    write_report(settings, manifest.with_name("truth.jsonl"), report, {"search": searched.figures()})


@contextmanager
def _drawing(site: Site, days: list[date], per_day: int) -> Iterator[Path]:
    """Draw the catalogue in a process beside the block; it is complete when the block is left. Yields the path of the
    manifest."""
    home = site.settings().home
    folder, log = home / "catalogue", home / "logs" / "catalogue.log"
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(exist_ok=True)
    options = ["--per-day", str(per_day), "--first-day", days[0].isoformat(), "--days", str(len(days))]
    with (
        log.open("wb") as output,
        _process(site, "sample_data.catalogue.demo", str(folder), *options, output=output) as process,
    ):
        yield folder / "manifest.jsonl"
        if process.wait():
            raise DemoError(f"drawing the catalogue failed; see {log}")


def _run_module(site: Site, module: str, *arguments: str) -> None:
    with _process(site, module, *arguments) as process:
        if process.wait():
            raise DemoError(f"{module} ended with exit code {process.returncode}; see above")


@contextmanager
def _process(
    site: Site, module: str, *arguments: str, output: BinaryIO | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module as a client of the servers, in a session of its own; it is ended with its children when the block is
    left."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **site.environment},
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=die_with(os.getpid()),  # noqa: PLW1509 (it calls C functions only)
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _backfill(airflow: Airflow, days: list[date], console: Console) -> None:
    """Backfill the days, wait until the runs that follow have ended, and check that there are no others.

    Runs that had ended before, and those by hand, are ignored.
    """
    _await_dags(airflow)
    before = {run.name for run in _runs(airflow) if run.state in FINISHED}
    airflow.unpause(IMAGE_PIPELINE)
    # All days at once: while one starts a job, another computes.
    backfill = airflow.backfill(IMAGE_PIPELINE, days[0], days[-1], at_once=len(days))
    stages = {dag: tuple(stage.name for stage in stages_of(dag)) for dag in (IMAGE_PIPELINE, SIMILAR_IMAGES)}
    with RunDisplay(airflow, (IMAGE_PIPELINE, SIMILAR_IMAGES), stages, console) as display:
        display.wait_until(lambda: airflow.is_completed(backfill), _RUNS_LIMIT_S, "the backfill")
        if all(run.state == "success" for run in _runs_of(airflow, days, before) if run.dag == IMAGE_PIPELINE):
            if airflow.is_paused(SIMILAR_IMAGES):
                # Had it not been paused, the first day's features would have started a run, and the others' another.
                airflow.unpause(SIMILAR_IMAGES)
                airflow.announce("features")
            display.wait_until(lambda: _has_settled(airflow), _RUNS_LIMIT_S, "similar images")
    _check_runs(airflow, _runs_of(airflow, days, before), len(days), console)


def _runs(airflow: Airflow) -> list[Run]:
    return [*airflow.runs(IMAGE_PIPELINE), *airflow.runs(SIMILAR_IMAGES)]


def _runs_of(airflow: Airflow, days: list[date], before: set[str]) -> list[Run]:
    """The demo's runs: those since `before`. A backfill that repeats a day takes the day's run again, under its name.

    Runs that somebody starts by hand meanwhile are not the demo's.
    """
    repeated = {day.isoformat() for day in days}
    others = [run for run in _runs(airflow) if run.kind != "manual"]
    return [run for run in others if run.name not in before or (run.kind == "backfill" and run.day in repeated)]


def _await_dags(airflow: Airflow) -> None:
    deadline = time.monotonic() + _DAGS_LIMIT_S
    while not (airflow.knows(IMAGE_PIPELINE) and airflow.knows(SIMILAR_IMAGES)):
        errors = airflow.import_errors()
        if errors or time.monotonic() > deadline:
            raise DemoError(
                "Airflow does not read the DAGs: " + ("; ".join(errors) or f"nothing within {_DAGS_LIMIT_S:.0f} s")
            )
        time.sleep(_POLL_S)


def _has_settled(airflow: Airflow) -> bool:
    """Whether the features of every day have been handled: none are waiting, a run has ended, none is under way."""
    if airflow.awaits_assets(SIMILAR_IMAGES):
        return False
    # Looked at afterwards: in one transaction features cease to wait and their run begins.
    runs = airflow.runs(SIMILAR_IMAGES)
    return bool(runs) and all(run.state in FINISHED for run in runs)


def _check_runs(airflow: Airflow, runs: list[Run], days: int, console: Console) -> None:
    """Raise DemoError unless every run succeeded and there are only the backfill's runs and those its features
    started."""
    failed = [run for run in runs if run.state != "success"]
    for run in failed:
        _explain(airflow, run, console)
    if failed:
        raise DemoError(f"{len(failed)} of {len(runs)} runs did not succeed: {', '.join(run.name for run in failed)}")
    kinds = {IMAGE_PIPELINE: "backfill", SIMILAR_IMAGES: "asset_triggered"}
    strangers = [run.name for run in runs if run.kind != kinds[run.dag]]
    if strangers or sum(run.dag == IMAGE_PIPELINE for run in runs) != days:
        raise DemoError(
            f"expected {days} backfill runs and those their features start, got also {', '.join(strangers) or 'others'}"
        )


def _explain(airflow: Airflow, run: Run, console: Console) -> None:
    for task in airflow.tasks(run.dag):
        if task.run == run.name and task.state == "failed":
            console.print(f"{run.day} {task.name}, attempt {task.attempt}:", style="red")
            console.print("\n".join(airflow.log(run.dag, task)[-_LOG_LINES:]), markup=False, highlight=False)


def main(
    lake: Annotated[str, typer.Option(help="local or hdfs")] = "local",
    per_day: Annotated[int, typer.Option(help="number of images per day")] = 200,
    running: Annotated[bool, typer.Option("--running", help="use servers that run already, and leave them up")] = False,
    report: Annotated[Path, typer.Option(help="folder for report.html and report.json", resolve_path=True)] = REPORT,
) -> None:
    """Run the whole pipeline on a generated catalogue and name the files to look at."""
    interruptible()
    os.chdir(REPOSITORY)
    console = Console()
    days = demo_days(date.today())
    started = time.monotonic()
    try:
        if running:
            site = Site.from_environment()
            with _drawing(site, days, per_day) as manifest:
                console.rule("drawing the catalogue")
            run_demo(site, manifest, days, report, console)
            page = f"{os.environ.get('PIPELINE_SEARCH_PAGE', site.search_url)}, the search page"
        else:
            stack = demo_stack(cast(Lake, lake))
            run_with_servers(stack, days, per_day, report, console)
            page = (
                f"{stack.search_url}, the search page, after `make up PIPELINE_HOME={stack.home}`, which prints its "
                f"token"
            )
    except KeyboardInterrupt:
        raise SystemExit("interrupted" if running else "interrupted; everything is stopped") from None
    except (DemoError, StackError, AirflowError, OSError, ValueError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None
    print(
        f"done in {time.monotonic() - started:.0f} s; look at\n  {report / 'report.html'}\n  "
        f"{report / 'report.json'}\n  {page}"
    )


if __name__ == "__main__":
    typer.run(main)
