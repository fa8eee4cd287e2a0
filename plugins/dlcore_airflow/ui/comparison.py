"""Compare two runs side by side: what each stage counted, how long it took, and with which code and models."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from dlcore_airflow.ui.layout import page, table
from spark_jobs.pipeline import STAGES
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.run_reports.summary import name_of, seconds_of

OfStages = Mapping[str, PastRun]
Values = dict[str, Any]


def comparison_page(first: OfStages, second: OfStages) -> str:
    """The page of two runs, each as stage -> report; each has at least one report."""
    heads = [_head(letter, run) for letter, run in (("A", first), ("B", second))]
    sections = "".join(
        _stage(stage, first.get(stage), second.get(stage)) for stage in STAGES if stage in (*first, *second)
    )
    return page("Two runs compared", f"<section>{''.join(heads)}</section>{sections}<p><a href='.'>All runs</a></p>")


def _head(letter: str, run: OfStages) -> str:
    report = next(iter(run.values()))
    began = min(str(report.get("started_at") or "") for report in run.values())[:16].replace("T", " ")
    trial = " <span class=mark>a trial</span>" if report.get("trial") else ""
    about = f"{escape(str(report.get('day') or 'all days'))} · {escape(began)} UTC"
    return f"<p><b>{letter}</b> {escape(name_of(str(report.get('run'))))}{trial} <span class=quiet>{about}</span></p>"


def values_of(report: PastRun | None) -> Values:
    """The compared values of a stage, name -> value, in the order in which they are shown."""
    if report is None:
        return {}
    reasons = report.get("reasons") or {}
    versions, artefacts = report.get("versions") or {}, (report.get("extra") or {}).get("artefacts") or {}
    found: Values = {
        "result": str(report.get("status", "")).replace("_", " "),
        "in": report.get("rows_in"),
        "out": report.get("rows_out"),
        **{
            f"reason {reason}": count
            for reason, count in sorted(reasons.items(), key=lambda item: (item[0] != "ok", item[0]))
        },
        "images/s": report.get("images_per_second"),
        "seconds": seconds_of(report),
        "bytes": report.get("size_bytes"),
        "rules broken": ", ".join(str(rule.get("rule")) for rule in report.get("broken") or []) or None,
        **{f"model {name.partition('@')[0]}": str(version)[:12] for name, version in artefacts.items()},
        "code": str(versions["code"])[:12] if versions.get("code") else None,
        "error": str(report["error"]).partition("\n")[0] if report.get("error") else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _stage(stage: str, first: PastRun | None, second: PastRun | None) -> str:
    ours, theirs = values_of(first), values_of(second)
    names = list(dict.fromkeys((*ours, *theirs)))
    rows = [_row(name, ours.get(name), theirs.get(name)) for name in names]
    headings = ("<th>", "<th class=n>A", "<th class=n>B", "<th class=n>B against A")
    missing = "".join(
        f" <span class=quiet>no report of {letter}</span>" for letter, run in (("A", first), ("B", second)) if not run
    )
    return f"<section><h2>{escape(stage)}</h2>{missing}{table(headings, rows, 'compared')}</section>"


def _row(name: str, ours: Any, theirs: Any) -> str:
    mark = "" if ours == theirs else " class=differs"
    return f"<tr{mark}><td>{escape(name)}{_cell(ours)}{_cell(theirs)}<td class=n>{_difference(ours, theirs)}</tr>"


def _cell(value: Any) -> str:
    if isinstance(value, int | float):
        return f"<td class=n>{value:,.{0 if isinstance(value, int) else 1}f}"
    return f"<td class=n>{escape(str(value)) if value is not None else ''}"


def _difference(ours: Any, theirs: Any) -> str:
    if not (isinstance(ours, int | float) and isinstance(theirs, int | float)):
        return "" if ours == theirs or ours is None or theirs is None else "other"
    if ours == theirs:
        return "same"
    digits = 0 if isinstance(ours, int) and isinstance(theirs, int) else 1
    share = f" ({100 * (theirs - ours) / ours:+,.1f} %)" if ours else ""
    return f"{theirs - ours:+,.{digits}f}{share}"
