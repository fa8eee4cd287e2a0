"""Run reports as Prometheus metrics, computed when they are asked for: they outlive restarts, and a lag grows though nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dlcore_airflow.run_reports import Report
from spark_jobs.pipeline import PUBLISHED, STAGES, stages_of

CHAIN = stages_of("image_pipeline")
Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def metrics_text(reports: Iterable[Report]) -> str:
    """Metrics in Prometheus' text format.

    reports: the newest of each stage and day. A gauge with the label `stage` is of that stage's last run, whatever its day.
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


def _last_runs(reports: Iterable[Report]) -> dict[str, Report]:
    """The last run of each stage."""
    last: dict[str, Report] = {}
    for report in sorted(reports, key=lambda report: str(report.get("started_at"))):
        last[report["stage"]] = report
    return last


def _of_stage(value: Callable[[Report], Any]) -> Callable[[Iterable[Report]], Iterator[Sample]]:
    """One sample per stage: a number of its last run, left out where that has none."""

    def samples(reports: Iterable[Report]) -> Iterator[Sample]:
        for stage, report in _last_runs(reports).items():
            found = value(report)
            if isinstance(found, int | float):
                yield {"stage": stage}, found

    return samples


def _extra(group: str, name: str) -> Callable[[Report], Any]:
    def found(report: Report) -> Any:
        values = (report.get("extra") or {}).get(group)
        return values.get(name) if isinstance(values, dict) else None

    return found


def _seconds(phase: str) -> Callable[[Report], Any]:
    return lambda report: (report.get("seconds") or {}).get(phase)


def _rows(reports: Iterable[Report]) -> Iterator[Sample]:
    for stage, report in _last_runs(reports).items():
        for reason, count in (report.get("reasons") or {}).items():
            yield {"stage": stage, "reason": str(reason)}, count


def _failed_partitions(reports: Iterable[Report]) -> Iterator[Sample]:
    known = list(reports)
    for stage in CHAIN:
        yield (
            {"stage": stage.name},
            sum(
                report["stage"] == stage.name and report.get("status") not in (*PUBLISHED, "running")
                for report in known
            ),
        )


def _newest_day(reports: Iterable[Report]) -> Iterator[Sample]:
    days = [
        str(report["day"])
        for report in reports
        if report["stage"] == CHAIN[-1].name and report.get("status") in PUBLISHED
    ]
    if days:
        end = datetime.fromisoformat(max(days)).replace(tzinfo=UTC) + timedelta(days=1)
        yield {}, end.timestamp()


FAMILIES: Mapping[str, tuple[str, Callable[[list[Report]], Iterable[Sample]]]] = {
    "images_per_second": ("Rows per second of computing and writing.", _of_stage(lambda run: run.get("images_per_second"))),
    "run_seconds": ("Seconds from start to end.", _of_stage(_seconds("total"))),
    "rows": ("Rows by reason; ok is used.", _rows),
    "broken_rules": ("Rules of the contract that did not hold.", _of_stage(lambda run: len(run.get("broken") or []))),
    "run_failed": ("1 when nothing was published.", _of_stage(lambda run: int(run.get("status") in ("failed", "broken_contract")))),
    "failed_partitions": ("Days of those looked at whose newest run published nothing.", _failed_partitions),
    "hbase_wait_seconds": ("Seconds that tasks waited for HBase, added up.", _of_stage(_extra("hbase", "wait_s"))),
    "hbase_read_bytes": ("Image bytes read from HBase.", _of_stage(_extra("hbase", "size_bytes"))),
    "code_bit_share_lowest": ("Share of ones of the bit that is one least often.", _of_stage(_extra("code_bits", "lowest_share"))),
    "code_bit_share_highest": ("Share of ones of the bit that is one most often.", _of_stage(_extra("code_bits", "highest_share"))),
    "code_drift": ("Mean difference of the bits' shares from the reference day.", _of_stage(_extra("code_bits", "drift"))),
    "newest_day_end_timestamp_seconds": ("End of the newest day whose codes are published.", _newest_day),
}  # fmt: skip
"""Metrics by name, without the prefix: what each is, and its samples."""
