"""Runs as a table that can be sorted by each column, and run reports as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from dlcore_airflow.links import PAGE, day_link
from dlcore_airflow.ui.layout import in_quotes, number, table
from spark_jobs.pipeline import ALL_DAYS, UNDOING
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.run_reports.summary import MARKS, RunSummary, in_words, name_of, seconds_of

CSV_COLUMNS = (
    "day", "run", "stage", "status", "trial", "codes", "started_at", "rows_in", "rows_out", "reasons",
    "images_per_second", "seconds",
    "size_bytes", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of the table of runs: its heading, what it sorts by, its cell."""

    heading: str
    value: Callable[[RunSummary], Any]
    cell: Callable[[RunSummary], str]
    is_number: bool = False


def _numbers(heading: str, value: Callable[[RunSummary], Any], digits: int = 0) -> Column:
    return Column(heading, value, lambda run: number(value(run), digits, heading.lower()), is_number=True)


def _day(run: RunSummary) -> str:
    """The cell of a day, which links to it."""
    if run.day == ALL_DAYS:
        return "<td>all days"
    return f"<td><a href={in_quotes(f'.{day_link(run.day).removeprefix(PAGE)}')}>{escape(run.day)}</a>"


def linked_name(run: RunSummary) -> str:
    """The name of a run, which links to its page in Airflow; a run outside Airflow has no page."""
    name = name_of(run.run)
    if not MARKS.search(run.run) or run.dag == UNDOING:
        return escape(name)
    place = f"../dags/{quote(run.dag, safe='')}/runs/{quote(name, safe='')}"
    return f"<a href={in_quotes(place)} target=_top>{escape(name)}</a>"


COLUMNS: Mapping[str, Column] = {
    "day": Column("Day", lambda run: run.day, _day),
    "run": Column("Run", lambda run: run.run, lambda run: f"<td class=name>{linked_name(run)}"),
    "started": Column(
        "Began (UTC)", lambda run: run.started_at, lambda run: f"<td>{escape(run.started_at[:16].replace('T', ' '))}"
    ),
    "result": Column(
        "Result",
        lambda run: run.result,
        lambda run: f"<td class={in_quotes(run.result)}>{escape(in_words(run))}",
    ),
    "images": _numbers("Images", lambda run: run.images),
    "used": _numbers("Used", lambda run: run.used),
    "refused": _numbers("Refused", lambda run: run.refused),
    "speed": _numbers("Images/s", lambda run: run.per_second, 2),
    "seconds": _numbers("Seconds", lambda run: run.seconds),
}
NEWEST_FIRST = "-started"


def sorted_runs(runs: Iterable[RunSummary], by: str) -> list[RunSummary]:
    """The runs in the order of a column of COLUMNS, descending if `-` stands before its name; those without a value
    come last.

    Raises:
        KeyError: there is no such column.
    """
    column, found = COLUMNS[by.removeprefix("-")], list(runs)
    known = [run for run in found if column.value(run) is not None]
    known.sort(key=column.value, reverse=by.startswith("-"))
    return known + [run for run in found if column.value(run) is None]


def runs_table(runs: Iterable[RunSummary], by: str, asked: Mapping[str, Any]) -> str:
    """The table as HTML; a box in front of each run ticks it for the form `compare`.

    by: as `sorted_runs` takes it.   asked: the parameters of the page, which the headings keep.
    """
    headings = ["<th>", *(_heading(name, column, by, asked) for name, column in COLUMNS.items())]
    return table(headings, [_row(run) for run in sorted_runs(runs, by)], "runs")


def tick_box(day: str, run: str) -> str:
    """The box that ticks a run for the comparison."""
    value = in_quotes(f"{day}/{quote(run, safe='')}")
    return (
        f"<input type=checkbox form=compare name=run value={value} aria-label={in_quotes(f'compare {name_of(run)}')}>"
    )


def _row(run: RunSummary) -> str:
    return f"<tr><td>{tick_box(run.day, run.run)}{''.join(column.cell(run) for column in COLUMNS.values())}</tr>"


def _heading(name: str, column: Column, by: str, asked: Mapping[str, Any]) -> str:
    is_chosen, is_down = by.removeprefix("-") == name, by.startswith("-")
    following = name if is_chosen and is_down else f"-{name}"
    arrow = (" ↓" if is_down else " ↑") if is_chosen else ""
    link = in_quotes(f"?{urlencode({**asked, 'view': 'table', 'sort': following})}")
    kind = " class=n" if column.is_number else ""
    return f"<th{kind}><a href={link}>{column.heading}{arrow}</a>"


def csv_text(reports: Iterable[PastRun]) -> str:
    """Run reports as comma-separated values with a header; reasons are `reason=rows`, separated by blanks."""
    text = io.StringIO()
    lines = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore")
    lines.writeheader()
    for report in sorted(reports, key=lambda report: str(report.get("started_at"))):
        reasons = " ".join(f"{reason}={rows}" for reason, rows in (report.get("reasons") or {}).items())
        lines.writerow({**report, "seconds": seconds_of(report), "reasons": reasons})
    return text.getvalue()
