"""How the Java services run: their class path, their memory, and the module openings that HBase and Hadoop need on Java
17."""

from __future__ import annotations

from pathlib import Path

from deploy import REPOSITORY

JARS = REPOSITORY / "build" / "java"
"""Where deploy/install.py puts jars, in a folder for each class path."""

_OPENED = ("java.lang", "java.lang.reflect", "java.nio", "java.util", "java.util.concurrent", "sun.nio.ch")
_EXPORTED = ("jdk.internal.misc", "sun.security.pkcs", "sun.nio.ch")


def java_command(home: Path, service: str, heap: str, *main: str) -> list[str]:
    """The command that runs a class of a service's jars with the configuration that the stack at `home` has for it.

    service: `hbase` or `hdfs`.   heap: e.g. `512m`.   main: the class and its arguments.
    """
    options = (
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.net.preferIPv4Stack=true",
        f"-Djava.io.tmpdir={home / 'scratch'}",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
        *(f"--add-exports=java.base/{package}=ALL-UNNAMED" for package in _EXPORTED),
    )
    return ["java", *options, "-cp", f"{home / 'configuration' / service}:{JARS / service / '*'}", *main]


def iceberg_jar() -> Path:
    """The Iceberg runtime that deploy/spark/pom.xml names.

    Raises:
        FileNotFoundError: it is not installed.
    """
    jars = sorted((JARS / "spark").glob("iceberg-spark-runtime-*.jar"))
    if not jars:
        raise FileNotFoundError(f"got no Iceberg runtime in {JARS / 'spark'}, expected one: run `make install`")
    return jars[0]
