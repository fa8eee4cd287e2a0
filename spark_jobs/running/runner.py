"""Runs one stage: pins its inputs, stages its rows, audits them, publishes them, and reports.

A job script gives the Spark plan of its stage and calls `run`. What `run` promises: no row is readable before its
audit; an attempt may be killed at any moment and tried again; a run that has been published is not repeated; a new run
of a day replaces the day. This file and those it imports are the only generic Spark code of the project.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar

from data_contracts.contract import Contract
from spark_jobs.mistakes import Mistake, NothingYet
from spark_jobs.pipeline import (
    EXIT_BROKEN_CONTRACT,
    EXIT_FAILURE,
    EXIT_MISTAKE,
    EXIT_NOTHING_YET,
    EXIT_OK,
    EXIT_TERMINATED,
    STAGES,
    Stage,
)
from spark_jobs.running import auditing, inputs, lineage, progress, publishing, sessions
from spark_jobs.running.auditing import BrokenContract
from spark_jobs.running.code_version import check_workers
from spark_jobs.running.command_line import Attempt, NoOptions, parse
from spark_jobs.running.lineage import State
from spark_jobs.running.publishing import INPUT, TOLD, ChangedPartition, Part, Staged
from spark_jobs.running.report_words import in_words
from spark_jobs.running.request import check_request, no_rows
from spark_jobs.running.run_report import RunReport
from spark_jobs.settings import Settings, artefact_uri

logger = logging.getLogger(__name__)

PUBLISH_TRIES = 5
INPUT_VIEW = "pinned_input"

Options = TypeVar("Options")


@dataclass(frozen=True)
class Job(Generic[Options]):
    """What the plan of a stage works with.

    spark: the session, Connect or classic: the DataFrame API only; None for a stage with session `none`.
    day: None for a stage over all days.   options: the job's own dataclass.   contract: that of its dataset.
    input_states: whose rows each input has for the day; empty for a stage over all days.
    found: for a stage over all days, its dataset -> whose rows the table had before the inputs were pinned.
    built_upon: the stage's own dataset -> the snapshot whose rows `published` gave last.
    replaced: the one part of these that the stage's rows replace; empty: all.
    told: what else their snapshot says.
    when_empty: called before a day without rows is refused; raises NothingYet if that is no fault.
    at_end: closes or removes things when the attempt has ended, however it ended, and its session is closed.
    """

    spark: Any
    stage: Stage
    settings: Settings
    attempt: Attempt
    options: Options
    contract: Contract | None
    record: RunReport
    input_states: dict[str, State | None] = field(default_factory=dict)
    found: dict[str, State | None] = field(default_factory=dict)
    observations: dict[str, tuple[Any, Callable[[dict[str, Any]], Any]]] = field(default_factory=dict)
    built_upon: dict[str, int] = field(default_factory=dict)
    replaced: list[Part] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    when_empty: list[Callable[[], None]] = field(default_factory=list)
    at_end: ExitStack = field(default_factory=ExitStack)

    @property
    def day(self) -> date | None:
        """The day of this run."""
        return self.attempt.date()

    @property
    def run(self) -> str:
        """The id of the DAG run."""
        return self.attempt.run

    @property
    def schema(self) -> Any:
        """The Spark schema of the rows to return, for `mapInArrow`; ValueError for a stage that writes no rows."""
        if self.contract is None:
            raise ValueError(f"{self.stage.name} writes no dataset, so it has no schema; expected a stage that does")
        return self.contract.spark_schema()

    def read(self, dataset: str, columns: Sequence[str] = ()) -> Any:
        """One of the stage's inputs as a DataFrame: this run's day (or every day) of the pinned snapshot.

        columns: which to read, by default all. Image bytes are read from disk only if they are asked for.

        Raises:
            ValueError: the stage table does not list the dataset among the stage's inputs.
        """
        if dataset not in self.record.inputs:
            raise ValueError(
                f"{self.stage.name} reads {list(self.stage.reads)}, got {dataset!r}; add it to its row in pipeline.py"
            )
        rows = publishing.read_snapshot(self.spark, self.settings.table(dataset), self.record.inputs[dataset])
        rows = _of_day(rows, self.day)
        return rows.select(*columns) if columns else rows

    def published(self) -> Any:
        """The rows of the stage's own dataset that readers see as it begins: a DataFrame that it may build upon."""
        if self.contract is None:
            raise ValueError(f"{self.stage.name} writes no dataset, so none is published; expected one that does")
        table = self.settings.table(self.contract.dataset)
        snapshot = publishing.current_snapshot(self.spark, table)
        if snapshot is None:
            raise LookupError(f"{table}: nothing has been published yet")
        self.built_upon[self.contract.dataset] = snapshot
        return publishing.read_snapshot(self.spark, table, snapshot)

    def replaces(self, part: Part) -> None:
        """Say which part of the rows that `published` gave is replaced by the stage's; only that part is audited."""
        self.replaced[:] = [part]

    def tell(self, name: str, value: str) -> None:
        """Add a word to the summary of the snapshot with the stage's rows: the next run finds it in their `state`."""
        self.told[name] = value

    def state(self, dataset: str = "") -> State:
        """What is known about an input's rows over all days, by default `published`; nothing if it has expired."""
        own = self.contract.dataset if self.contract else ""
        snapshot = self.record.inputs[dataset] if dataset else self.built_upon[own]
        return lineage.state_of(self.spark, self.settings.table(dataset or own), snapshot, None) or State(snapshot, {})

    def pinned_artefact(self, models: str, name: str) -> str:
        """The name of an artefact with the version it stands for now; the run report records that version.

        Workers that load it by this name load that version or fail, whatever is promoted meanwhile.
        models: URI of the folder of artefacts; empty for that of the settings.

        Raises:
            FileNotFoundError: there is no artefact of that name.
        """
        from dlcore.interop.artefact import pinned

        uri = pinned(artefact_uri(models or self.settings.models, name))
        self.record.extra.setdefault("artefacts", {})[name] = uri.rpartition("@")[2]
        return uri.rpartition("/")[2]

    def observe(self, frame: Any, name: str, /, summarise: Callable[[dict[str, Any]], Any] = dict, **sums: str) -> Any:
        """The frame itself; sums of its columns or of SQL expressions go to the run report under `extra[name]`.

        They are computed while the stage runs, from the rows that pass here, without a second pass over them.
        summarise: turns the sums into what is reported.
        """
        from pyspark.sql import Observation
        from pyspark.sql import functions as F

        observation = Observation(name)
        self.observations[name] = observation, summarise
        return frame.observe(observation, *[F.sum(F.expr(sql)).alias(alias) for alias, sql in sums.items()])

    def note(self, name: str, value: Any) -> None:
        """Add a value (anything that JSON takes) to the run report, under `extra`."""
        self.record.extra[name] = value

    def warn(self, message: str) -> None:
        """Say in the log, the run report and the pages that people should look at something; the stage goes on."""
        logger.warning("%s: %s", self.stage.name, message)
        self.record.warnings.append(message)


Plan = Callable[[Job[Any]], Any]
"""The Spark plan of a stage: returns the DataFrame to publish, or nothing when the stage writes files."""


def run(name: str, plan: Plan, options: type[Any] = NoOptions) -> None:
    """Run the stage as the command line says, then end the process: the last statement of every job script.

    name: of the stage in `pipeline.STAGES`.   plan: its Spark plan.   options: a frozen dataclass of its own options.
    The last line of standard output is the run report as one line of JSON, even if the stage failed; a terminal shows
    it in words, unless `--json` is given.
    Exit codes: `pipeline.EXIT_CODES`.
    """
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("spark_jobs").setLevel(logging.INFO)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminated)
    sys.exit(execute(name, plan, options, sys.argv[1:], Settings.from_environment()))


def execute(name: str, plan: Plan, options: type[Any], arguments: Sequence[str], settings: Settings) -> int:
    """Run the stage as `arguments` say; return the exit code. Used by `run`, and by tests in their own process."""
    stage = STAGES[name]
    attempt, own_options = parse(stage, options, arguments)
    codes = attempt.codes or (settings.codes if "codes" in stage.options else None)
    trial = attempt.trial or bool(getattr(own_options, "limit", 0))  # a part of a day never replaces it
    dag = attempt.dag or stage.dag
    report = RunReport(stage.name, attempt.run, attempt.attempt, attempt.day, dag, stage.writes, codes, trial)
    code = EXIT_FAILURE
    try:
        check_request(stage, attempt, own_options, settings)
        settings = settings.with_codes(attempt.codes) if attempt.codes else settings
        settings = settings.of_trials() if trial else settings
        code = _attempt(stage, plan, attempt, own_options, settings, report)
    except BrokenContract as error:
        report.status, report.error, report.broken = "broken_contract", str(error), error.broken
        code = EXIT_BROKEN_CONTRACT
    except (NothingYet, Mistake) as error:
        report.error, is_mistake = str(error), isinstance(error, Mistake)
        report.status, code = ("refused", EXIT_MISTAKE) if is_mistake else ("nothing_yet", EXIT_NOTHING_YET)
        level = logging.ERROR if is_mistake else logging.WARNING
        logger.log(level, "%s: %s", stage.name, error, exc_info=logger.isEnabledFor(logging.DEBUG))
    except SystemExit as stop:
        report.status, report.error = "failed", "the job was told to stop"
        code = int(stop.code or EXIT_FAILURE)
    except Exception as error:
        report.status, report.error = "failed", f"{type(error).__name__}: {error}"
        logger.exception("%s failed: %s", stage.name, report.error.partition("\n")[0])
    report.finish()
    logger.info("run report: %s", report.write(settings.reports))
    is_for_people = sys.stdout.isatty() and not attempt.as_json
    print("\n".join(in_words(report)) if is_for_people else report.to_json(), flush=True)
    return code


def _terminated(signum: int, frame: object) -> None:
    raise SystemExit(EXIT_TERMINATED)


def _attempt(stage: Stage, plan: Plan, attempt: Attempt, options: Any, settings: Settings, report: RunReport) -> int:
    contract = auditing.load_contract(stage)
    gx_import = auditing.import_in_background() if contract else None
    with report.phase("total"), ExitStack() as at_end, ExitStack() as stack:
        with report.phase("connect"):
            spark = stack.enter_context(_session(stage, settings, attempt))
        stack.enter_context(progress.told(report, settings.reports, spark))
        job = Job(spark, stage, settings, attempt, options, contract, report, at_end=at_end)
        with report.phase("pin"):
            if spark is not None:
                check_workers(spark, settings.partitions)
            job.found.update(inputs.found_in(job))
            report.inputs = inputs.pinned_together(spark, settings, stage)
            if stage.all_days and stage.reads:
                sessions.divide_by_rows(spark, settings, inputs.row_count(job))
            job.input_states.update(inputs.states_of(job))
        if contract is None or gx_import is None:
            with report.phase("stage"):
                plan(job)
            report.status = "published"
        else:
            report.contract_version = contract.version
            publishing.ensure_table(spark, settings.table(contract.dataset), contract)
            _replace_rows(job, plan, contract, gx_import.join)
    return EXIT_OK


def _session(stage: Stage, settings: Settings, attempt: Attempt) -> AbstractContextManager[Any]:
    if stage.session == "none":
        return nullcontext(None)
    if stage.session == "classic" and attempt.remote:
        raise ValueError(f"{stage.name} needs a classic session, got --remote {attempt.remote}; use spark-submit")
    return sessions.opened(stage, settings, attempt.remote, is_last=attempt.release)


def _replace_rows(job: Job[Any], plan: Plan, contract: Contract, wait_for_import: Callable[[], None]) -> None:
    """Stage, audit and publish the day's rows, or all rows; stage again while the table changes."""
    report, table = job.record, job.settings.table(contract.dataset)
    if _took_over_earlier_attempt(job, table):
        return
    lineage.check_together(job.input_states, job.day)
    if _published_empty_input(job, table):
        return
    with report.phase("stage"):
        staged = _stage(job, plan(job), table)
    if staged is None:
        _publish_empty(job, table)
        return
    wait_for_import()
    for _ in range(PUBLISH_TRIES):
        with report.phase("audit"):
            _audit(job, contract, table, staged)
        try:
            with report.phase("publish"):
                inputs.check_current(job, table)
                report.snapshot = publishing.publish(job.spark, table, staged.snapshot)
        except ChangedPartition as change:
            logger.warning("%s; staging again", change)
            if _took_over_earlier_attempt(job, table):
                return
            staged = _stage_again(job, plan, table, staged)
        else:
            report.status = "published"
            return
    raise RuntimeError(
        f"{table}: the table changed {PUBLISH_TRIES} times between staging and publishing; try again later"
    )


def _took_over_earlier_attempt(job: Job[Any], table: str) -> bool:
    """Report what an earlier attempt of this run has published as this attempt's own; False if none has."""
    snapshot = publishing.published_by(job.spark, table, job.run, job.day)
    if snapshot is None:
        return False
    logger.info("%s: run %s has been published as snapshot %d, nothing to do", table, job.run, snapshot)
    job.record.status, job.record.snapshot = "already_published", snapshot
    if not job.record.take_over(job.settings.reports, snapshot):
        _count(job.record, _of_day(publishing.read_snapshot(job.spark, table, snapshot), job.day))
    return True


def _published_empty_input(job: Job[Any], table: str) -> bool:
    """Count the input's rows; if there are none, publish an empty day and return True."""
    if not job.stage.reads:
        return False
    job.record.rows_in = job.read(job.stage.reads[0], ["key"]).count()
    if job.record.rows_in == 0:
        _publish_empty(job, table)
    return job.record.rows_in == 0


def _publish_empty(job: Job[Any], table: str) -> None:
    if not job.attempt.allow_empty and not inputs.was_emptied(job.spark, job.settings, job.stage):
        for check in job.when_empty:
            check()
        raise Mistake(no_rows(job.day, job.stage.reads[0] if job.stage.reads else job.settings.hbase_table))
    with job.record.phase("publish"):
        inputs.check_current(job, table)
        publishing.empty_day(job.spark, table, job.day, publishing.wap_id(job.run, job.attempt.attempt))
    job.record.status, job.record.rows_out = "empty", 0


def _stage(job: Job[Any], frame: Any, table: str) -> Staged | None:
    identity = publishing.wap_id(job.run, job.attempt.attempt)
    states = {dataset: state.changed_by for dataset, state in job.input_states.items() if state}
    inputs = job.record.inputs if job.day is None else states
    part = job.replaced[0] if job.replaced else None
    before = job.built_upon.get(job.stage.writes or "") if job.stage.adds or part else None
    made = {f"{INPUT}{dataset}": str(snapshot) for dataset, snapshot in inputs.items()}
    made |= {f"{TOLD}{name}": value for name, value in job.told.items()}
    staged = publishing.stage_rows(_in_order(frame, job), table, identity, job.day, made, before, part)
    if staged is None and part:
        raise RuntimeError(f"{table}: got no snapshot of the part to replace, expected one in any case; try again")
    if staged is not None:
        job.record.rows_out, job.record.size_bytes = staged.rows, staged.size_bytes
        while job.observations:
            name, observed = job.observations.popitem()
            job.record.add_observed(name, *observed)
    return staged


def _in_order(frame: Any, job: Job[Any]) -> Any:
    """The frame with its columns in the contract's order; ValueError if one is missing or is not in the contract."""
    expected = [field.name for field in job.schema]
    if set(frame.columns) != set(expected):
        raise ValueError(f"{job.stage.name}: got columns {frame.columns}, expected {expected} as the contract says")
    return frame.select(*[f"`{name}`" for name in expected])


def _stage_again(job: Job[Any], plan: Plan, table: str, staged: Staged) -> Staged:
    """Stage on the table's present state: copy the same rows, or plan them anew if they build upon it."""
    with job.record.phase("stage_again"):
        if job.stage.adds or job.replaced:
            job.replaced.clear()
            job.told.clear()
            rows = plan(job)
        else:
            rows = _of_day(publishing.read_snapshot(job.spark, table, staged.snapshot), job.day)
        again = _stage(job, rows, table)
    if again is None:
        raise RuntimeError(f"{table}: the staged snapshot {staged.snapshot} has no rows any more; try again")
    return again


def _audit(job: Job[Any], contract: Contract, table: str, staged: Staged) -> None:
    """Check every rule on the staged rows; BrokenContract if one does not hold."""
    rows = _of_day(publishing.read_snapshot(job.spark, table, staged.snapshot), job.day)
    rows = rows.select(*[f"`{name}`" for name in contract.audited_columns()])
    _count(job.record, rows)
    if job.replaced:
        auditing.check_count(contract, job.record.rows_in, job.record.rows_out)
        rows = job.replaced[0].of_output(rows)
    input_keys = inputs.register(job, contract, INPUT_VIEW)
    job.record.rules = [rule.name for rule in contract.rules(has_input=bool(input_keys))]
    broken = auditing.broken_rules(rows, contract, input_keys, INPUT_VIEW)
    if broken:
        raise BrokenContract(contract, broken)


def _count(report: RunReport, rows: Any) -> None:
    report.reasons = {row["reason"]: row["count"] for row in rows.groupBy("reason").count().collect()}
    report.rows_out = sum(report.reasons.values())


def _of_day(rows: Any, day: date | None) -> Any:
    return rows if day is None else rows.where(f"day = DATE '{day}'")
