"""Spark sessions for a job: a client of a warm Spark Connect server, or a classic session under spark-submit.

The tasks of one DAG run share one Connect session by its id, so that they find warm Python workers. A job therefore
closes its client without releasing the session; the last task releases it.
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from spark_jobs.pipeline import STAGES, Stage
from spark_jobs.settings import Settings, static_spark_conf

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 5.0
RETRIES = 6
LONGEST_PAUSE_MS = 2000
ROWS_OF_TASK = 1 << 18
"""Most rows that a task of a shuffle is to have: with all their signatures 150 MB."""
_SHUFFLE = "spark.sql.shuffle.partitions"
_KEPT: list[Any] = []
"""Every client, kept until its process ends. When one is collected, pyspark shuts down a pool of threads that all
clients share; if that happens while another client submits to the pool, the pool waits for itself."""
_LOOPBACK = ("127.0.0.1", "::1", "[::1]")
_OF_CONNECT = ("SPARK_CONNECT_MODE_ENABLED", "SPARK_LOCAL_REMOTE", "SPARK_REMOTE")
"""Variables that make pyspark refuse a classic session. It sets them itself in a process that connects, and children
inherit them."""
_BEFORE = "pipeline.before."
"""Prefix of the names under which a session keeps what its server says of settings that stages change."""
_RUN_TIME_DEFAULTS = {"spark.sql.execution.arrow.maxRecordsPerBatch": "10000"}


@contextmanager
def opened(stage: Stage, settings: Settings, remote: str | None, is_last: bool) -> Iterator[Any]:
    """A session with the stage's SQL settings, closed at the end.

    remote: `sc://host:port/;session_id=...` of a Spark Connect server; None: a classic session.
    is_last: whether to release the Connect session if all went well, because no other task of the DAG run uses it.

    Raises:
        ConnectionError: nothing listens at `remote`.
    """
    spark = connected(remote, settings) if remote else _classic(stage, settings)
    is_done = False
    try:
        _configure(spark, stage, settings)
        yield spark
        is_done = True
    finally:
        if remote and not is_done:
            _quietly("interrupt what the session runs", spark.interruptAll)
        if remote:
            spark.release_session_on_close = is_last and is_done
        _quietly("close the session", spark.stop)


def connected(remote: str, settings: Settings) -> Any:
    """A client of the Spark Connect server at `remote`; whatever its session still ran is interrupted first.

    A killed client leaves its job running in the server: without the interruption two attempts would work at once.

    Raises:
        ConnectionError: nothing listens there. It comes within seconds; the client itself would retry for minutes.
    """
    probe(remote)
    try:
        return _ready(_with_token(remote, settings.connect_token))
    except Exception as error:
        if "SESSION_CLOSED" not in str(error):
            raise
    logger.warning("the session of this run has been released already; taking a new one")
    return _ready(_with_token(re.sub(r"session_id=[^;]*;?", "", remote), settings.connect_token))


def _ready(url: str) -> Any:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    builder: Any = SparkSession.builder
    spark = _in_clear_text(url) if _wants_clear_text(url) else builder.remote(url).create()
    _KEPT.append(spark)
    spark.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES, max_backoff=LONGEST_PAUSE_MS)])
    try:
        # The server would answer what it has been asked before, such as whether a table exists, from the first answer.
        spark.conf.set("spark.connect.session.planCache.enabled", "false")
        spark.interruptAll()
    except Exception:
        # It is the active session of this process already; left there, the audit would take it for the next one.
        spark.release_session_on_close = False
        spark.stop()
        raise
    return spark


def _wants_clear_text(url: str) -> bool:
    """Whether a URL itself says that the network can be trusted; on this machine pyspark sends tokens anyway."""
    return "use_ssl=false" in url.lower() and urlsplit(url).hostname != "localhost"


def _in_clear_text(url: str) -> Any:
    """A client that sends its token without TLS; pyspark itself does so only to `localhost`."""
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession

    class ClearTextChannel(DefaultChannelBuilder):
        """The channel of a Connect URL, without TLS, with its token among the metadata of each request."""

        def toChannel(self) -> Any:
            return self._insecure_channel(self.endpoint)

        def metadata(self) -> Any:
            shown = [("authorization", f"Bearer {self.token}")] if self.token else []
            return [*super().metadata(), *shown]

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # as pyspark's own builder does: `functions` ask for it
    builder: Any = SparkSession.builder
    return builder.channelBuilder(ClearTextChannel(url)).create()


def divide_by_rows(spark: Any, settings: Settings, rows: int) -> None:
    """Let shuffles of so many rows have enough tasks that each fits a worker's memory, and no fewer than usual."""
    spark.conf.set(_SHUFFLE, str(max(settings.partitions, math.ceil(rows / ROWS_OF_TASK))))


def probe(remote: str) -> None:
    """Open and close a TCP connection to the server of a Connect URL.

    Raises:
        ValueError: `remote` is no Connect URL.
        ConnectionError: nothing listens there.
    """
    url = urlsplit(remote)
    if url.scheme != "sc" or not url.hostname:
        raise ValueError(f"got {remote!r} as --remote, expected a Spark Connect URL like sc://localhost:15002")
    port = url.port or 15002
    try:
        socket.create_connection((url.hostname, port), timeout=PROBE_TIMEOUT_S).close()
    except OSError as error:
        raise ConnectionError(
            f"no Spark Connect server at {url.hostname}:{port} ({error}); "
            "start one (make up) or correct the connection's host and port"
        ) from error


def _with_token(remote: str, token: str | None) -> str:
    """Add the token; this machine is called `localhost`, the one name to which pyspark sends it over plain text."""
    url = urlsplit(remote)
    if token is None or ";token=" in remote:
        return remote
    host = "localhost" if url.hostname in _LOOPBACK else url.hostname
    return f"sc://{host}:{url.port or 15002}/{url.path.lstrip('/').rstrip(';')};token={quote(token, safe='')}"


def _classic(stage: Stage, settings: Settings) -> Any:
    from pyspark.sql import SparkSession

    for name in _OF_CONNECT:
        os.environ.pop(name, None)
    builder: Any = SparkSession.builder
    return builder.appName(stage.name).config(map=static_spark_conf(settings)).getOrCreate()


def _configure(spark: Any, stage: Stage, settings: Settings) -> None:
    """Set the stage's SQL settings on top of the defaults: the task before may have left its own in a shared
    session. What the server itself says of such a setting is kept in the session, and comes back."""
    partitions = {_SHUFFLE: str(settings.partitions)}
    always = _RUN_TIME_DEFAULTS | partitions
    for name, value in always.items():
        spark.conf.set(name, value)
    for name in {name for each in STAGES.values() for name in each.sql} - set(always):
        before = spark.conf.get(_BEFORE + name, None)
        if before is None and name in stage.sql:
            spark.conf.set(_BEFORE + name, spark.conf.get(name))
        if before is not None and name not in stage.sql:
            spark.conf.set(name, before)
    for name, value in stage.sql.items():
        spark.conf.set(name, value)


def _quietly(purpose: str, action: Callable[[], Any]) -> None:
    """Do something that only tidies up: its failure must not hide why the job failed."""
    try:
        action()
    except Exception:
        logger.warning("could not %s", purpose, exc_info=True)
