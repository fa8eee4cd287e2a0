"""The pipeline's page: it shows run reports and nothing else that lies on the disk."""

import json

import pytest

from tests.plugins.airflow_process import answer

ASK = """
import json, sys
from airflow.api_fastapi.core_api.security import get_user
from dlcore_airflow.ui.app import app
from fastapi.testclient import TestClient
paths = json.loads(sys.argv[1])
stranger = [TestClient(app, raise_server_exceptions=False).get(path).status_code for path in paths]
scraped = [
    TestClient(app, raise_server_exceptions=False).get(path, headers={"Authorization": f"Bearer {token}"}).status_code
    for path in ("/metrics", "/") for token in ("right", "wrong")
]
app.dependency_overrides[get_user] = lambda: None
answers = [TestClient(app).get(path) for path in paths]
metrics, of_last_day = [
    TestClient(app).get(path, headers={"Authorization": "Bearer right"}).text for path in ("/metrics", "/metrics?days=1")
]
texts = [answer.text for answer in answers]
print(json.dumps([scraped, [metrics, of_last_day], stranger, [answer.status_code for answer in answers], texts]))
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
        "stage": "read_images", "day": "2026-11-02", "run": "run", "status": "broken_contract", "broken": [{"rule": "x"}],
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


def test_the_page_shows_reports_to_users_and_no_other_file_to_anyone(tmp_path):
    reports = tmp_path / "reports"
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
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "secrets.json").write_text(json.dumps({"connect_token": "not for your eyes"}))
    paths = [
        "/",
        "/report?stage=crop_objects&day=2026-11-02&run=run",
        "/report?stage=crop_objects&day=2026-11-02&run=other",
        "/report?stage=secrets&day=..&run=secrets",
        "/report?stage=.&day=../secrets&run=secrets",
        "/report?stage=../secrets&day=2026-11-02/..&run=secrets",
        "/metrics",
    ]
    environment = {"PIPELINE_REPORTS": f"file://{reports}", "PIPELINE_METRICS_TOKEN": "right"}
    scraped, metrics, strangers, statuses, texts = answer(ASK, tmp_path, paths, **environment)
    assert strangers == [401] * len(paths)
    assert scraped[0] == 200 and 200 not in scraped[1:]
    assert set(METRICS.strip().splitlines()) <= set(metrics[0].splitlines())
    assert METRICS.strip().splitlines()[-1] in metrics[1]
    assert statuses == [200, 200, 404, 422, 422, 422, 401]
    assert "crop_objects" in texts[0] and "ok 1,200" in texts[0] and "blank 34" in texts[0]
    assert "1,234 images, 1,200 used, 34 refused" in texts[0] and ">3.5<" in texts[0]
    assert "&lt;b&gt;spoilt" in texts[1] and "<b>spoilt" not in texts[1]
    assert all("fewer than &lt;i&gt;usual" in text for text in texts[:2])
    assert not any("not for your eyes" in text for text in texts)
