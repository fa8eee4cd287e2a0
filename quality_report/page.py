"""The report as one HTML page: figures first, then the pictures behind them. It has no script and needs no other
file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from data_contracts.reasons import REASONS, Reason
from quality_report import parts
from quality_report.figures import HBASE, day_of, days_of, elapsed_seconds
from quality_report.sheets import SHEETS, Sheets
from spark_jobs.pipeline import ALL_DAYS, IMAGE_PIPELINE, STAGES, stages_of
from spark_jobs.run_reports.durations import total_seconds
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.running.auditing import load_contract

STYLE = Path(__file__).with_name("report.css")
_METHODS = {
    "deepbit": "DeepBit, verified",
    "crop_bits": "its bits of the crop alone",
    "whole_bits": "its bits of the whole image alone",
    "itq": "ITQ",
    "random_projection": "random projection",
    "phash": "pHash 64",
    "phash_256": "pHash 256",
}
_MEASURES = (
    ("precision", "Precision of pairs", 3, max),
    ("promised_precision", "the same, as the calibration promised it", 3, None),
    ("recall", "Recall of pairs", 3, max),
    ("promised_recall", "the same, as the calibration promised it", 3, None),
    ("false_merges", "Groups of different things", 0, min),
    ("look_alikes_grouped", "Look-alikes in one group", 3, min),
    ("recall_at_10", "Recall in the 10 nearest", 3, max),
    ("map", "Retrieval mAP", 3, max),
    ("entropy_mean", "Entropy of a bit", 3, max),
    ("bits", "Bits", 0, None),
    ("repeatability", "Overlap (IoU) of a changed copy's crop with its picture's", 3, None),
)
_REPORTS = {"price_monitoring": "Price monitoring", "copyright": "Pictures under another name"}
_SIMPLE = {"sha256": "same file (SHA-256)", "phash": "pHash 64", "title": "same title"}
_OF_REPORTS = (
    ("Cases", "cases", 0),
    ("There are", "true_cases", 0),
    ("Precision", "precision", 3),
    ("Recall", "recall", 3),
    ("False alarms in 1,000", "false_alarms_per_1000", 1),
)
_SECTIONS = {
    "rows": "Rows",
    "speed": "Speed",
    "quality": "Scores",
    "reports": "Reports",
    **{anchor: title for anchor, title, _, _ in SHEETS},
}


@dataclass(frozen=True)
class Content:
    """What the page shows: the content of report.json, the run reports behind it, and the chosen images."""

    figures: Mapping[str, Any]
    reports: Sequence[PastRun]
    sheets: Sheets
    versions: Mapping[str, str]


def page(content: Content) -> str:
    """The page."""
    links = "".join(f"<a href='#{anchor}'>{escape(title)}</a>" for anchor, title in _SECTIONS.items())
    sheets = (parts.section(anchor, title, about, draw(content.sheets)) for anchor, title, about, draw in SHEETS)
    body = "".join([_rows(content), _speed(content), _quality(content.figures), _reports(content.figures), *sheets])
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Product images: what the pipeline made of "
        f"them</title><style>{STYLE.read_text('utf-8')}</style></head><body>"
        f"{_head(content)}<nav><div>{links}</div></nav><main>{body}</main>{_foot(content)}</body></html>"
    )


def _head(content: Content) -> str:
    figures, days = content.figures, days_of(content.reports)
    reasons = _last_reasons(content)
    images, used = sum(reasons.values()), reasons.get(Reason.OK, 0)
    detector, features, duplicates = (figures[name] for name in ("detector", "features", "duplicates"))
    seconds = elapsed_seconds(content.reports, IMAGE_PIPELINE)
    merges = f"{duplicates['false_merges']} groups of different things"
    codes = f"codes of {features['bits']} bits, entropy {features['entropy_mean']:.2f}"
    rate = f"five jobs, {len(days)} days, {images / max(seconds, 1e-9):.1f} images per second in all"
    tiles = (
        parts.tile(f"{images:,}", "Images", f"{used:,} used, {images - used:,} refused, each with its reason"),
        parts.tile(f"{detector['map50']:.3f}", "Detector, mAP at IoU 0.5", f"{len(detector['classes'])} classes"),
        parts.tile(f"{duplicates['precision']:.3f}", "Duplicates, precision", merges),
        parts.tile(f"{duplicates['recall']:.3f}", "Duplicates, recall", "of all pairs of copies that were planted"),
        parts.tile(f"{features['recall_at_10']:.3f}", "Search, recall in the 10 nearest", codes),
        parts.tile(f"{seconds:,.0f} s", "From HBase to codes", rate),
    )
    when = f"{days[0]} to {days[-1]}" if len(days) > 1 else "".join(days)
    warnings = "".join(f"<p class='warning'>{escape(said)}</p>" for said in figures["warnings"])
    return (
        f"<header><h1>What the pipeline made of the product images</h1><p>{escape(when)} · from HBase through "
        f"detection and "
        f"cropping to binary codes, groups of duplicates and a search index. The same numbers are in "
        f"<code>report.json</code> "
        f"beside this file.</p>{warnings}<div class='tiles'>{''.join(tiles)}</div></header>"
    )


def _last_reasons(content: Content) -> dict[str, int]:
    """Images by reason after the last stage of a day that has run."""
    stages = [stage.name for stage in stages_of(IMAGE_PIPELINE) if stage.name in content.figures["reasons"]]
    return dict(content.figures["reasons"][stages[-1]]) if stages else {}


def _rows(content: Content) -> str:
    days = days_of(content.reports)
    rows = content.figures["rows"]
    columns = [*days, ALL_DAYS]
    first: Mapping[str, int] = rows.get(HBASE) or next(iter(rows.values()), {})
    titles = {HBASE: "Rows of the HBase table"} | {name: stage.title for name, stage in STAGES.items()}
    body = (
        [
            parts.cell(f"{escape(titles[name])} <span class='quiet'>{escape(name)}</span>"),
            *(parts.number(by_day.get(day)) for day in columns),
            parts.cell(_verdict(name, by_day, first)),
        ]
        for name, by_day in rows.items()
    )
    reasons = _last_reasons(content)
    most = max(reasons.values(), default=1)
    ordered = sorted(reasons.items(), key=lambda item: (item[0] != Reason.OK, -item[1], item[0]))
    why = (
        [
            parts.cell(f"<b>{escape(name)}</b>"),
            parts.cell(escape(REASONS.get(name, ""))),
            parts.number(count),
            parts.cell(parts.bar(count / most, 180)),
        ]
        for name, count in ordered
    )
    classes = ["", *["n"] * len(columns)]
    return parts.section(
        "rows",
        "Every row accounted for",
        "A row that comes out of HBase goes through all five jobs. An image that cannot be used stays a row, with the "
        "reason why.",
        parts.table(["Stage", *days, "all days", ""], body, classes),
        "<h3>Reasons</h3>",
        parts.table(["Reason", "Meaning", "Images", ""], why, ["", "", "n"]),
    )


def _verdict(name: str, by_day: Mapping[str, int], first: Mapping[str, int]) -> str:
    """Whether no row of the table is missing, on each day or, for a stage over all days, in all; "" if not every image
    has a row."""
    contract = load_contract(STAGES[name]) if name in STAGES else None
    if by_day is first or (contract is not None and not contract.is_one_for_one):
        return ""
    if set(by_day) == {ALL_DAYS}:
        is_whole = by_day[ALL_DAYS] in (None, sum(first.values()))
    else:
        is_whole = all(by_day.get(day) == count for day, count in first.items())
    return "<span class='good'>all there</span>" if is_whole else "<span class='bad'>other rows than in HBase</span>"


def _speed(content: Content) -> str:
    days = days_of(content.reports)
    runs = {(report["stage"], day_of(report)): report for report in content.reports}
    stages = list(dict.fromkeys(stage for stage, _ in runs))
    fastest = max((report["images_per_second"] or 0 for report in content.reports), default=0) or 1
    longest = max(map(total_seconds, content.reports), default=1)
    body = (
        [
            parts.cell(escape(stage)),
            *(_rate(runs.get((stage, day)), fastest) for day in days),
            parts.number(content.figures["seconds"].get(stage), 1),
            parts.cell("".join(_bars(runs, stage, longest))),
        ]
        for stage in stages
    )
    return parts.section(
        "speed",
        "Speed",
        "Images per second while a stage computes and writes its rows; the bars show where each day's time went. "
        "Days run side by side and share the cores.",
        parts.legend(parts.PHASES),
        parts.table(
            ["Stage", *(f"{day}, images/s" for day in days), "seconds in all", "one bar per day"],
            body,
            ["", *[""] * len(days), "n"],
        ),
    )


def _rate(report: PastRun | None, fastest: float) -> str:
    rate = report["images_per_second"] if report else None
    return parts.cell("" if rate is None else f"{parts.bar(rate / fastest, 70)}{rate:,.0f}")


def _bars(runs: Mapping[tuple[str, str], PastRun], stage: str, longest: float) -> Iterator[str]:
    for (name, _), report in runs.items():
        if name == stage:
            yield f"<div style='min-width:220px;padding:1px 0'>{parts.phases(report['seconds'], longest)}</div>"


def _quality(figures: Mapping[str, Any]) -> str:
    promised = {f"promised_{name}": value for name, value in figures["promised"].items()}
    ours = {**figures["features"], **figures["duplicates"], **promised, "repeatability": figures["repeatability"]}
    scores = {"deepbit": ours, **figures["baselines"]}
    methods = [name for name in _METHODS if name in scores]
    return parts.section(
        "quality",
        "Scores against the truth",
        "Duplicates are planted with known changes. The threshold of DeepBit was chosen without looking at the truth, "
        "on changed "
        "copies of the catalogue's own pictures; the others get the distance that suits them best on this very truth.",
        parts.table(
            ["", *(_METHODS[name] for name in methods)], _measures(scores, methods), ["", *["n"] * len(methods)], True
        ),
        "<h3>Copies found in the group of their original, by what was done to them</h3>",
        parts.table(
            ["Change", *(_METHODS[name] for name in methods)],
            _changes(scores, methods),
            ["", *["heat"] * len(methods)],
            True,
        ),
        "<h3>Detector: average precision by class</h3>",
        _classes(figures["detector"]["classes"]),
    )


def _reports(figures: Mapping[str, Any]) -> str:
    """The scores of the two reports beside those of simple methods; a note if there is no truth about them."""
    tables = [
        f"<h3>{title}</h3>"
        + parts.table(["", *(name for name, *_ in _OF_REPORTS)], _report_rows(figures[report]), ["", *["n"] * 5])
        for report, title in _REPORTS.items()
        if report in figures
    ]
    return parts.section(
        "reports",
        "What the two reports are worth",
        "Against what was planted: shops that sell one product at their own prices, and shops that show pictures of "
        "others. The other lines show what the same rules would report if pictures were the same by file (SHA-256), by "
        "pHash or by title alone.",
        *(tables or ["<p>The truth file says nothing about shops and owners.</p>"]),
    )


def _report_rows(score: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, own in {"this pipeline": score, **score["others"]}.items():
        shown = own if own["cases"] else own | {"precision": None, "false_alarms_per_1000": None}
        cells = (parts.number(shown[key], digits) for _, key, digits in _OF_REPORTS)
        yield [parts.cell(escape(_SIMPLE.get(name, name))), *cells]


def _measures(scores: Mapping[str, Any], methods: Sequence[str]) -> Iterator[list[str]]:
    for key, title, digits, better in _MEASURES:
        values = [scores[method].get(key) for method in methods]
        if all(value is None for value in values):
            continue
        best = better(value for value in values if value is not None) if better and any(values) else None
        texts = ("" if value is None else f"{value:,.{digits}f}" for value in values)
        cells = [
            parts.cell(text, "n best" if value == best and value is not None else "n")
            for text, value in zip(texts, values, strict=True)
        ]
        yield [parts.cell(title), *cells]


def _changes(scores: Mapping[str, Any], methods: Sequence[str]) -> Iterator[list[str]]:
    for change in sorted({change for method in methods for change in scores[method].get("by_transform", {})}):
        values = (scores[method].get("by_transform", {}).get(change) for method in methods)
        yield [parts.cell(escape(change.replace("_", " "))), *map(parts.heat, values)]


def _classes(classes: Mapping[str, float]) -> str:
    ordered = sorted(classes.items(), key=lambda item: -item[1])
    rows = "".join(
        f"<div><span>{escape(name)}</span><span>{parts.bar(value, 100)}</span><span>{value:.2f}</span></div>"
        for name, value in ordered
    )
    return f"<div class='columns'>{rows}</div>"


def _foot(content: Content) -> str:
    versions = " · ".join(f"{escape(name)} <code>{escape(value)}</code>" for name, value in content.versions.items())
    return (
        f"<footer><p>{versions}</p><p>Look at the data itself: <code>make up PIPELINE_HOME=var/demo</code> starts the "
        f"servers on "
        "what this run left; then the page of the pipeline in Airflow, or <code>python -m spark_jobs.search "
        "KEY</code>.</p></footer>"
    )
