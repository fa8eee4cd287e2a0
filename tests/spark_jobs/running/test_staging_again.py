"""What a second plan of a stage over all days is staged as, after the table changed under the first: no server is
needed for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from data_contracts.duplicates import DUPLICATES
from spark_jobs.pipeline import STAGES
from spark_jobs.running import publishing, runner
from spark_jobs.running.command_line import Attempt
from spark_jobs.running.publishing import Part, Staged
from spark_jobs.running.run_report import RunReport
from spark_jobs.running.runner import Job

STAGE = STAGES["find_duplicates"]
PART = Part.of_days(["2026-11-20"])
FRAME = SimpleNamespace(columns=[column.name for column in DUPLICATES.columns], select=lambda *names: names)


def job_of() -> Job[Any]:
    report = RunReport(STAGE.name, "run", 1, None, STAGE.dag, STAGE.writes, None, False)
    attempt = Attempt(run="run")
    return Job(None, STAGE, SimpleNamespace(), attempt, None, DUPLICATES, report)  # type: ignore[arg-type]


def planned(*parts: Part) -> Callable[[Job[Any]], Any]:
    """A plan that builds upon snapshot 7, replaces a part or all, and tells a list where it replaces a part."""

    def plan(job: Job[Any]) -> Any:
        job.built_upon["duplicates"] = 7
        for part in parts:
            job.replaces(part)
            job.tell("list", "of days")
        return FRAME

    return plan


def staged_with(monkeypatch: pytest.MonkeyPatch, staged: Staged | None) -> list[tuple[Any, ...]]:
    """What is handed to Iceberg beside the rows and where they go: words, the snapshot before, the part."""
    calls: list[tuple[Any, ...]] = []

    def stage_rows(frame: Any, table: str, identity: str, day: None, *told: Any) -> Staged | None:
        calls.append(told)
        return staged

    monkeypatch.setattr(publishing, "stage_rows", stage_rows)
    return calls


def test_of_a_second_plan_that_replaces_all_no_part_of_the_first_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, job, staged = staged_with(monkeypatch, Staged(8, 1, 1)), job_of(), Staged(8, 1, 1)
    runner._stage(job, planned(PART)(job), "lake.duplicates")
    assert runner._stage_again(job, planned(), "lake.duplicates", staged) == staged
    assert calls == [({"told.list": "of days"}, 7, PART), ({}, None, None)]


def test_a_part_of_which_nothing_was_staged_does_not_empty_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    staged_with(monkeypatch, None)
    job = job_of()
    with pytest.raises(RuntimeError, match="no snapshot of the part to replace"):
        runner._stage(job, planned(PART)(job), "lake.duplicates")
    assert runner._stage(replace(job, replaced=[]), planned()(job), "lake.duplicates") is None
