"""Fill in the configuration templates beside this file for one stack: `<home>/configuration/{hbase,hdfs,spark}`."""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template
from urllib.parse import quote
from xml.sax.saxutils import escape

from deploy.stack import PORTS, Stack
from spark_jobs.settings import Settings, static_spark_conf

_HERE = Path(__file__).resolve().parent

_TEMPLATES = (
    "hbase/hbase-site.xml",
    "hbase/log4j.properties",
    "hdfs/core-site.xml",
    "hdfs/hdfs-site.xml",
    "hdfs/log4j.properties",
    "spark/spark-defaults.conf",
)


def write_configuration(stack: Stack) -> Path:
    """Write every configuration file of the stack; returns their folder.

    Raises:
        KeyError: a template needs a value that the stack does not have.
    """
    folder = stack.folder("configuration")
    values = _values(stack)
    for name in _TEMPLATES:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        written = {key: escape(value) for key, value in values.items()} if target.suffix == ".xml" else values
        target.write_text(Template((_HERE / name).read_text()).substitute(written))
    shutil.copytree(_HERE / "hdfs" / "webapps", folder / "hdfs" / "webapps", dirs_exist_ok=True)
    return folder


def _values(stack: Stack) -> dict[str, str]:
    on_hdfs = f"hdfs://127.0.0.1:{stack.port('namenode')}/hbase"
    return {
        **{server: str(stack.port(server)) for server in PORTS},
        "home": str(stack.home),
        "home_in_uri": quote(str(stack.home)),
        "lake": stack.lake,
        "cores": str(stack.cores),
        "hbase_root": on_hdfs if stack.lake == "hdfs" else f"file://{stack.home}/hbase/data",
        "shared_with_jobs": "\n".join(f"{name} {value}" for name, value in static_spark_conf(_settings(stack)).items()),
    }


def _settings(stack: Stack) -> Settings:
    """The settings that the jobs on this stack use."""
    return Settings.from_environment(stack.environment())
