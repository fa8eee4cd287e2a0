"""The runs of a day: what readers get, then each run with the table of its stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import urlencode

from dlcore_airflow.links import PAGE, pictures_link, report_link
from dlcore_airflow.ui.layout import in_quotes, number, table
from dlcore_airflow.ui.table import linked_name, tick_box
from spark_jobs.pipeline import ALL_DAYS, STAGES, UNDOING
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.run_reports.summary import USED, RunSummary, name_of, runs_of, seconds_of

COLUMNS = {
    "Stage": "stage", "Result": "result", "In": "n", "Out": "n", "Reasons": "", "Contract": "contract", "Images/s": "n",
    "Seconds": "n",
}  # fmt: skip
"""Headings, and the CSS classes that give each column the same width in every day's table."""
MOST_OF_ERROR = 400
BAR_WIDTH = 60


def day_section(day: str, reports: Iterable[PastRun], readers: Mapping[str, PastRun], may_undo: bool) -> str:
    """A day with its runs: the newest, then the others folded.

    readers: stage -> the run whose rows readers get.   may_undo: whether to offer undoing.
    """
    title = "All days" if day == ALL_DAYS else escape(day)
    pictures = pictures_link(day) if day != ALL_DAYS and readers else ""
    shown = f" <a class=side href={in_quotes(pictures)} target=_top>pictures</a>" if pictures else ""
    newest, *older = [_run(run) for run in runs_of(reports)]
    more = ""
    if older:
        many = f"{len(older)} earlier run{'s' if len(older) > 1 else ''}"
        more = f"<details><summary>{many}</summary>{''.join(older)}</details>"
    identity = in_quotes(f"day-{day}")
    return f"<section id={identity}><h2>{title}{shown}</h2>{_readers(day, readers, may_undo)}{newest}{more}</section>"


def _readers(day: str, readers: Mapping[str, PastRun], may_undo: bool) -> str:
    """What readers get of a day: the rows of the last dataset, and the runs that all datasets come from."""
    if day == ALL_DAYS:
        return ""
    if not readers:
        return "<p class=quiet>Readers get no rows of this day.</p>"
    last = max(readers.values(), key=lambda report: list(STAGES).index(report["stage"]))
    names = list(dict.fromkeys(str(report.get("run")) for report in readers.values()))
    partly = " <span class=warning>of several runs</span>" if len(names) > 1 else ""
    button = "Take the undoing back" if last.get("dag") == UNDOING else "Undo"
    undo = f" <a class=button href={in_quotes('undo?' + urlencode({'day': day}))}>{button} …</a>" if may_undo else ""
    what = f"{escape(str(last.get('dataset') or last['stage']))}: {_images(last) or 'no images'}"
    by = escape(", ".join(map(name_of, names)))
    return f"<p>Readers get {what}, by {by}{partly}{undo}</p>"


def _run(reports: list[PastRun]) -> str:
    """One run: its name, which links to its page in Airflow, when it began, what became of its images, and its
    stages."""
    first, summary = reports[0], RunSummary.of(reports)
    marks = "".join(f" <span class=mark>{escape(mark)}</span>" for mark in _marks(first))
    began = summary.started_at[:16].replace("T", " ")
    about = f"{began} UTC · {_summary(reports, summary)}" if began else _summary(reports, summary)
    box = tick_box(summary.day, summary.run)
    return (
        f"<div class=run>{box} <h3>{linked_name(summary)}</h3>{marks} <span "
        f"class=quiet>{about}</span>{stages_table(reports)}</div>"
    )


def _marks(report: PastRun) -> list[str]:
    """Marks of a run that distinguish it from those whose rows readers get."""
    codes = f"codes {report['codes']}" if report.get("codes") else ""
    undoing = "an undoing" if report.get("dag") == UNDOING else ""
    return [mark for mark in ("a trial, beside the day" if report.get("trial") else "", undoing, codes) if mark]


def _summary(reports: list[PastRun], summary: RunSummary) -> str:
    """What became of a run's images, as its last stage that counts them says, and how long the run took."""
    counted = [report for report in reports if report.get("reasons")]
    stages = (
        f"{summary.stages} stage{'s' if summary.stages > 1 else ''}, "
        f"{sum(seconds_of(report) or 0 for report in reports):,.0f} s"
    )
    return f"{_images(counted[-1])} · {stages}" if counted else stages


def _images(report: PastRun) -> str:
    """How many images a stage has counted, used and refused; empty if it counts none."""
    reasons = report.get("reasons") or {}
    images, used = sum(reasons.values()), reasons.get(USED, 0)
    return f"{images:,} images, {used:,} used, {images - used:,} refused" if reasons else ""


def stages_table(reports: Iterable[PastRun]) -> str:
    """A row per stage: its result with the reason for a failure, counts, contract, throughput."""
    return table((f"<th class='{kind}'>{title}</th>" for title, kind in COLUMNS.items()), map(_row, reports))


def _row(report: PastRun) -> str:
    stage, status = str(report.get("stage", "")), str(report.get("status", "unknown"))
    link = "." + report_link(stage, report.get("day"), str(report.get("run", ""))).removeprefix(PAGE)
    cells = (
        f"<td><a href={in_quotes(link)}>{escape(stage)}</a></td>",
        f"<td class={in_quotes(status)}>{escape(status.replace('_', ' '))}{_warned(report)}</td>",
        number(report.get("rows_in"), title="in"),
        number(report.get("rows_out"), title="out"),
        f"<td>{_reasons(report.get('reasons') or {})}</td>",
        f"<td>{_contract(report)}</td>",
        number(report.get("images_per_second"), 1, "images/s"),
        number(seconds_of(report), 1, "seconds"),
    )
    why = str(report.get("error") or "").partition("\n")[0][:MOST_OF_ERROR]
    if not why:
        return f"<tr>{''.join(cells)}</tr>"
    return (
        f"<tr class=explained>{''.join(cells)}</tr><tr><td class='why {escape(status)}' "
        f"colspan={len(cells)}>{escape(why)}</td></tr>"
    )


def warnings_of(report: PastRun) -> list[str]:
    """What people should look at although the stage did its work."""
    return report.get("warnings") or []


def _warned(report: PastRun) -> str:
    """A mark that shows the warnings when the pointer rests on it."""
    said = " · ".join(map(str, warnings_of(report)))
    return f"<br><span class=warning title={in_quotes(said)}>with a warning</span>" if said else ""


def _reasons(reasons: dict[str, int]) -> str:
    """The used rows with a bar for their share, then the reasons of the others, most frequent first."""
    total = max(sum(reasons.values()), 1)
    ordered = sorted(reasons.items(), key=lambda item: (item[0] != USED, -item[1], item[0]))
    return " ".join(
        f"<span class=reason>{_bar(count / total) if reason == USED else ''}{escape(reason)} {count:,}</span>"
        for reason, count in ordered
    )


def _bar(share: float) -> str:
    return f"<span class=bar style='width:{BAR_WIDTH * share:.0f}px'></span>"


def _contract(report: PastRun) -> str:
    rules: list[Any] = report.get("rules") or []
    broken = report.get("broken") or []
    if broken:
        return (
            f"<span class=broken>{len(broken)} broken: "
            f"{escape(', '.join(str(rule.get('rule')) for rule in broken))}</span>"
        )
    return f"<span class=held>{len(rules)} rules held</span>" if rules else ""
