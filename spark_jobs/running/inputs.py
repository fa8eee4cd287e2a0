"""Choose the snapshot of each input that a stage reads from first to last, whatever is published meanwhile."""

from __future__ import annotations

from typing import Any

from data_contracts.contract import Contract
from spark_jobs.mistakes import Mistake
from spark_jobs.pipeline import STAGES, Stage
from spark_jobs.running import auditing, lineage, publishing
from spark_jobs.running.lineage import State
from spark_jobs.settings import Settings


def pinned_together(spark: Any, settings: Settings, stage: Stage) -> dict[str, int]:
    """The snapshot of each input. If another input over all days was made from it, that is the snapshot it was made
    from.

    Raises:
        Mistake: an input has not been published yet.
    """
    for dataset in stage.lists:
        contract = auditing.load_contract(_writers(dataset)[0])
        if contract is not None:
            publishing.ensure_table(spark, settings.table(dataset), contract)
    tables = {dataset: settings.table(dataset) for dataset in (*stage.reads, *stage.lists)}
    newest = {dataset: _pinned(spark, table, dataset) for dataset, table in tables.items()}
    whole = {each.writes for each in STAGES.values() if each.all_days and each.writes} & set(newest)
    return lineage.as_made(spark, tables, newest, whole)


def row_count(job: Any) -> int:
    """How many rows the first input of a stage has over all days. job: a `runner.Job`, here and below."""
    first = job.stage.reads[0]
    return publishing.row_count(job.spark, job.settings.table(first), job.record.inputs[first])


def states_of(job: Any) -> dict[str, State | None]:
    """For a daily stage: whose rows its inputs have for the day."""
    return {
        dataset: lineage.state_of(job.spark, job.settings.table(dataset), snapshot, job.day)
        for dataset, snapshot in job.record.inputs.items()
        if job.day is not None
    }


def found_in(job: Any) -> dict[str, State | None]:
    """For a stage over all days: its dataset -> whose rows the table has now. The table is created if it is missing."""
    if job.contract is None or job.day is not None:
        return {}
    table = job.settings.table(job.contract.dataset)
    publishing.ensure_table(job.spark, table, job.contract)
    snapshot = publishing.current_snapshot(job.spark, table)
    state = lineage.state_of(job.spark, table, snapshot, None) if snapshot is not None else None
    return {job.contract.dataset: state}


def check_current(job: Any, table: str) -> None:
    """Raise MixedInputs if another run has since replaced the day in an input, or all days in the stage's own table."""
    if not job.stage.adds:
        for state in job.found.values():
            lineage.check_alone(job.spark, table, state)
    for dataset, state in job.input_states.items():
        lineage.check_current(job.spark, job.settings.table(dataset), job.record.inputs[dataset], state, job.day)


def register(job: Any, contract: Contract, view: str) -> tuple[str, ...]:
    """Make the first input a temporary view for the rules that compare with it; return the key columns of both."""
    if not job.stage.reads or not contract.is_one_for_one:
        return ()
    given = auditing.load_contract(_writers(job.stage.reads[0])[0])
    if given is None:
        return ()
    rows = job.read(given.dataset, [f"`{name}`" for name in given.audited_columns()])
    (job.replaced[0].of_input(rows) if job.replaced else rows).createOrReplaceTempView(view)
    return tuple(name for name in contract.key if name in given.key)


def _pinned(spark: Any, table: str, dataset: str) -> int:
    snapshot = publishing.current_snapshot(spark, table) if spark.catalog.tableExists(table) else None
    if snapshot is None:
        writers = [stage.name for stage in _writers(dataset)]
        raise Mistake(f"{table}: nothing has been published yet; run {' or '.join(writers)} first")
    return snapshot


def _writers(dataset: str) -> list[Stage]:
    return [stage for stage in STAGES.values() if stage.writes == dataset]


def was_emptied(spark: Any, settings: Settings, stage: Stage) -> bool:
    """Whether the input of a stage over all days once had rows: whoever emptied its last day has said that this is
    meant."""
    return stage.all_days and bool(stage.reads) and publishing.has_published(spark, settings.table(stage.reads[0]))
