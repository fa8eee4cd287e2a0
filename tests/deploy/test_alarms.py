"""The alarms and the dashboard for Prometheus and Grafana: what they ask for is there, and what an alarm means is
written down."""

from __future__ import annotations

import json
import re

import yaml
from dlcore_airflow.ui.metrics import FAMILIES

from deploy import REPOSITORY
from search_service.counters import Counters

ALARMS = yaml.safe_load((REPOSITORY / "deploy" / "alerts.yml").read_text())["groups"][0]["rules"]
PANELS = json.loads((REPOSITORY / "deploy" / "dashboard.json").read_text())["panels"]


def metrics_in(expressions: list[str]) -> set[str]:
    return {name for text in expressions for name in re.findall(r"\bpipeline_(\w+)", text)}


def test_alarms_and_panels_ask_for_metrics_that_exist() -> None:
    of_alarms = metrics_in([alarm["expr"] for alarm in ALARMS])
    of_panels = metrics_in([target["expr"] for panel in PANELS for target in panel["targets"]])
    assert of_alarms | of_panels <= set(FAMILIES)
    # `run_broken` only says when `run_failed` is no alarm of its own.
    assert of_alarms - {"run_broken"} <= of_panels


def test_alarms_of_the_search_service_ask_for_metrics_that_it_gives() -> None:
    counters = Counters(1)
    counters.request("code", 429, 0.1)
    asked = {name for alarm in ALARMS for name in re.findall(r"\bsearch_[a-z_]+(?=[{ \[])", alarm["expr"])}
    given = set(re.findall(r"^# TYPE (\w+)", counters.text([("problem", "", "", 0.0)]), re.M))
    assert asked == {"search_problem", "search_requests_total"} and asked <= given
    job = next(alarm["expr"] for alarm in ALARMS if alarm["alert"] == "SearchIsDown")
    scraped = yaml.safe_load((REPOSITORY / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    assert {f'job="{each["job_name"]}"' for each in scraped} >= set(re.findall(r'job="\w+"', job))


def test_what_an_alarm_means_is_written_down() -> None:
    documented = (REPOSITORY / "docs" / "operations.md").read_text()
    assert [alarm["alert"] for alarm in ALARMS if f"`{alarm['alert']}`" not in documented] == []


def test_no_two_panels_lie_on_one_another() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS]
    assert len(set(places)) == len({panel["id"] for panel in PANELS}) == len(PANELS)
