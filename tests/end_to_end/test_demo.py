"""The whole demo, as a user runs it, on HDFS (which starts every server there is)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from deploy.stack import Stack
from deploy.supervision import processes
from spark_jobs.pipeline import stages_of
from tests.deploy.listening import listening_addresses

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(7200)]

_LOOK_EVERY_S = 3.0
IMAGES_A_DAY = 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def addresses(home: Path) -> set[tuple[str, int]]:
    """Runs the demo; the addresses on which its processes listened meanwhile."""
    options = ("--lake", "hdfs", "--per-day", str(IMAGES_A_DAY), "--report", str(home / "report"))
    command = [sys.executable, "-m", "deploy.demo", *options]
    demo = subprocess.Popen(command, env={**os.environ, "PIPELINE_HOME": str(home)})
    seen: set[tuple[str, int]] = set()
    while demo.poll() is None:
        seen |= listening_addresses(processes(Stack(home=home / "demo")))
        try:
            demo.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
    assert demo.returncode == 0
    return seen


def test_nothing_listened_on_another_address_than_127_0_0_1(addresses: set[tuple[str, int]]) -> None:
    assert len(addresses) >= 11
    assert {address for address, _ in addresses} == {"127.0.0.1"}


def test_nothing_is_left_running(addresses: set[tuple[str, int]], home: Path) -> None:
    assert processes(Stack(home=home / "demo")) == []


def test_the_service_has_searched_among_all_codes(addresses: set[tuple[str, int]], home: Path) -> None:
    report = json.loads((home / "report" / "report.json").read_text())
    assert report["search"]["items"] > IMAGES_A_DAY
    assert 0 < report["search"]["p50_ms"] <= report["search"]["p99_ms"]


def test_every_image_of_the_catalogue_is_accounted_for(addresses: set[tuple[str, int]], home: Path) -> None:
    lines = (home / "demo" / "catalogue" / "manifest.jsonl").read_text().splitlines()
    loaded = Counter(json.loads(line)["day"] for line in lines)
    rows = json.loads((home / "report" / "report.json").read_text())["rows"]
    for stage in stages_of("image_pipeline")[:3]:
        assert rows[stage.name] == loaded


def test_both_reports_are_scored_and_written_as_files(addresses: set[tuple[str, int]], home: Path) -> None:
    report = json.loads((home / "report" / "report.json").read_text())
    for name in ("price_monitoring", "copyright"):
        score = report[name]
        assert score["cases"] > 10 and score["precision"] > 0.9 and score["recall"] > 0.7, score
        assert score["false_alarms_per_1000"] == round(1000 * (1 - score["precision"]), 1)
        assert set(score["others"]) == {"sha256", "phash", "title"}
    for name in ("price_monitoring", "picture_copyright"):
        lines = (home / "demo" / "exports" / f"{name}.csv").read_text("utf-8-sig").splitlines()
        assert len(lines) > 10 and lines[0].startswith("day,key,crop,")
