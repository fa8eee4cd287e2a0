"""A run report as people read it in a terminal: a line of what became of the attempt, its warnings, what the job
noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spark_jobs.running.run_report import RunReport

_LISTED = 5


def in_words(report: RunReport) -> Iterator[str]:
    """The lines of a report.

    >>> report = RunReport("read_images", "mine", 1, "2026-11-02", status="published", rows_out=6)
    >>> report.reasons, report.seconds, report.extra = {"ok": 5, "empty": 1}, {"total": 12.34}, {"codes": {"bits": 128}}
    >>> print("\\n".join(in_words(report)))
    read_images, day 2026-11-02, run mine: published, 6 rows (5 ok, 1 empty), 12.3 s
    codes: bits 128
    """
    place = [report.stage, f"run {report.run}"]
    if report.day:
        place.insert(1, f"day {report.day}")
    if report.trial:
        place.append("a trial")
    yield f"{', '.join(place)}: {', '.join(_outcome(report))}"
    yield from (f"warning: {warning}" for warning in report.warnings)
    for name, value in report.extra.items():
        yield from _noted(name, value)


def _outcome(report: RunReport) -> Iterator[str]:
    error = (report.error or "").partition("\n")[0]  # Spark's go on with Java's stack, which the log has
    yield report.status.replace("_", " ") + (f": {error}" if error else "")
    if report.rows_out is not None:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.reasons.items())
        yield f"{report.rows_out:,} rows" + (f" ({reasons})" if reasons else "")
    if "total" in report.seconds:
        yield f"{report.seconds['total']:.1f} s"


def _noted(name: str, value: Any) -> Iterator[str]:
    """What a job has noted under a name: one line, or one for each part that has parts itself."""
    if not isinstance(value, Mapping):
        yield f"{name}: {_short(value)}"
        return
    plain = {part: held for part, held in value.items() if not isinstance(held, Mapping)}
    if plain:
        yield f"{name}: {', '.join(f'{part} {_short(held)}' for part, held in plain.items())}"
    for part, held in value.items():
        if isinstance(held, Mapping):
            yield from _noted(f"{name} {part}", held)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED else ""
        return f"{', '.join(map(_short, value[:_LISTED])) or 'none'}{more}"
    return str(value)
