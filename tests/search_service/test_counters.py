"""Counters that several processes share."""

from __future__ import annotations

import os
import re

from search_service.counters import Counters


def test_what_a_forked_process_counts_is_in_the_sums_and_outlives_it():
    counters = Counters(2)
    pid = os.fork()
    if not pid:
        counters.take_row(1)
        counters.begun(1)
        counters.request("code", 200, 0.03)
        counters.scan(5)
        os._exit(0)
    os.waitpid(pid, 0)
    counters.request("code", 200, 0.3)
    counters.request("code", 503, 20.0)
    counters.request("unknown", 302, 0.001)
    text = counters.text([("index_items", "Items.", 'version="1"', 7.0)])
    found = dict(re.findall(r"^search_(\S+) (\S+)$", text, re.M))
    assert found['requests_total{kind="code",status="2xx"}'] == "2"
    assert found['requests_total{kind="code",status="5xx"}'] == "1"
    assert found['requests_total{kind="other",status="3xx"}'] == "1"
    buckets = [
        found[f'request_seconds_bucket{{kind="code",le="{end}"}}']
        for end in ("0.025", "0.05", "0.25", "0.5", "10.0", "+Inf")
    ]
    assert buckets == ["0", "1", "1", "2", "2", "3"]
    assert float(found['request_seconds_sum{kind="code"}']) == 20.33
    assert (found["scans_total"], found["scanned_queries_total"], found["requests_under_way"]) == ("1", "5", "1")
    assert found['index_items{version="1"}'] == "7"
    counters.take_row(1)  # of the process that follows it
    assert "search_requests_under_way 0" in counters.text()
