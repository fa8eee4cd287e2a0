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
app.dependency_overrides[get_user] = lambda: None
answers = [TestClient(app).get(path) for path in paths]
print(json.dumps([stranger, [answer.status_code for answer in answers], [answer.text for answer in answers]]))
"""

pytestmark = pytest.mark.airflow


def test_the_page_shows_reports_to_users_and_no_other_file_to_anyone(tmp_path):
    reports = tmp_path / "reports"
    written = reports / "2026-11-02" / "crop_objects" / "run.json"
    written.parent.mkdir(parents=True)
    report = {
        "stage": "crop_objects", "day": "2026-11-02", "run": "run", "error": "<b>spoilt</b>", "status": "failed",
        "rows_in": 1234, "reasons": {"blank": 34, "ok": 1200}, "seconds": {"stage": 2.0, "total": 3.5},
        "warnings": ["fewer than <i>usual</i>"],
    }  # fmt: skip
    written.write_text(json.dumps(report))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "secrets.json").write_text(json.dumps({"connect_token": "not for your eyes"}))
    paths = [
        "/",
        "/report?stage=crop_objects&day=2026-11-02&run=run",
        "/report?stage=crop_objects&day=2026-11-02&run=other",
        "/report?stage=secrets&day=..&run=secrets",
        "/report?stage=.&day=../secrets&run=secrets",
        "/report?stage=../secrets&day=2026-11-02/..&run=secrets",
    ]
    strangers, codes, texts = answer(ASK, tmp_path, paths, PIPELINE_REPORTS=f"file://{reports}")
    assert all(code in (401, 403) for code in strangers)
    assert codes == [200, 200, 404, 422, 422, 422]
    assert "crop_objects" in texts[0] and "ok 1,200" in texts[0] and "blank 34" in texts[0]
    assert "1,234 images, 1,200 used, 34 refused" in texts[0] and ">3.5<" in texts[0]
    assert "&lt;b&gt;spoilt" in texts[1] and "<b>spoilt" not in texts[1]
    assert all("fewer than &lt;i&gt;usual" in text for text in texts[:2])
    assert not any("not for your eyes" in text for text in texts)
