"""The command of each server, in the local stack and in containers alike. Standard library only."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.java import java_command

_JAVA = {
    "namenode": ("hdfs", "org.apache.hadoop.hdfs.server.namenode.NameNode"),
    "datanode": ("hdfs", "org.apache.hadoop.hdfs.server.datanode.DataNode"),
    "zookeeper": ("hbase", "org.apache.zookeeper.server.ZooKeeperServerMain"),
    "hbase-master": ("hbase", "org.apache.hadoop.hbase.master.HMaster", "start"),
    "regionserver": ("hbase", "org.apache.hadoop.hbase.regionserver.HRegionServer", "start"),
    "thrift": ("hbase", "org.apache.hadoop.hbase.thrift.ThriftServer", "start"),
}
"""Each server's jars, its class and the class's first arguments."""

_AIRFLOW = {
    "airflow-api": ("api-server",),
    # Their log servers would listen on every address; the api-server reads the same files from the disk.
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
    "airflow-triggerer": ("triggerer", "--skip-serve-logs"),
    "airflow-dags": ("dag-processor",),
}


def java_server(name: str, home: Path, heap: str, *arguments: str) -> list[str]:
    """The command of a server of HDFS or HBase with the configuration that the stack at `home` has for it. heap: e.g.
    `512m`."""
    jars, *main = _JAVA[name]
    return java_command(home, jars, heap, *main, *arguments)


def namenode(home: Path, heap: str) -> list[str]:
    """The command of the NameNode of the stack at `home`, after its folder has been formatted the first time.

    Raises:
        CalledProcessError: formatting fails; the log says why.
    """
    command = java_server("namenode", home, heap)
    if not (home / "hdfs" / "name" / "current" / "VERSION").exists():
        subprocess.run([*command, "-format", "-nonInteractive", "-force"], check=True)
    return command


def connect_server(*options: str) -> list[str]:
    """The command of the Spark Connect server. options: those of spark-submit."""
    main = "org.apache.spark.sql.connect.service.SparkConnectServer"
    # "spark-internal": the class is in Spark's own jars, there is no application jar.
    return ["spark-submit", *options, "--class", main, "--name", "pipeline", "spark-internal"]


def airflow_server(name: str) -> list[str]:
    """The command of a server of Airflow."""
    return ["airflow", *_AIRFLOW[name]]
