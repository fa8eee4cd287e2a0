"""Health, readiness, metrics and withdrawal over HTTP."""

from __future__ import annotations

import re

import httpx

from tests.search_service.serving import METRICS, OPERATOR


def counted(served, name, **labels):
    text = served.client.get("/metrics").text
    wanted = ",".join(f'{label}="{value}"' for label, value in labels.items())
    found = re.search(rf"^search_{name}{re.escape('{' + wanted + '}') if wanted else ''} (\S+)$", text, re.M)
    return float(found[1]) if found else 0.0


def test_health_and_readiness_want_no_token_and_tell_nothing_else(served):
    for path, status in (("/health", "ok"), ("/ready", "ready")):
        assert httpx.get(served.url + path, trust_env=False).json() == {"status": status}


def test_metrics_count_all_workers_requests(served):
    before = counted(served, "requests_total", kind="key", status="2xx")
    for _ in range(20):  # each on a connection of its own, so that all workers have some
        httpx.get(f"{served.url}/api/v1/search?key=sku0/0", headers=served.client.headers, trust_env=False)
    assert counted(served, "requests_total", kind="key", status="2xx") == before + 20
    assert counted(served, "request_seconds_count", kind="key") >= 20
    assert counted(served, "index_items") == 5
    assert counted(served, "problem") == 0


def test_metrics_open_by_their_own_token_which_opens_nothing_else(served):
    headers = {"Authorization": f"Bearer {METRICS}"}
    assert httpx.get(f"{served.url}/metrics", headers=headers, trust_env=False).status_code == 200
    assert httpx.get(f"{served.url}/api/v1/index", headers=headers, trust_env=False).status_code == 403


def test_only_operators_withdraw(served):
    assert served.client.post("/api/v1/withdraw", json={"keys": ["sku0/0"]}).status_code == 403
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    nul = {"keys": ["a\0"]}, {"keys": ["a"], "reason": "\0"}
    for wrong in ({}, {"keys": []}, {"keys": [""]}, {"keys": ["a"], "whole_shop": True}, *nul):
        assert served.client.post("/api/v1/withdraw", json=wrong, headers=headers).status_code == 422
