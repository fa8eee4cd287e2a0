"""The report on one attempt of a stage: what came in and went out, why rows are not used, how long each phase took."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import fsspec

from dlcore.stored_file import write_whole
from spark_jobs.pipeline import report_uri
from spark_jobs.run_reports.reading import readable
from spark_jobs.running.code_version import code_version

Status = Literal[
    "running", "published", "already_published", "empty", "nothing_yet", "refused", "broken_contract", "failed"
]

_OF_SNAPSHOT = (
    "rows_in",
    "rows_out",
    "reasons",
    "rules",
    "images_per_second",
    "size_bytes",
    "inputs",
    "warnings",
    "extra",
)
_PACKAGES = ("product-image-pipeline", "pyspark", "pyarrow", "numpy")


@dataclass
class BrokenRule:
    """A rule of the contract that rows break: how many rows, and the keys of up to three of them."""

    rule: str
    meaning: str
    rows: int
    samples: list[str]


@dataclass
class RunReport:
    """One attempt of a stage, as reported to the Airflow task, its XCom and the page.

    codes: the set of codes it worked on, empty for the first; None for a stage that does not depend on the set.
    trial: whether its rows are in the tables of trials.
    reasons: rows by reason.
    rules: names of the rules checked.
    seconds: by phase.
    size_bytes: of the files written.
    inputs: the pinned snapshot of each dataset that it read. snapshot: the one that it published.
    warnings: what people should look at although the stage did its work.   extra: what the job itself adds.
    """

    stage: str
    run: str
    attempt: int
    day: str | None = None
    dag: str | None = None
    dataset: str | None = None
    codes: str | None = None
    trial: bool = False
    contract_version: int | None = None
    status: Status = "running"
    error: str | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    rules: list[str] = field(default_factory=list)
    broken: list[BrokenRule] = field(default_factory=list)
    images_per_second: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    size_bytes: int | None = None
    inputs: dict[str, int] = field(default_factory=dict)
    snapshot: int | None = None
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    versions: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin outside of any phase; the present phase is not a part of the report."""
        self.doing = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds that the block takes to those of the phase."""
        start, around = time.perf_counter(), self.doing
        self.doing = name
        try:
            yield
        finally:
            self.doing = around
            spent = time.perf_counter() - start
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)

    def add_observed(self, name: str, observation: Any, summarise: Callable[[dict[str, Any]], Any]) -> None:
        """Add sums that Spark computed meanwhile. Spark drops them with a part of the plan that it finds empty; no run
        fails for that."""
        from pyspark.errors import PySparkAssertionError

        try:
            sums = observation.get
        except PySparkAssertionError:
            sums = {}
        if not sums:  # as Spark Connect says it
            self.warnings.append(f"Spark computed no sums of {name!r}; the run report lacks them")
        else:
            self.extra[name] = summarise(sums)

    def finish(self) -> None:
        """Fill in what follows from the rest: the throughput of the staging phase and the versions."""
        staging = self.seconds.get("stage", 0.0)
        if self.rows_out and staging:
            self.images_per_second = round(self.rows_out / staging, 2)
        packages = {name: _version(name) for name in _PACKAGES}
        self.versions = {"code": code_version(), "python": platform.python_version()} | packages

    def take_over(self, reports: str, snapshot: int) -> bool:
        """Fill in what an earlier attempt of the run reported about a snapshot; False if there is no report to read."""
        filesystem, path = fsspec.url_to_fs(report_uri(reports, self.stage, self.day, self.run))
        earlier = next(readable(filesystem, [path] if filesystem.exists(path) else []), {})
        if earlier.get("snapshot") == snapshot:
            for name in set(_OF_SNAPSHOT) & set(earlier):
                setattr(self, name, earlier[name])
        return bool(earlier.get("snapshot") == snapshot)

    def to_json(self) -> str:
        """The report as one line of JSON."""
        return json.dumps(asdict(self), default=str)

    def write(self, reports: str) -> str:
        """Write the report below the `reports` setting, over that of an earlier attempt of the run; return its URI."""
        uri = report_uri(reports, self.stage, self.day, self.run)
        write_whole(uri, self.to_json() + "\n")
        return uri


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from the source folder"
