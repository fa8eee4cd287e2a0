"""Where everything is: the lake, the models, HBase, Spark. Read once from environment variables.

Every field has a variable, its name in capitals with the prefix `PIPELINE_`: `PIPELINE_HOME`, `PIPELINE_WAREHOUSE` ...
`PIPELINE_PORT_OFFSET` moves every default port of the local stack, so that two stacks can share a machine. Standard
library only.

>>> Settings.from_environment({"PIPELINE_HOME": "/srv/pipeline", "PIPELINE_PORT_OFFSET": "100"}).warehouse
'file:///srv/pipeline/lake'
>>> Settings.from_environment({"PIPELINE_HBASE_GATEWAYS": "thrift-1:9090, thrift-2:9090"}).gateways()
(('thrift-1', 9090), ('thrift-2', 9090))
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

PREFIX = "PIPELINE_"
REPOSITORY = Path(__file__).resolve().parent.parent
HBASE_THRIFT_PORT = 19090
SPARK_CONNECT_PORT = 15002

OF_CODES = ("features", "duplicate_pairs", "duplicates", "price_monitoring", "picture_copyright")
"""The datasets that every set of codes has in tables of its own."""

OF_TRIALS = "_trial"
"""The ending of the namespace and the index of trials."""

OF_ONE_MACHINE = ("connect_url", "connect_token", "iceberg_jar", "hbase_command")
"""The settings that a driver on another machine does not need; the only secret is among them."""
_CODES_NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class Settings:
    """One place for every address and limit; no job knows which machine or file system it runs on.

    home: folder of everything the local stack writes.   port_offset: added to every default port of the local stack.
    hbase_gateways: `host:port` of Thrift servers, separated by commas.
    hbase_wire: their transport/protocol: buffered or framed / binary or compact.
    hbase_table: the table of images.
    hbase_command: command that runs a class of HBase, as HBase's script `hbase` does; only used to create a split
        table.
    salt_buckets: number of key prefixes that a new table is spread over; the table remembers it.
    warehouse, models, reports, index: URIs (`file://`, `hdfs://` ...) of the lake, the artefacts, the run reports and
    the search index.
    connect_url: `sc://host:port` of the Spark Connect server; with `/;use_ssl=false` the token travels in clear text,
    for a network of one's own.
    connect_token: the server's token; None if it has none.
    iceberg_jar: the Iceberg runtime for classic sessions; empty if Spark has it already. A Connect server has its own.
    catalog, namespace: tables are `<catalog>.<namespace>.<dataset>`.
    codes: name of another model's set of codes, beside the first; its features, duplicates and index carry the name.
    reference_day: the day that later days' codes are compared with; by default each day is compared with the day
        before.
    metadata_columns: the cells of an image's row that hold its shop, price, currency, owner, first_seen or title, if
    they have other names: `shop=merchant,price=unit_price`.
    index_filters: which of these columns, and of the row's other cells, a search can filter by: `shop,owner,price`,
    `none`.
    exports: URI of the folder of CSV files.
    trainings: URI of the folder of what `train_model` keeps while it trains: checkpoints, TensorBoard's files.
    placeholders: URI of a list of placeholder pictures, one SHA-256 per line; empty for none.
    search_url: address of the search service as browsers reach it, for links from the pages; empty for none.
    partitions: number of tasks that a job divides its rows among, by default two per core of this machine.
    """

    home: Path
    port_offset: int
    hbase_gateways: str
    hbase_wire: str
    hbase_table: str
    hbase_command: str
    salt_buckets: int
    warehouse: str
    models: str
    reports: str
    index: str
    connect_url: str
    connect_token: str | None
    iceberg_jar: str
    catalog: str
    namespace: str
    codes: str
    reference_day: str
    placeholders: str
    metadata_columns: str
    index_filters: str
    exports: str
    trainings: str
    search_url: str
    partitions: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings of this process.

        environment: variables to read, by default `os.environ`. An empty variable counts as unset.

        Raises:
            ValueError: a variable for a number is not a number; the message names the variable.
        """
        variables = os.environ if environment is None else environment
        given = {
            field.name: variables[PREFIX + field.name.upper()]
            for field in fields(cls)
            if variables.get(PREFIX + field.name.upper())
        }
        home = Path(given.get("home", REPOSITORY / "var")).absolute()
        offset = _whole_number(given, "port_offset", 0)
        settings = cls(
            home=home,
            port_offset=offset,
            hbase_gateways=given.get("hbase_gateways", f"127.0.0.1:{HBASE_THRIFT_PORT + offset}"),
            hbase_wire=given.get("hbase_wire", "buffered/binary"),
            hbase_table=given.get("hbase_table", "product_images"),
            hbase_command=given.get("hbase_command", "hbase"),
            salt_buckets=_whole_number(given, "salt_buckets", 4),
            warehouse=given.get("warehouse", f"file://{home}/lake"),
            models=given.get("models", f"file://{REPOSITORY}/models"),
            reports=given.get("reports", f"file://{home}/reports"),
            index=given.get("index", f"file://{home}/index"),
            connect_url=given.get("connect_url", f"sc://127.0.0.1:{SPARK_CONNECT_PORT + offset}"),
            connect_token=given.get("connect_token"),
            iceberg_jar=given.get("iceberg_jar", ""),
            catalog=given.get("catalog", "lake"),
            namespace=given.get("namespace", "pipeline"),
            codes="",
            reference_day=given.get("reference_day", ""),
            placeholders=given.get("placeholders", ""),
            metadata_columns=given.get("metadata_columns", ""),
            index_filters=given.get("index_filters", "shop,owner,currency,price"),
            exports=given.get("exports", f"file://{home}/exports"),
            trainings=given.get("trainings", f"file://{home}/trainings"),
            search_url=given.get("search_url", ""),
            partitions=_whole_number(given, "partitions", 2 * (os.cpu_count() or 1)),
        )
        return settings.with_codes(given["codes"]) if "codes" in given else settings

    def with_codes(self, name: str) -> Settings:
        """The same with the set of codes of that name: tables `features_<name>`, `duplicates_<name>` and so on, index
        `<index>-<name>`.

        Raises:
            ValueError: the name has other characters than small letters, digits and underscores.
        """
        if not _CODES_NAME.fullmatch(name):
            raise ValueError(
                f"{PREFIX}CODES: got {name!r}, expected small letters, digits and underscores, for example v2"
            )
        return replace(self, codes=name, index=f"{self.of_first_codes().index}-{name}")

    def of_first_codes(self) -> Settings:
        """The same with the first set of codes; the other sets' index names are made from the name of its index."""
        return replace(self, codes="", index=self.index.removesuffix(f"-{self.codes}")) if self.codes else self

    def of_trials(self) -> Settings:
        """The same with the tables and the index of trials, which lie beside the others and which nothing else
        reads."""
        return replace(self, namespace=f"{self.namespace}{OF_TRIALS}", index=f"{self.index}{OF_TRIALS}")

    def gateways(self) -> tuple[tuple[str, int], ...]:
        """The Thrift servers as (host, port) pairs, in the order to try them.

        Raises:
            ValueError: an entry is not `host:port`.
        """
        return gateways_of(self.hbase_gateways)

    def table(self, dataset: str) -> str:
        """The full name of a dataset's table, e.g. `lake.pipeline.features`."""
        name = f"{dataset}_{self.codes}" if self.codes and dataset in OF_CODES else dataset
        return f"{self.catalog}.{self.namespace}.{name}"


def artefact_uri(models: str, name: str) -> str:
    """Where an artefact lies in the folder of models; a name that ends with `@<version>` means exactly that version.

    >>> artefact_uri("hdfs://namenode:8020/models/", "detector-small")
    'hdfs://namenode:8020/models/detector-small'
    """
    return f"{models.rstrip('/')}/{name}"


def gateways_of(entries: str) -> tuple[tuple[str, int], ...]:
    """`host:port` entries separated by commas, as (host, port) pairs; ValueError if an entry has another form."""
    return tuple(_host_and_port(entry.strip()) for entry in entries.split(","))


def _whole_number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise ValueError(f"{PREFIX}{name.upper()}: got {text!r}, expected a whole number, for example {default}")
    return int(text)


def _host_and_port(entry: str) -> tuple[str, int]:
    host, colon, port = entry.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise ValueError(
            f"{PREFIX}HBASE_GATEWAYS: got {entry!r}, expected host:port entries separated by commas, "
            f"for example 127.0.0.1:{HBASE_THRIFT_PORT}"
        )
    return host, int(port)


def static_spark_conf(settings: Settings) -> dict[str, str]:
    """The Spark settings that must be given before a session starts; they are the same for every way to start one.

    The catalogue's cache is off: with it, a session would not see what another one has committed.
    """
    catalog = f"spark.sql.catalog.{settings.catalog}"
    conf = {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.type": "hadoop",
        f"{catalog}.warehouse": settings.warehouse,
        f"{catalog}.cache-enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.executorEnv.OMP_NUM_THREADS": "1",
        "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    }
    return conf | ({"spark.jars": settings.iceberg_jar} if settings.iceberg_jar else {})


def driver_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that give a driver on another machine the settings of this process; such a driver inherits none.

    Without them it would look for the lake, and leave its report, in folders of its own. Those it need not know
    (`OF_ONE_MACHINE`) stay here: they would be on the command line of spark-submit.

    >>> driver_variables({"PIPELINE_WAREHOUSE": "hdfs://nameservice1/lake", "PIPELINE_CONNECT_TOKEN": "secret"})
    {'PIPELINE_WAREHOUSE': 'hdfs://nameservice1/lake'}
    """
    variables = os.environ if environment is None else environment
    names = (PREFIX + field.name.upper() for field in fields(Settings) if field.name not in OF_ONE_MACHINE)
    return {name: variables[name] for name in names if variables.get(name)}
