"""Run reports as Prometheus metrics, computed when Prometheus asks: they outlive restarts, and a lag grows even if
nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from spark_jobs.pipeline import DAY_CHECK, IMAGE_PIPELINE, NOTHING_YET, PUBLISHED, REFUSED, STAGES, stages_of
from spark_jobs.run_reports.reading import PastRun

CHAIN = stages_of(IMAGE_PIPELINE)
(CHECK,) = (stage.name for stage in stages_of(DAY_CHECK))
UNPUBLISHED = ("failed", REFUSED, "broken_contract")
Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def metrics_text(reports: Iterable[PastRun]) -> str:
    """Metrics in Prometheus' text format.

    reports: the newest of each stage and day. A gauge with the label `stage` describes that stage's last run, whatever
    its day.
    """
    known = [report for report in reports if report.get("stage") in STAGES]
    return "".join(_family(name, meaning, samples(known)) for name, (meaning, samples) in FAMILIES.items())


def _family(name: str, meaning: str, samples: Iterable[Sample]) -> str:
    lines = [f"pipeline_{name}{_labels(labels)} {float(value):.10g}" for labels, value in samples]
    return "\n".join([f"# HELP pipeline_{name} {meaning}", f"# TYPE pipeline_{name} gauge", *lines, ""])


def _labels(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _last_runs(reports: Iterable[PastRun]) -> dict[str, PastRun]:
    """The last run of each stage."""
    last: dict[str, PastRun] = {}
    for report in sorted(reports, key=lambda report: str(report.get("started_at"))):
        last[report["stage"]] = report
    return last


def _of_stage(value: Callable[[PastRun], Any]) -> Callable[[Iterable[PastRun]], Iterator[Sample]]:
    """One sample per stage: a number from its last run, left out if that has none."""

    def samples(reports: Iterable[PastRun]) -> Iterator[Sample]:
        for stage, report in _last_runs(reports).items():
            found = value(report)
            if isinstance(found, int | float):
                yield {"stage": stage}, found

    return samples


def _extra(group: str, name: str) -> Callable[[PastRun], Any]:
    def found(report: PastRun) -> Any:
        values = (report.get("extra") or {}).get(group)
        return values.get(name) if isinstance(values, dict) else None

    return found


def _seconds(phase: str) -> Callable[[PastRun], Any]:
    return lambda report: (report.get("seconds") or {}).get(phase)


def _rows(reports: Iterable[PastRun]) -> Iterator[Sample]:
    for stage, report in _last_runs(reports).items():
        for reason, count in (report.get("reasons") or {}).items():
            yield {"stage": stage, "reason": str(reason)}, count


def _broken_rules(reports: Iterable[PastRun]) -> Iterator[Sample]:
    """Broken rules in every day's newest run: a day that went well does not mend another."""
    broken: dict[str, int] = {}
    for report in reports:
        broken[report["stage"]] = broken.get(report["stage"], 0) + len(report.get("broken") or [])
    for stage, rules in broken.items():
        yield {"stage": stage}, rules


def _failed_partitions(reports: Iterable[PastRun]) -> Iterator[Sample]:
    known = list(reports)
    for stage in CHAIN:
        yield (
            {"stage": stage.name},
            sum(
                report["stage"] == stage.name and report.get("status") not in (*PUBLISHED, "running", NOTHING_YET)
                for report in known
            ),
        )


def _newest_day(reports: Iterable[PastRun]) -> Iterator[Sample]:
    days = [
        str(report["day"])
        for report in reports
        if report["stage"] == CHAIN[-1].name and report.get("status") in PUBLISHED
    ]
    if days:
        end = datetime.fromisoformat(max(days)).replace(tzinfo=UTC) + timedelta(days=1)
        yield {}, end.timestamp()


def _missing_days(reports: Iterable[PastRun]) -> Iterator[Sample]:
    found = _extra_of_check(reports, "missing_days")
    if found is not None:
        yield {}, len(found)


def _late_images(reports: Iterable[PastRun]) -> Iterator[Sample]:
    found = _extra_of_check(reports, "late_images")
    if found is not None:
        yield {}, sum(found.values())


def _extra_of_check(reports: Iterable[PastRun], name: str) -> Any:
    """What the last successful run of `check_days` noted; None if there is none."""
    good = [run for run in reports if run["stage"] == CHECK and run.get("status") in PUBLISHED]
    return (_last_runs(good).get(CHECK, {}).get("extra") or {}).get(name)


FAMILIES: Mapping[str, tuple[str, Callable[[list[PastRun]], Iterable[Sample]]]] = {
    "images_per_second": ("Rows computed and written per second.",
    _of_stage(lambda run: run.get("images_per_second"))),
    "run_seconds": ("Seconds from start to end.", _of_stage(_seconds("total"))),
    "rows": ("Rows by reason; ok means used.", _rows),
    "broken_rules": ("Rules of the contract broken by the newest runs of the days covered.", _broken_rules),
    "run_broken": ("1 if the last run broke its contract.",
    _of_stage(lambda run: int(run.get("status") == "broken_contract"))),
    "run_failed": ("1 if the last run published nothing.",
    _of_stage(lambda run: int(run.get("status") in UNPUBLISHED))),
    "failed_partitions": ("Days, of those covered, whose newest run published nothing.", _failed_partitions),
    "hbase_wait_seconds": ("Seconds that all tasks together waited for HBase.", _of_stage(_extra("hbase", "wait_s"))),
    "hbase_read_bytes": ("Image bytes read from HBase.", _of_stage(_extra("hbase", "size_bytes"))),
    "code_bit_share_lowest": ("Share of ones of the bit that is least often one.",
    _of_stage(_extra("code_bits", "lowest_share"))),
    "code_bit_share_highest": ("Share of ones of the bit that is most often one.",
    _of_stage(_extra("code_bits", "highest_share"))),
    "code_drift": ("Mean difference of the bits' shares of ones from those of the reference day.",
    _of_stage(_extra("code_bits", "drift"))),
    "newest_day_end_timestamp_seconds": ("End of the newest day whose codes are published.", _newest_day),
    "missing_days": ("Days without published codes between the first and the newest day with codes.",
    _missing_days),
    "late_images": ("Images in HBase that came after the run of their day, among the days covered.", _late_images),
}  # fmt: skip
"""Metrics by name, without the prefix: the meaning of each, and its samples."""
