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
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f37; --bad: #cf222e; --bar: #4493f8; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem; }
h1 { font-size: 1.25rem } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem } p { max-width: 60rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .35rem .6rem; vertical-align: top }
th, td { border-bottom: 1px solid var(--line) }
th { font-weight: 600; background: var(--soft) } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.published, .already_published, .held { color: var(--good) } .broken_contract, .failed, .broken { color: var(--bad); font-weight: 600 }
.bar { display: inline-block; height: .6em; background: var(--bar); border-radius: 2px; vertical-align: middle; margin-right: .4em }
.reason { white-space: nowrap; margin-right: .8em } pre { background: var(--soft); padding: .8rem; overflow: auto } a { color: inherit }
"""
COLUMNS = ("Stage", "Result", "In", "Out", "Reasons", "Contract", "Images/s", "Seconds")
NUMERIC = {"In", "Out", "Images/s", "Seconds"}
EMPTY = "<p>No stage has run yet. Trigger the DAG <b>image_pipeline</b>, or start a backfill; its counts then appear here.</p>"


def overview_page(reports: Iterable[Report]) -> str:
    """A table per day, newest first, of each stage's newest run; the stages over all days come first.

    reports: grouped by day, in the order to show.
    """
    parts = []
    for day, of_day in groupby(reports, key=lambda report: report.get("day") or ALL_DAYS):
        title = "All days" if day == ALL_DAYS else escape(day)
        rows = "".join(_row(report) for report in of_day)
        parts.append(f"<h2>{title}</h2><table><tr>{_header()}</tr>{rows}</table>")
    return _page("Image pipeline", "".join(parts) or EMPTY)


def report_page(report: Report) -> str:
    """One run report: its row, the broken rules with their sample keys, and the report as it was written."""
    stage = str(report.get("stage", ""))
    title = f"{escape(stage)} · {escape(str(report.get('day') or 'all days'))}"
    about = f"<p>{escape(STAGES[stage].title)}</p>" if stage in STAGES else ""
    error = f"<p class='failed'>{escape(str(report['error']))}</p>" if report.get("error") else ""
    raw = escape(json.dumps(report, indent=2, ensure_ascii=False))
    table = f"<table><tr>{_header()}</tr>{_row(report)}</table>"
    return _page(
        title, f"{about}{table}{error}{_rules(report)}<h2>Report</h2><pre>{raw}</pre><p><a href='.'>All runs</a></p>"
    )


def _page(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
    )


def _header() -> str:
    return "".join(f"<th{' class=n' if name in NUMERIC else ''}>{name}</th>" for name in COLUMNS)


def _row(report: Report) -> str:
    stage, status = str(report.get("stage", "")), str(report.get("status", "unknown"))
    link = "." + report_link(stage, report.get("day"), str(report.get("run", ""))).removeprefix("/pipeline")
    seconds = report.get("seconds")
    total = sum(seconds.values()) if isinstance(seconds, dict) else seconds
    cells = (
        f"<td><a href='{escape(link, quote=True)}'>{escape(stage)}</a></td>",
        f"<td class='{escape(status)}'>{escape(status.replace('_', ' '))}</td>",
        _number(report.get("rows_in")),
        _number(report.get("rows_out")),
        f"<td>{_reasons(report.get('reasons') or {})}</td>",
        f"<td>{_contract(report)}</td>",
        _number(report.get("images_per_second"), 1),
        _number(total, 1),
    )
    return f"<tr>{''.join(cells)}</tr>"


def _number(value: Any, digits: int = 0) -> str:
    return f"<td class=n>{value:,.{digits}f}</td>" if isinstance(value, int | float) else "<td class=n></td>"


def _reasons(reasons: dict[str, int]) -> str:
    total = max(sum(reasons.values()), 1)
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    return " ".join(
        f"<span class=reason><span class=bar style='width:{60 * count / total:.0f}px'></span>{escape(reason)} {count:,}</span>"
        for reason, count in ordered
    )


def _contract(report: Report) -> str:
    rules = report.get("rules") or []
    broken = report.get("broken") or []
    if broken:
        return f"<span class=broken>{len(broken)} broken: {escape(', '.join(str(rule.get('rule')) for rule in broken))}</span>"
    return f"<span class=held>{len(rules)} rules held</span>" if rules else ""


def _rules(report: Report) -> str:
    rows = "".join(
        f"<tr><td class=broken>{escape(str(rule.get('rule')))}</td>{_number(rule.get('rows'))}"
        f"<td>{escape(', '.join(map(str, rule.get('samples') or [])))}</td></tr>"
        for rule in report.get("broken") or []
    )
    return f"<h2>Broken rules</h2><table><tr><th>Rule<th class=n>Rows<th>Sample keys</tr>{rows}</table>" if rows else ""
