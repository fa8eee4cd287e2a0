"""Run reports as HTML: plain pages, no script, no file from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import Any

from dlcore_airflow.links import report_link
from dlcore_airflow.run_reports import Report
from spark_jobs.pipeline import ALL_DAYS, STAGES

STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #fff; --ink: #1d2430; --quiet: #5d6878; --line: #dfe3e9; --soft: #eef1f5;
  --good: #1a7f4b; --bad: #c2342b; --doubt: #a15c00; --bar: #2563c9 }
@media (prefers-color-scheme: dark) { :root { --paper: #11151b; --card: #191f28; --ink: #e5e9ef; --quiet: #97a3b4; --line: #2b3441;
  --soft: #222a35; --good: #4cc38a; --bad: #f2766b; --doubt: #e2a33d; --bar: #6ea4f5 } }
body { font: 14px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; max-width: 1400px; background: var(--paper);
  color: var(--ink) }
h1 { font-size: 1.4rem; margin: 0 0 1rem } h2 { font-size: 1.05rem; margin: 0 } p { max-width: 60rem } .quiet { color: var(--quiet) }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; margin: 0 0 1rem;
  overflow-x: auto }
table { border-collapse: collapse; width: 100%; min-width: 860px; margin-top: .5rem }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; vertical-align: top; border-bottom: 1px solid var(--line) }
tr:last-child td { border-bottom: 0 } th { font-weight: 550; font-size: .85rem; color: var(--quiet) }
td.n, th.n { text-align: right; padding-right: 1.4rem; font-variant-numeric: tabular-nums }
.stage { width: 11rem } .result { width: 8rem } .n { width: 4rem } .contract { width: 10rem }
.published, .already_published, .held { color: var(--good) } .broken_contract, .failed, .broken { color: var(--bad); font-weight: 600 }
.warning { color: var(--doubt) }
.bar { display: inline-block; height: .6em; min-width: 2px; background: var(--bar); border-radius: 2px; margin-right: .4em }
.reason { white-space: nowrap; margin-right: .9em } pre { background: var(--soft); padding: .8rem; overflow: auto; border-radius: 6px }
a { color: inherit; text-decoration-color: var(--quiet); text-underline-offset: 2px }
"""
COLUMNS = {
    "Stage": "stage", "Result": "result", "In": "n", "Out": "n", "Reasons": "", "Contract": "contract", "Images/s": "n", "Seconds": "n",
}  # fmt: skip
"""Headings, and the CSS classes that give each column its width, the same in the table of every day."""
USED = "ok"
EMPTY = "<p>No stage has run yet. Trigger the DAG <b>image_pipeline</b>, or start a backfill; its counts then appear here.</p>"


def overview_page(reports: Iterable[Report]) -> str:
    """A table per day, newest first, of each stage's newest run; the stages over all days come first.

    reports: grouped by day, in the order to show.
    """
    parts = []
    for day, of_day in groupby(reports, key=lambda report: report.get("day") or ALL_DAYS):
        newest = list(of_day)
        title = "All days" if day == ALL_DAYS else escape(day)
        parts.append(f"<section><h2>{title}</h2><span class=quiet>{_summary(newest)}</span>{_table(newest)}</section>")
    return _page("Image pipeline", "".join(parts) or EMPTY)


def report_page(report: Report) -> str:
    """One run report: its row, the broken rules with their sample keys, and the report as it was written."""
    stage = str(report.get("stage", ""))
    title = f"{escape(stage)} · {escape(str(report.get('day') or 'all days'))}"
    about = f"<p>{escape(STAGES[stage].title)}</p>" if stage in STAGES else ""
    error = f"<p class='failed'>{escape(str(report['error']))}</p>" if report.get("error") else ""
    warnings = "".join(f"<p class=warning>{escape(str(said))}</p>" for said in _warnings(report))
    raw = escape(json.dumps(report, indent=2, ensure_ascii=False))
    return _page(
        title,
        f"{about}<section>{_table([report])}{error}{warnings}</section>{_rules(report)}"
        f"<section><h2>Report</h2><pre>{raw}</pre></section><p><a href='.'>All runs</a></p>",
    )


def _page(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
    )


def _summary(reports: list[Report]) -> str:
    """What became of the images of a day, after the last stage that says so, and how long it took."""
    counted = [report["reasons"] for report in reports if report.get("reasons")]
    seconds = sum(_seconds(report) or 0.0 for report in reports)
    time = f"{len(reports)} stages, {seconds:,.0f} s"
    if not counted:
        return time
    images, used = sum(counted[-1].values()), counted[-1].get(USED, 0)
    return f"{images:,} images, {used:,} used, {images - used:,} refused · {time}"


def _seconds(report: Report) -> float | None:
    """How long the run took, from the phases when the report has no total."""
    phases = report.get("seconds")
    if not isinstance(phases, dict):
        return phases
    return float(phases.get("total", sum(phases.values())))


def _table(reports: Iterable[Report]) -> str:
    header = "".join(f"<th class='{name}'>{title}</th>" for title, name in COLUMNS.items())
    return f"<table><tr>{header}</tr>{''.join(map(_row, reports))}</table>"


def _row(report: Report) -> str:
    stage, status = str(report.get("stage", "")), str(report.get("status", "unknown"))
    link = "." + report_link(stage, report.get("day"), str(report.get("run", ""))).removeprefix("/pipeline")
    cells = (
        f"<td><a href='{escape(link, quote=True)}'>{escape(stage)}</a></td>",
        f"<td class='{escape(status)}'>{escape(status.replace('_', ' '))}{_warned(report)}</td>",
        _number(report.get("rows_in")),
        _number(report.get("rows_out")),
        f"<td>{_reasons(report.get('reasons') or {})}</td>",
        f"<td>{_contract(report)}</td>",
        _number(report.get("images_per_second"), 1),
        _number(_seconds(report), 1),
    )
    return f"<tr>{''.join(cells)}</tr>"


def _warnings(report: Report) -> list[str]:
    return report.get("warnings") or []


def _warned(report: Report) -> str:
    """A mark that shows the warnings when the pointer rests on it."""
    said = " · ".join(map(str, _warnings(report)))
    return f"<br><span class=warning title='{escape(said, quote=True)}'>with a warning</span>" if said else ""


def _number(value: Any, digits: int = 0) -> str:
    return f"<td class=n>{value:,.{digits}f}</td>" if isinstance(value, int | float) else "<td class=n></td>"


def _reasons(reasons: dict[str, int]) -> str:
    """The used rows with a bar of their share, then the reasons of the others, most frequent first."""
    total = max(sum(reasons.values()), 1)
    ordered = sorted(reasons.items(), key=lambda item: (item[0] != USED, -item[1], item[0]))
    return " ".join(
        f"<span class=reason>{_bar(count / total) if reason == USED else ''}{escape(reason)} {count:,}</span>"
        for reason, count in ordered
    )


def _bar(share: float) -> str:
    return f"<span class=bar style='width:{60 * share:.0f}px'></span>"


def _contract(report: Report) -> str:
    rules = report.get("rules") or []
    broken = report.get("broken") or []
    if broken:
        return f"<span class=broken>{len(broken)} broken: {escape(', '.join(str(rule.get('rule')) for rule in broken))}</span>"
    return f"<span class=held>{len(rules)} rules held</span>" if rules else ""


def _rules(report: Report) -> str:
    rows = "".join(
        f"<tr><td class=broken>{escape(str(rule.get('rule')))}</td>"
        f"<td>{escape(str(rule.get('meaning') or ''))}</td>{_number(rule.get('rows'))}"
        f"<td>{escape(', '.join(map(str, rule.get('samples') or [])))}</td></tr>"
        for rule in report.get("broken") or []
    )
    header = "<tr><th>Rule<th>What is right<th class=n>Rows<th>Sample keys</tr>"
    return f"<section><h2>Broken rules</h2><table>{header}{rows}</table></section>" if rows else ""
