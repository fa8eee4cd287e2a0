"""Small charts of the days shown: what readers get, how fast it was computed, and how the codes drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from statistics import median

from dlcore_airflow.ui.layout import in_quotes
from spark_jobs.pipeline import ALL_DAYS, STAGES, UNDOING
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.run_reports.summary import RunSummary

WIDTH, HEIGHT, GAP, WIDEST = 300.0, 56.0, 0.25, 30.0
LEAST_DAYS = 2

OfDay = Mapping[str, PastRun]


def trends(readers: Mapping[str, OfDay]) -> str:
    """A section of charts, a bar per day; empty for fewer than two days.

    readers: day -> stage -> the run whose rows readers get.
    """
    days = sorted(day for day in readers if day != ALL_DAYS)
    if len(days) < LEAST_DAYS:
        return ""
    figures = [
        _figure(name, unit, {day: value(readers[day]) for day in days}, digits) for name, unit, value, digits in CHARTS
    ]
    return f"<section><h2>Trends</h2><div class=trends>{''.join(figures)}</div></section>"


def _figure(name: str, unit: str, values: Mapping[str, float | None], digits: int) -> str:
    known = [value for value in values.values() if value is not None]
    if not known:
        return ""
    last = next(value for value in reversed(list(values.values())) if value is not None)
    about = (
        ""
        if len(known) < LEAST_DAYS
        else f"median {median(known):,.{digits}f} · {min(known):,.{digits}f} to {max(known):,.{digits}f}"
    )
    return (
        f"<figure><figcaption>{name} <b>{last:,.{digits}f}{unit}</b><br><span class=quiet>{about}</span></figcaption>"
        f"{_bars(name, unit, values, max(*known, 1e-9), digits)}</figure>"
    )


def _bars(name: str, unit: str, values: Mapping[str, float | None], most: float, digits: int) -> str:
    step = min(WIDTH / len(values), WIDEST)
    bars = []
    for place, (day, value) in enumerate(values.items()):
        if value is None:
            continue
        height = max(HEIGHT * value / most, 1.0)
        title = f"{day}: {value:,.{digits}f}{unit}"
        bars.append(
            f"<a href='#day-{escape(day)}'><rect x='{place * step:.2f}' y='{HEIGHT - height:.2f}' "
            f"width='{step * (1 - GAP):.2f}' "
            f"height='{height:.2f}'><title>{escape(title)}</title></rect></a>"
        )
    label = in_quotes(f"{name}, {len(values)} days")
    return (
        f"<svg viewBox='0 0 {WIDTH:.0f} {HEIGHT:.0f}' preserveAspectRatio='none' role=img "
        f"aria-label={label}>{''.join(bars)}</svg>"
    )


def _in_order(of_day: OfDay) -> list[PastRun]:
    fresh = [of_day[stage] for stage in STAGES if stage in of_day]
    return [report for report in fresh if report.get("dag") != UNDOING]


def _summary(of_day: OfDay) -> RunSummary | None:
    reports = [of_day[stage] for stage in STAGES if stage in of_day]
    return RunSummary.of(reports) if reports else None


def _used(of_day: OfDay) -> float | None:
    found = _summary(of_day)
    return found.used if found else None


def _refused(of_day: OfDay) -> float | None:
    found = _summary(of_day)
    return 100 * found.refused / found.images if found and found.images and found.refused is not None else None


def _minutes(of_day: OfDay) -> float | None:
    reports = _in_order(of_day)
    return RunSummary.of(reports).seconds / 60 if reports else None


def _per_second(of_day: OfDay) -> float | None:
    reports = _in_order(of_day)
    return RunSummary.of(reports).per_second if reports else None


def _drift(of_day: OfDay) -> float | None:
    for report in of_day.values():
        bits = (report.get("extra") or {}).get("code_bits")
        if isinstance(bits, dict) and isinstance(bits.get("drift"), int | float):
            return float(bits["drift"])
    return None


CHARTS: tuple[tuple[str, str, Callable[[OfDay], float | None], int], ...] = (
    ("Images used", "", _used, 0),
    ("Refused", " %", _refused, 1),
    ("Images per second", "", _per_second, 2),
    ("Minutes", "", _minutes, 1),
    ("Drift of the codes", "", _drift, 4),
)
"""Name, unit, value of a day, digits."""
