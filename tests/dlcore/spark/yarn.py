"""YARN on this machine: a ResourceManager and a NodeManager, each a process of its own on free ports.

Maven fetches them once, into build/java/yarn.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyspark
import pytest

from deploy.java import JARS, java_command
from tests.dlcore.spark.standalone import ROOT
from tests.waiting import wait_for

_POM = Path(__file__).with_name("yarn.xml")
_SERVER = "org.apache.hadoop.yarn.server."
_PORTS = {
    "yarn.resourcemanager.address",
    "yarn.resourcemanager.scheduler.address",
    "yarn.resourcemanager.resource-tracker.address",
    "yarn.resourcemanager.admin.address",
    "yarn.resourcemanager.webapp.address",
    "yarn.nodemanager.address",
    "yarn.nodemanager.localizer.address",
    "yarn.nodemanager.webapp.address",
    "yarn.nodemanager.collector-service.address",
}
_LIMITS = {
    "yarn.nodemanager.resource.memory-mb": "6144",
    "yarn.nodemanager.resource.cpu-vcores": "4",
    "yarn.nodemanager.vmem-check-enabled": "false",
    "yarn.nodemanager.disk-health-checker.enable": "false",
    "yarn.nodemanager.delete.debug-delay-sec": "3600",  # the logs of containers that ended stay readable
    "yarn.scheduler.minimum-allocation-mb": "256",
}
_QUEUES = {
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
    "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",
}
SETTINGS = {
    "spark.executor.instances": "2",
    "spark.executor.cores": "1",
    "spark.yarn.am.memory": "512m",
    "spark.python.unix.domain.socket.dir": "/tmp",  # the path of a container's own folder is too long
    "spark.yarn.jars": f"local:{Path(pyspark.__file__).parent}/jars/*",
}
"""Of Spark, beside `standalone.SETTINGS`: two executors, which find Spark's jars on their machine."""


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start both, with their files in `folder`, and give the settings for a Spark that uses them as its master `yarn`;
    they end with the context."""
    if not (JARS / "yarn").exists():
        fetch = "dependency:copy-dependencies"
        subprocess.run(["mvn", "-B", "-q", "-f", str(_POM), fetch, f"-DoutputDirectory={JARS / 'yarn'}"], check=True)
    configuration = folder / "configuration" / "yarn"
    folders = {f"yarn.nodemanager.{name}": str(folder / name) for name in ("local-dirs", "log-dirs")}
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip(sorted(_PORTS), _free_ports(len(_PORTS)), strict=True)}
    _write(configuration / "yarn-site.xml", {**_LIMITS, **folders, **addresses})
    _write(configuration / "capacity-scheduler.xml", _QUEUES)
    _write(configuration / "core-site.xml", {"fs.defaultFS": "file:///", "hadoop.tmp.dir": str(folder / "hadoop")})
    quieter = (ROOT / "deploy/hdfs/log4j.properties").read_text()
    (configuration / "log4j.properties").write_text(quieter.replace("WARN", "INFO"))
    (folder / "scratch").mkdir()
    mains = {"rm": f"{_SERVER}resourcemanager.ResourceManager", "nm": f"{_SERVER}nodemanager.NodeManager"}
    started = [_start(folder, name, main) for name, main in mains.items()]
    try:
        wait_for(lambda: _is_ready(folder, started))
        with pytest.MonkeyPatch.context() as patch:
            for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
                patch.setenv(name, str(configuration))
            yield {**SETTINGS, "spark.yarn.stagingDir": f"file://{folder}/staging"}
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def _is_ready(folder: Path, started: Sequence[subprocess.Popen[bytes]]) -> bool:
    """Whether the NodeManager has found the ResourceManager; RuntimeError if one of them has ended."""
    if any(process.poll() is not None for process in started):
        raise RuntimeError(
            f"got a server of YARN that has ended, expected two that run; see rm.log and nm.log in {folder}"
        )
    return "Registered with ResourceManager" in (folder / "nm.log").read_text(errors="replace")


def _start(folder: Path, name: str, main: str) -> subprocess.Popen[bytes]:
    command = java_command(folder, "yarn", "512m", main)
    with open(folder / f"{name}.log", "wb") as log:
        return subprocess.Popen(command, cwd=folder, env=dict(os.environ), stdout=log, stderr=subprocess.STDOUT)


def _free_ports(count: int) -> list[int]:
    """Ports that nothing uses, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _write(path: Path, properties: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"<property><name>{name}</name><value>{value}</value></property>" for name, value in properties.items()]
    path.write_text("\n".join(["<configuration>", *lines, "</configuration>"]))
