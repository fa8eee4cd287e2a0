"""The page of one run report: its row, the broken rules with sample keys, and the report as it was written."""

from __future__ import annotations

import json
from html import escape

from dlcore_airflow.links import day_link, pictures_link
from dlcore_airflow.ui.layout import in_quotes, number, page
from dlcore_airflow.ui.runs import stages_table, warnings_of
from spark_jobs.pipeline import STAGES
from spark_jobs.run_reports.reading import PastRun


def report_page(report: PastRun) -> str:
    """The page of a report."""
    stage, day = str(report.get("stage", "")), report.get("day")
    title = f"{escape(stage)} · {escape(str(day or 'all days'))}"
    about = f"<p>{escape(STAGES[stage].title)}</p>" if stage in STAGES else ""
    error = f"<p class='failed'>{escape(str(report['error']))}</p>" if report.get("error") else ""
    warnings = "".join(f"<p class=warning>{escape(str(said))}</p>" for said in warnings_of(report))
    raw = escape(json.dumps(report, indent=2, ensure_ascii=False))
    return page(
        title,
        f"{about}<section>{stages_table([report])}{error}{warnings}</section>{_rules(report)}"
        f"<section><h2>Report</h2><pre>{raw}</pre></section><p>{' · '.join(_ways_on(day))}</p>",
    )


def _ways_on(day: str | None) -> list[str]:
    found = {"All runs": "."}
    if day:
        found[f"All of {day}"] = f"./{day_link(day).rpartition('/')[2]}"
        found["Its pictures"] = pictures_link(day)
    return [f"<a href={in_quotes(address)}>{escape(name)}</a>" for name, address in found.items() if address]


def _rules(report: PastRun) -> str:
    rows = "".join(
        f"<tr><td class=broken>{escape(str(rule.get('rule')))}</td>"
        f"<td>{escape(str(rule.get('meaning') or ''))}</td>{number(rule.get('rows'))}"
        f"<td>{escape(', '.join(map(str, rule.get('samples') or [])))}</td></tr>"
        for rule in report.get("broken") or []
    )
    header = "<tr><th>Rule<th>Requirement<th class=n>Rows<th>Sample keys</tr>"
    return f"<section><h2>Broken rules</h2><table>{header}{rows}</table></section>" if rows else ""
