"""The cost sheet of a backfill: its numbers from hand-made run reports whose answers are known."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deploy.stack import Stack
from spark_jobs.estimate_backfill import Past, days_between, estimate, main
from spark_jobs.hbase.scan import Gateways
from spark_jobs.hbase.table import ensure_table
from spark_jobs.pipeline import EXIT_MISTAKE, report_uri, stages_of
from spark_jobs.settings import Settings

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STAGES = stages_of("image_pipeline")


def reports_of(day: str, images: int, start: datetime, status: str = "published") -> list[dict[str, Any]]:
    """Five stages one after another, each 10 s long, 8 of them for computing."""
    return [
        {
            "stage": stage.name, "day": day, "run": day, "dag": "image_pipeline", "status": status,
            "dataset": stage.writes, "rows_out": images,
            "size_bytes": images * 1000, "seconds": {"stage": 8.0, "audit": 2.0, "total": 10.0},
            "started_at": (start + timedelta(seconds=10 * place)).isoformat(),
            "extra": {"hbase": {"size_bytes": images * 5000, "wait_s": 0.1}} if place == 0 else {},
        }
        for place, stage in enumerate(STAGES)
    ]  # fmt: skip


def test_days_and_images_have_their_own_part_of_the_time() -> None:
    one_after_another = [
        *reports_of("2026-11-01", 100, NOON),
        *reports_of("2026-11-02", 300, NOON + timedelta(hours=1)),
    ]
    past = Past.of(one_after_another)
    assert (past.images, past.day_seconds, past.image_seconds) == (400, pytest.approx(20.0), pytest.approx(80.0))
    found = estimate(past, days=10, images=40_000)
    assert found.hours == pytest.approx((10 * 10 + 40_000 * 0.2) / 3600)
    assert found.read_bytes == 40_000 * 5000
    assert found.written_bytes == {stage.writes: 40_000 * 1000 for stage in STAGES}


def test_days_that_ran_side_by_side_are_not_counted_twice() -> None:
    past = Past.of([*reports_of("2026-11-01", 100, NOON), *reports_of("2026-11-02", 300, NOON)])
    assert (past.day_seconds, past.image_seconds) == (pytest.approx(10.0), pytest.approx(40.0))


def test_a_day_that_is_not_whole_or_was_not_computed_says_nothing() -> None:
    whole = reports_of("2026-11-01", 100, NOON)
    half, repeated = reports_of("2026-11-02", 900, NOON)[:3], reports_of("2026-11-03", 9, NOON, "already_published")
    assert Past.of([*whole, *half, *repeated]) == Past.of(whole)
    with pytest.raises(ValueError, match="run a day first"):
        Past.of(half)


def test_days_include_both_ends() -> None:
    assert len(days_between(date(2024, 2, 28), date(2024, 3, 1))) == 3
    with pytest.raises(ValueError, match="expected the same day or a later one"):
        days_between(date(2024, 3, 1), date(2024, 2, 28))


@pytest.mark.services
def test_a_backfill_of_no_images_is_no_cost_sheet(
    hbase: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        **hbase.environment(),
        "PIPELINE_REPORTS": str(tmp_path),
        "PIPELINE_HBASE_TABLE": "none",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    gateways = Gateways(settings.gateways())
    ensure_table(gateways, settings.hbase_table, 2, settings.hbase_command)
    gateways.close()
    for report in reports_of("2026-11-01", 100, NOON):
        path = Path(report_uri(str(tmp_path), report["stage"], report["day"], report["run"]))
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(report))
    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, ["--from", "2016-01-01", "--to", "2026-10-31"])
    assert (done.exit_code, "none has no image from 2016-01-01 to 2026-10-31" in done.output) == (EXIT_MISTAKE, True)


def test_the_command_says_where_its_numbers_are_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("PIPELINE_HBASE_GATEWAYS", "127.0.0.1:1")
    app = typer.Typer()
    app.command()(main)

    def ask(*arguments: str) -> Any:
        return CliRunner().invoke(app, arguments)

    missing = ask("--from", "2026-11-01", "--to", "2026-11-05", "--no-count")
    assert (missing.exit_code, "no past day" in missing.output) == (EXIT_MISTAKE, True)
    for report in reports_of("2026-11-01", 100, NOON):
        path = Path(report_uri(str(tmp_path / "reports"), report["stage"], report["day"], report["run"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report))
        later = path.with_name("restore.json")  # took rows that others had computed, which is quicker
        later.write_text(
            json.dumps(report | {"dag": "restore_day", "started_at": "2026-11-25T00:00:00+00:00", "seconds": {}})
        )
        path.with_name("killed.json").touch()
    sheet = ask("--from", "2026-11-01", "--to", "2026-11-05", "--no-count", "--cores", "8").output
    for words in ("5, 1 of them published already", "500 (mean of 1 past day, not counted)", "0.56 at 8 cores"):
        assert words in sheet
    assert "2.5 MB: raw_images 500.0 KB" in sheet and "from HBase   2.5 MB" in sheet
    told = json.loads(ask("--from", "2026-11-01", "--to", "2026-11-05", "--no-count", "--json").output)
    assert (told["days"], told["images"], told["read_bytes"]) == (5, 500, 2_500_000)
    counted = ask("--from", "2026-11-01", "--to", "2026-11-05")
    assert counted.exit_code == 1 and "--no-count" in counted.output
