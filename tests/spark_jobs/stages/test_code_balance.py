"""The balance of codes' bits, against numpy; the report of a day that cannot be compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spark_jobs.extract_features import Options, compared
from spark_jobs.pipeline import STAGES
from spark_jobs.running.command_line import Attempt
from spark_jobs.running.run_report import RunReport
from spark_jobs.running.runner import Job
from spark_jobs.settings import Settings
from spark_jobs.stages.code_balance import balance, bit_sums, drift

BITS = 128


def sums_of(bits: np.ndarray) -> dict[str, int]:
    return {"count": len(bits), **{f"bit_{number}": int(total) for number, total in enumerate(bits.sum(axis=0))}}


def test_shares_and_drift_are_those_of_the_bits() -> None:
    generator = np.random.default_rng(7)
    first, second = generator.random((300, BITS)) < 0.5, generator.random((200, BITS)) < np.linspace(0, 1, BITS)
    found, reference = balance(sums_of(second)), balance(sums_of(first))
    assert set(bit_sums(BITS)) == set(sums_of(first))
    assert (found["lowest_share"], found["highest_share"]) == (0.0, 1.0)
    assert drift(found, reference) == pytest.approx(np.abs(second.mean(axis=0) - first.mean(axis=0)).mean(), abs=1e-4)
    assert drift(found, found) == 0.0


def test_chance_alone_drifts_as_the_docstring_says() -> None:
    generator = np.random.default_rng(8)
    days = [balance(sums_of(generator.random((400, BITS)) < 0.5)) for _ in range(2)]
    assert drift(days[0], days[1]) == pytest.approx(0.56 / np.sqrt(400), rel=0.2)


def test_a_day_without_codes_has_no_shares() -> None:
    empty = balance(dict.fromkeys(bit_sums(BITS), None))
    assert empty == {"count": 0, "ones": [0] * BITS}
    assert drift(empty, empty) is None
    longer = balance(sums_of(np.ones((3, 2 * BITS), np.int64)))
    assert longer["ones"] == [3] * 2 * BITS
    with pytest.raises(ValueError, match="shorter"):
        drift(longer, balance(sums_of(np.ones((3, BITS), np.int64))))


def report_of(day: str, **values: Any) -> RunReport:
    values = {"run": "r", "dag": "image_pipeline", "codes": "", "status": "published", **values}
    return RunReport("extract_features", attempt=1, day=day, dataset="features", **values)


def job_of(tmp_path: Path, day: str) -> Job[Options]:
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path)})
    return Job(None, STAGES["extract_features"], settings, Attempt("r", day), Options(), None, report_of(day))


def test_no_report_of_another_day_spoils_the_codes_of_this_one(tmp_path: Path) -> None:
    sums = sums_of(np.eye(BITS, dtype=np.int64))
    alone, job = balance(sums), job_of(tmp_path, "2026-11-02")
    assert compared(job, sums) == alone
    written = report_of("2026-11-01", extra={"code_bits": alone}).write(job.settings.reports)
    assert compared(job, sums) == alone | {"drift": 0.0, "reference_day": "2026-11-01"}
    report_of("2026-11-01", extra={"code_bits": {"count": 3, "ones": [1]}}).write(job.settings.reports)
    assert compared(job, sums) == alone
    assert [warning[:45] for warning in job.record.warnings] == ["the codes' bits were not compared with day 20"]
    Path(written.removeprefix("file://")).write_text("")
    assert compared(job, sums) == alone


@pytest.mark.parametrize(
    ("later", "drifts"),
    [
        ({"status": "already_published"}, [1.0]),
        ({"status": "failed"}, [0.0]),
        ({"dag": "feature_extraction", "codes": "v2"}, [0.0]),
        ({"status": "empty", "extra": {}}, []),
        ({"dag": "restore_day", "extra": {}}, []),
    ],
)
def test_a_day_is_compared_with_what_was_published_last(
    tmp_path: Path, later: dict[str, Any], drifts: list[float]
) -> None:
    nothing, everything = (sums_of(np.full((3, BITS), bit)) for bit in (0, 1))
    job = job_of(tmp_path, "2026-11-02")
    first = {"started_at": "2026-11-02T01", "extra": {"code_bits": balance(nothing)}}
    second = {"started_at": "2026-11-02T02", "extra": {"code_bits": balance(everything)}, "run": "later"}
    for values in (first, second | later):
        report_of("2026-11-01", **values).write(job.settings.reports)
    found = compared(job, nothing)
    assert [found[name] for name in ("drift",) if name in found] == drifts
    assert job.record.warnings == []


class Unwritable(RunReport):
    """A report whose text no file takes."""

    def to_json(self) -> str:
        """Half of a surrogate pair, which UTF-8 has not."""
        return "\ud800"


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    first = report_of("2026-11-01", snapshot=7, rows_out=5)
    path = Path(first.write(f"file://{tmp_path}").removeprefix("file://"))
    before = path.read_text()
    with pytest.raises(UnicodeEncodeError):
        Unwritable("extract_features", "r", 2, "2026-11-01").write(f"file://{tmp_path}")
    assert path.read_text() == before
    later = report_of("2026-11-01")
    assert later.take_over(f"file://{tmp_path}", 7) and later.rows_out == 5
    later.write(f"file://{tmp_path}")
    assert path.read_text() == later.to_json() + "\n" and list(path.parent.glob("*.json")) == [path]
    path.write_text("")
    assert not report_of("2026-11-01").take_over(f"file://{tmp_path}", 7)
