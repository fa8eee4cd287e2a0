"""The pipeline's page: it shows run reports and nothing else that lies on the disk."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from dlcore_airflow.ui.actions import undo_page
from dlcore_airflow.ui.comparison import comparison_page
from dlcore_airflow.ui.metrics import metrics_text
from dlcore_airflow.ui.page import Asked, Offers, overview_page
from dlcore_airflow.ui.table import runs_table, sorted_runs
from dlcore_airflow.ui.under_way import under_way

from spark_jobs.run_reports.reading import for_readers
from spark_jobs.run_reports.summary import RunSummary
from tests.plugins.airflow_process import answer

ASK = """
import json, sys
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from dlcore_airflow.ui.app import app
from dlcore_airflow.ui.visitors import PageWithoutSlash
from fastapi import FastAPI
from fastapi.testclient import TestClient
paths = json.loads(sys.argv[1])
stranger = [TestClient(app, raise_server_exceptions=False).get(path).status_code for path in paths]
scraped = [
    TestClient(app, raise_server_exceptions=False).get(path, headers={"Authorization": f"Bearer {token}"}).status_code
    for path in ("/metrics", "/") for token in ("right", "wrong")
]
root = FastAPI()
root.mount("/pipeline", app)
root.get("/{rest:path}")(lambda rest: "Airflow's own")
root.add_middleware(PageWithoutSlash)
browser = TestClient(root, follow_redirects=False, headers={"Accept": "text/html"})
led = [
    (answer.status_code, answer.headers.get("location"))
    for answer in map(browser.get, ("/pipeline", "/pipeline?days=3", "/pipeline/report?stage=crop_objects&run=r", "/other"))
]
create_auth_manager()
app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="vera", role="viewer")
answers = [TestClient(app).get(path) for path in paths]
metrics, of_last_day = [
    TestClient(app).get(path, headers={"Authorization": "Bearer right"}).text for path in ("/metrics", "/metrics?days=1")
]
texts = [answer.text for answer in answers]
policy = answers[0].headers["content-security-policy"]
print(json.dumps([policy, led, scraped, [metrics, of_last_day], stranger, [answer.status_code for answer in answers], texts]))
"""

pytestmark = pytest.mark.airflow


REPORTS = [
    {
        "stage": "crop_objects", "day": "2026-11-02", "run": "run", "error": "<b>spoilt</b>", "status": "failed",
        "rows_in": 1234, "reasons": {"blank": 34, "ok": 1200}, "seconds": {"stage": 2.0, "total": 3.5},
        "warnings": ["fewer than <i>usual</i>"],
        "started_at": "2026-11-03T01:00:00+00:00",
    },
    {
        "stage": "extract_features", "day": "2026-11-01", "run": "run", "status": "published", "reasons": {"ok": 7},
        "images_per_second": 12.5, "started_at": "2026-11-02T01:00:00+00:00", "broken": [],
        "extra": {"code_bits": {"count": 7, "lowest_share": 0.25, "highest_share": 0.75, "drift": 0.0125}},
    },
    {
        "stage": "read_images", "day": "2026-11-02", "run": "run", "status": "broken_contract",
        "broken": [{"rule": "x"}],
        "started_at": "2026-11-03T00:00:00+00:00", "extra": {"hbase": {"wait_s": 1.5, "size_bytes": 9}},
    },
    {"stage": "build_index", "day": None, "run": "run", "status": "published", "extra": {"code_bits": 600}},
]  # fmt: skip
METRICS = """
pipeline_images_per_second{stage="extract_features"} 12.5
pipeline_run_seconds{stage="crop_objects"} 3.5
pipeline_rows{stage="crop_objects",reason="blank"} 34
pipeline_broken_rules{stage="read_images"} 1
pipeline_broken_rules{stage="extract_features"} 0
pipeline_run_broken{stage="read_images"} 1
pipeline_run_broken{stage="extract_features"} 0
pipeline_run_failed{stage="crop_objects"} 1
pipeline_run_failed{stage="extract_features"} 0
pipeline_failed_partitions{stage="read_images"} 1
pipeline_failed_partitions{stage="extract_features"} 0
pipeline_hbase_wait_seconds{stage="read_images"} 1.5
pipeline_code_bit_share_lowest{stage="extract_features"} 0.25
pipeline_code_drift{stage="extract_features"} 0.0125
pipeline_newest_day_end_timestamp_seconds 1793577600
"""
"""Among those of the reports above; the timestamp is 2026-11-02T00:00Z, by GNU date."""


def test_another_days_success_does_not_hide_a_broken_contract():
    broken, *_ = [report for report in REPORTS if report["status"] == "broken_contract"]
    later = broken | {
        "day": "2026-11-03",
        "status": "published",
        "broken": [],
        "started_at": "2026-11-04T00:00:00+00:00",
    }
    text = metrics_text([broken, later])
    assert 'pipeline_broken_rules{stage="read_images"} 1\n' in text
    assert 'pipeline_run_broken{stage="read_images"} 0\n' in text  # so that it hides no failure of the last run
    assert 'pipeline_broken_rules{stage="read_images"} 0\n' in metrics_text([later])


def test_a_refused_stage_has_published_nothing_either():
    report = {
        "stage": "read_images",
        "day": "2026-11-02",
        "status": "refused",
        "started_at": "2026-11-03T00:00:00+00:00",
    }
    assert 'pipeline_run_failed{stage="read_images"} 1\n' in metrics_text([report])


def test_nothing_to_read_yet_is_no_failure():
    report = {
        "stage": "read_images",
        "day": "2026-11-02",
        "status": "nothing_yet",
        "started_at": "2026-11-03T00:00:00+00:00",
    }
    text = metrics_text([report])
    assert 'pipeline_failed_partitions{stage="read_images"} 0\n' in text
    assert 'pipeline_run_failed{stage="read_images"} 0\n' in text


def written_reports(folder):
    """REPORTS as files below a folder, with others that no page may show."""
    reports = folder / "reports"
    for report in REPORTS:
        written = reports / str(report["day"] or "all_days") / str(report["stage"]) / "run.json"
        written.parent.mkdir(parents=True)
        written.write_text(json.dumps(report))
    codes = reports / "2026-11-01" / "extract_features"
    (codes / "killed.json").touch()
    (codes / "v2.json").write_text(json.dumps(REPORTS[1] | {"codes": "v2", "status": "failed"}))
    behind = reports / "2026-10-01" / "extract_features" / "run.json"
    behind.parent.mkdir(parents=True)
    behind.write_text(json.dumps(REPORTS[1] | {"day": "2026-10-01", "started_at": "2026-10-02T01:00:00+00:00"}))
    (folder / "secrets").mkdir()
    (folder / "secrets" / "secrets.json").write_text(json.dumps({"connect_token": "not for your eyes"}))
    return reports


ANSWERS = {
    "/": 200,
    "/report?stage=crop_objects&day=2026-11-02&run=run": 200,
    "/report?stage=crop_objects&day=2026-11-02&run=other": 404,
    "/report?stage=secrets&day=..&run=secrets": 422,
    "/report?stage=.&day=../secrets&run=secrets": 422,
    "/report?stage=../secrets&day=2026-11-02/..&run=secrets": 422,
    "/metrics": 401,
    "/reports.csv?stage=crop_objects": 200,
    "/?stage=crop_objects&result=failed": 200,
    "/?until=2026-11-01&days=1": 200,
    "/?until=x": 422,
    "/?until=2026-11-31": 422,
    "/?view=table&sort=-images": 200,
    "/?view=table&sort=secrets": 422,
    "/compare?run=2026-11-01/run&run=2026-11-02/run": 200,
    "/compare?run=2026-11-01/run": 422,
    "/compare?run=../run&run=2026-11-02/run": 422,
    "/compare?run=2026-11-01/run&run=2026-11-02/other": 404,
    "/picture/image_pipeline.svg": 200,
    "/picture/secrets.svg": 404,
    "/now": 200,
}
"""What a viewer asks for, and the status of the answer."""


def test_the_page_shows_reports_to_users_and_no_other_file_to_anyone(tmp_path):
    environment = {"PIPELINE_REPORTS": f"file://{written_reports(tmp_path)}", "PIPELINE_METRICS_TOKEN": "right"}
    policy, led, scraped, metrics, strangers, statuses, texts = answer(ASK, tmp_path, list(ANSWERS), **environment)
    assert "default-src 'none'" in policy and "frame-ancestors 'self'" in policy
    assert led == [
        [307, "/pipeline/"],
        [307, "/pipeline/?days=3"],
        [307, "/api/v2/auth/login?next=%2Fpipeline%2Freport%3Fstage%3Dcrop_objects%26run%3Dr"],
        [200, None],
    ]
    assert strangers == [401] * len(ANSWERS)
    assert scraped[0] == 200 and 200 not in scraped[1:]
    assert set(METRICS.strip().splitlines()) <= set(metrics[0].splitlines())
    assert METRICS.strip().splitlines()[-1] in metrics[1]
    assert dict(zip(ANSWERS, statuses, strict=True)) == ANSWERS
    shown = dict(zip(ANSWERS, texts, strict=True))
    days, report = shown["/"], shown["/report?stage=crop_objects&day=2026-11-02&run=run"]
    picture, sheet = shown["/picture/image_pipeline.svg"], shown["/reports.csv?stage=crop_objects"]
    assert "read_images" in picture and "raw_images" in picture
    lines = list(csv.DictReader(io.StringIO(sheet)))
    assert [(line["day"], line["reasons"], line["error"]) for line in lines] == [
        ("2026-11-02", "blank=34 ok=1200", "<b>spoilt</b>")
    ]
    chosen, until = shown["/?stage=crop_objects&result=failed"], shown["/?until=2026-11-01&days=1"]
    assert "crop_objects</a>" in chosen and "extract_features</a>" not in chosen
    assert "<h2>2026-11-01" in until and "<h2>2026-11-02" not in until
    assert "crop_objects" in days and "ok 1,200" in days and "blank 34" in days
    assert "1,234 images, 1,200 used, 34 refused" in days and ">3.5<" in days
    assert "&lt;b&gt;spoilt" in report and "<b>spoilt" not in report
    assert all("fewer than &lt;i&gt;usual" in text for text in (days, report))
    assert not any("not for your eyes" in text for text in texts)


def run(name, started, **values):
    """Two stages' reports of a run of a day."""
    common = {"run": name, "day": "2026-11-02", "dag": "image_pipeline", "status": "published", "started_at": started}
    stages = [{"stage": "read_images", "dataset": "raw_images"}, {"stage": "preprocess_images", "dataset": "images"}]
    return [{**common, "codes": None, **stage, **values} for stage in stages]


def test_runs_of_a_day_are_told_apart_and_what_readers_get_is_said():
    first = run("backfill__2026-11-02.20261103T010203", "2026-11-03T01:02:03+00:00", reasons={"ok": 300, "blank": 1})
    trial = run("tried", "2026-11-03T02:00:00+00:00", reasons={"ok": 5}, trial=True)
    wrong = run("mistaken", "2026-11-03T03:00:00+00:00", status="refused", error="no table <x>\nTraceback")[:1]
    reports = [*first, *trial, *wrong]
    text = overview_page(reports, for_readers(reports, ""), Asked())
    assert "Readers get images: 301 images, 300 used, 1 refused, by backfill__2026-11-02<" in text
    places = [text.index(f">{name}</") for name in ("mistaken", "tried", "backfill__2026-11-02")]
    assert places == sorted(places)
    assert "2026-11-03 02:00 UTC · 5 images, 5 used, 0 refused · 2 stages" in text
    assert "a trial, beside the day" in text and text.count("2 earlier runs") == 1
    assert "no table &lt;x&gt;</td>" in text and "Traceback" not in text
    assert "href='../dags/image_pipeline/runs/backfill__2026-11-02'" in text


def test_readers_of_a_day_of_two_runs_are_told():
    first, second = run("one", "2026-11-03T01:00:00+00:00"), run("two", "2026-11-03T02:00:00+00:00")[:1]
    text = overview_page([*first, *second], for_readers([*first, *second], ""), Asked())
    assert "by two, one <span class=warning>of several runs" in text
    assert "Readers get no rows of this day" in overview_page(first, {}, Asked())


def test_what_may_not_be_done_is_not_offered():
    first = run("one", "2026-11-03T01:00:00+00:00")
    looks_only, acts = (
        overview_page(first, for_readers(first, ""), Asked(), offers=offers)
        for offers in (Offers(), Offers(undo=True, cost=True, proof="signed"))
    )
    assert "href='undo?day=2026-11-02'>Undo …" in acts and "value='signed'" in acts
    assert "Undo" not in looks_only and "method=post" not in looks_only


def test_a_day_that_was_published_once_is_undone_only_by_emptying_it():
    readers = for_readers(run("one", "2026-11-03T01:00:00+00:00"), "")["2026-11-02"]
    only, later = (undo_page("2026-11-02", readers, "signed", is_only) for is_only in (True, False))
    assert "No other run has published this day" in only and "value=yes required>" in only
    assert "No other run" not in later and "required" not in later


def test_a_trial_is_marked_in_the_table():
    tried = RunSummary.of(run("tried", "2026-11-03T02:00:00+00:00", reasons={"ok": 5}, trial=True))
    assert ">published, a trial<" in runs_table([tried], "-started", {})


def test_runs_are_sorted_by_any_column_and_those_without_a_value_come_last():
    many, few = (
        run(name, f"2026-11-03T0{at}:00:00+00:00", reasons={"ok": at}) for name, at in (("many", 9), ("few", 2))
    )
    silent = run("silent", "2026-11-03T05:00:00+00:00")
    runs = [RunSummary.of(reports) for reports in (many, silent, few)]
    assert [found.run for found in sorted_runs(runs, "images")] == ["few", "many", "silent"]
    assert [found.run for found in sorted_runs(runs, "-images")] == ["many", "few", "silent"]
    assert [found.run for found in sorted_runs(runs, "-started")] == ["many", "silent", "few"]
    text = overview_page([*many, *silent, *few], {}, Asked(view="table", sort="-images", run="<m>"))
    assert "No run matches these days" in text and "value='&lt;m&gt;'" in text
    text = overview_page([*many, *silent, *few], {}, Asked(view="table", sort="-images"))
    assert text.index("name>many") < text.index("name>few") < text.index("name>silent")
    assert "view=table&amp;sort=images" in text and "Images ↓" in text


def test_trends_have_a_bar_per_day_of_what_readers_get():
    reports = [
        report | {"day": day, "reasons": {"ok": used, "blank": 5}, "seconds": {"total": 10.0}}
        for day, used in (("2026-11-01", 95), ("2026-11-02", 45))
        for report in run(f"of_{day}", f"{day}T01:00:00+00:00")
    ]
    text = overview_page(reports, for_readers(reports, ""), Asked())
    assert "<title>2026-11-01: 95</title>" in text and "<title>2026-11-02: 10.0 %</title>" in text
    assert "median 70 · 45 to 95" in text
    assert "Trends" not in overview_page(reports[:2], for_readers(reports[:2], ""), Asked())


def test_two_runs_side_by_side():
    first, second = (
        {report["stage"]: report for report in run(name, f"{day}T01:00:00+00:00", reasons=reasons, size_bytes=size)}
        for name, day, reasons, size in (
            ("one", "2026-11-03", {"ok": 300, "blank": 1}, 1000),
            ("two", "2026-11-04", {"ok": 285, "truncated": 16}, 1500),
        )
    )
    second["read_images"] |= {"status": "failed", "error": "no <table>\nTraceback"}
    text = comparison_page(first, second)
    assert "<td>reason ok<td class=n>300<td class=n>285<td class=n>-15 (-5.0 %)" in text
    assert "<td>reason truncated<td class=n><td class=n>16<td class=n>" in text
    assert "<td>bytes<td class=n>1,000<td class=n>1,500<td class=n>+500 (+50.0 %)" in text
    assert "<td>result<td class=n>published<td class=n>failed<td class=n>other" in text
    assert "no &lt;table&gt;" in text and "Traceback" not in text


def test_what_runs_now_says_how_far_it_is_and_whether_it_still_lives():
    (attempt, _) = run(
        "backfill__2026-11-02.20261103T010203", "2026-11-03T01:00:00+00:00", status="running", rows_in=200
    )
    attempt |= {"attempt": 2, "silent_s": 4.0, "progress": {"phase": "stage", "tasks_done": 3, "tasks": 8}}
    now = datetime(2026, 11, 3, 1, 1, 30, tzinfo=UTC)
    text = under_way([attempt], now)
    assert "computing, about 75 of 200 rows, 3 of 8 tasks, try 2, for 90 s" in text and "killed?" not in text
    assert "backfill__2026-11-02<" in text
    assert "silent for 10 min: killed?" in under_way([attempt | {"silent_s": 600.0}], now)
    assert under_way([]) == ""


def test_pictures_of_a_day_are_linked_where_a_search_service_is(monkeypatch):
    first = run("one", "2026-11-03T01:00:00+00:00")
    readers = for_readers(first, "")
    assert ">pictures</a>" not in overview_page(first, readers, Asked())
    monkeypatch.setenv("PIPELINE_SEARCH_URL", "https://search.example/shop/")
    assert "href='https://search.example/shop/day/2026-11-02'" in overview_page(first, readers, Asked())
    assert ">pictures</a>" not in overview_page(first, {}, Asked())  # a day of which readers get no rows
