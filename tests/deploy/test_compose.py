"""docker-compose.yml as it stands: what it publishes, what it limits, that its services are those of
deploy/container.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from deploy import REPOSITORY
from deploy.container import SERVICES

_MIB = {"m": 1, "g": 1024}
_RUN_ONCE = {"airflow-init", "demo"}


def _filled(text: str) -> str:
    """The text with each `${NAME:-default}` as its default, each secret as a word."""
    return re.sub(r"\$\{\w+:([-?])([^}]*)\}", lambda found: found[2] if found[1] == "-" else "secret", text)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(_filled((REPOSITORY / "docker-compose.yml").read_text()))[
        "services"
    ]
    return found


def test_each_server_is_in_the_table_and_checked_as_itself(services: dict[str, dict[str, Any]]) -> None:
    servers = {name: service for name, service in services.items() if name not in _RUN_ONCE | {"postgres"}}
    assert {service["command"] for service in servers.values()} == set(SERVICES)
    for name, service in servers.items():
        assert re.sub(r"-\d$", "", name) == service["command"]
        assert service["healthcheck"]["test"][-2:] == ["check", service["command"]]


def test_what_a_service_needs_is_there_and_healthy_first(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] == ("service_completed_successfully" if needed in _RUN_ONCE else "service_healthy")
            assert "healthcheck" in services[needed] or needed in _RUN_ONCE


def test_each_image_is_built_once_for_the_first_service_that_has_it(services: dict[str, dict[str, Any]]) -> None:
    first = {service["image"]: name for name, service in reversed(services.items())}
    assert {name for name, service in services.items() if "build" in service} == set(first.values())
    assert {services[name]["build"]["target"] for name in first.values()} == {"postgres", "java", "python"}


def test_ports_are_published_on_this_machine_alone(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_all_limits_together_fit_13_gib(services: dict[str, dict[str, Any]]) -> None:
    lasting = [service for name, service in services.items() if name not in _RUN_ONCE]
    total = sum(service.get("scale", 1) * _mib(service["mem_limit"]) for service in lasting)
    assert total <= 13 * 1024
    assert all(_mib(service["mem_limit"]) > 0 and float(service["cpus"]) <= 2 for service in services.values())


def test_every_variable_is_explained() -> None:
    used = set(re.findall(r"\$\{(\w+)", (REPOSITORY / "docker-compose.yml").read_text()))
    lines = re.findall(r"^(# )?(\w+)=(.*)$", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    assert {name for _, name, _ in lines} == used
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (REPOSITORY / "docker-compose.yml").read_text()))
    # In a comment: unset unless the user says so. Without a value: a secret.
    explained = {name: "" if is_unset else value for is_unset, name, value in lines if is_unset or value}
    assert explained == defaults


@pytest.mark.parametrize("file", ["hbase/hbase-site.xml", "hdfs/core-site.xml", "hdfs/hdfs-site.xml"])
def test_configuration_names_services_that_exist(file: str, services: dict[str, dict[str, Any]]) -> None:
    root = ElementTree.parse(Path(REPOSITORY, "deploy", "containers", file)).getroot()
    for value in (str(entry.findtext("value")) for entry in root.findall("property")):
        if value.startswith("hdfs://"):
            assert value.removeprefix("hdfs://").split(":")[0] in services


def _mib(limit: str) -> int:
    return int(limit[:-1]) * _MIB[limit[-1]]
