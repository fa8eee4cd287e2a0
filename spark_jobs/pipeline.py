"""The stages of the pipeline, as a table: what each runs, reads, writes and promises.

Standard library only: Airflow reads it when it parses the DAG files.

A stage is one job script and one Airflow task. Adding one is a row here, a script `spark_jobs/<verb_noun>.py`, and the
contract of what it writes.

>>> [stage.name for stage in stages_of("image_pipeline")]
['read_images', 'preprocess_images', 'detect_objects', 'crop_objects', 'extract_features']
>>> STAGES["extract_features"].contract
'data_contracts.features:FEATURES'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

Session = Literal["any", "classic", "none"]

IMAGE_PIPELINE = "image_pipeline"
SIMILAR_IMAGES = "similar_images"
FEATURE_EXTRACTION = "feature_extraction"
MODEL_TRAINING = "model_training"
HOUSEKEEPING = "housekeeping"
DAY_CHECK = "day_check"
TAKE_DOWN = "take_down"
"""Stands for a DAG: `spark_jobs.withdraw` is run only by hand."""

EXIT_OK = 0
EXIT_FAILURE = 1
"""A failure that may not happen again: the task may be retried."""
EXIT_WRONG_LINE = 2
"""The command line lacks an option, has an unknown one, or a value of the wrong kind: nothing has run."""

EXIT_MISTAKE = 64
"""The request cannot be met (EX_USAGE of sysexits.h): nothing has run, and a retry would end the same way."""

EXIT_BROKEN_CONTRACT = 65
"""The rows break the contract (EX_DATAERR of sysexits.h): nothing is published; a retry would give the same rows."""

EXIT_NOTHING_YET = 66
"""No image has ever been loaded, or none of a scheduled day (EX_NOINPUT of sysexits.h): there is nothing to do."""

EXIT_TERMINATED = 143
"""The command was told to stop, by SIGTERM or Ctrl-C."""

EXIT_CODES: Mapping[int, str] = MappingProxyType(
    {
        EXIT_OK: "done",
        EXIT_FAILURE: "a failure that may not happen again; Airflow retries it",
        EXIT_WRONG_LINE: "the command line cannot be read, for example an unknown option or a word for a number; "
        "nothing has run",
        EXIT_MISTAKE: "the request cannot be met, for example a model or a day is missing or no date; nothing has run",
        EXIT_BROKEN_CONTRACT: "the rows break their contract; nothing was published",
        EXIT_NOTHING_YET: "no image has been loaded yet, ever or of a scheduled day; nothing to do",
        EXIT_TERMINATED: "it was told to stop",
    }
)
"""What the exit code of every job and command means. Only 1 is worth another try."""


@dataclass(frozen=True)
class Stage:
    """One job of the pipeline.

    name: of the stage, its script and its Airflow task.   title: one line for people.   dag: the DAG it belongs to.
    reads: datasets, pinned to a snapshot when the stage starts.
    lists: datasets that people add to, read like the others; they exist from the start, even without rows.
    writes: the dataset it replaces; None when it writes files.
    all_days: whether it reads every day, and replaces all rows of its table or the part of them that its job names.
    adds: whether it writes the earlier rows and more; if another run published first, it then reads them again.
    reads_hbase: whether it reads HBase; an Airflow pool limits how many such tasks run at once.
    session: `any` (Spark Connect or spark-submit), `classic` (spark-submit: needs RDDs), `none` (a plain process).
    options: the options of its script that a DAG run may set.   sql: Spark SQL settings that can be set at run time.
    """

    name: str
    title: str
    dag: str
    reads: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    writes: str | None = None
    all_days: bool = False
    adds: bool = False
    reads_hbase: bool = False
    session: Session = "any"
    options: tuple[str, ...] = ()
    sql: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_daily(self) -> bool:
        """Whether it works on one day, and replaces only that day's rows."""
        return self.writes is not None and not self.all_days

    @property
    def script(self) -> str:
        """The job script's path inside the project, for spark-submit."""
        return f"spark_jobs/{self.name}.py"

    @property
    def module(self) -> str:
        """The job script as a module, for `python -m`."""
        return f"spark_jobs.{self.name}"

    @property
    def contract(self) -> str | None:
        """Where the contract of the written dataset is, as `module:NAME`."""
        return None if self.writes is None else f"data_contracts.{self.writes}:{self.writes.upper()}"


_FEW_AT_ONCE = MappingProxyType({"spark.sql.execution.arrow.maxRecordsPerBatch": "64"})
"""For rows with pictures: a Python worker holds a batch of them."""
_ROWS = (
    Stage(
        name="read_images",
        title="Read a day's images from HBase",
        dag=IMAGE_PIPELINE,
        writes="raw_images",
        reads_hbase=True,
        options=("table", "limit"),
        sql=_FEW_AT_ONCE,
    ),
    Stage(
        name="preprocess_images",
        title="Check and decode each image, make it canonical",
        dag=IMAGE_PIPELINE,
        reads=("raw_images",),
        writes="images",
        options=("placeholders",),
        sql=_FEW_AT_ONCE,
    ),
    Stage(
        name="detect_objects",
        title="Find the products in each image (SSD)",
        dag=IMAGE_PIPELINE,
        reads=("images",),
        writes="detections",
        options=("models", "detector"),
        sql=_FEW_AT_ONCE,
    ),
    Stage(
        name="crop_objects",
        title="Cut the product out of each image",
        dag=IMAGE_PIPELINE,
        reads=("images", "detections"),
        writes="crops",
        options=("margin", "crops_per_image", "fall_back"),
        sql=_FEW_AT_ONCE,
    ),
    Stage(
        name="extract_features",
        title="Turn each crop into a binary code (DeepBit)",
        dag=IMAGE_PIPELINE,
        reads=("crops", "images"),
        writes="features",
        options=("models", "extractor", "codes"),
        sql=_FEW_AT_ONCE,
    ),
    Stage(
        name="calibrate_duplicates",
        title="Choose the threshold for duplicates on changed copies of the catalogue's pictures",
        dag=SIMILAR_IMAGES,
        reads=("images", "crops", "features"),
        lists=("withdrawn",),
        all_days=True,
        options=("models", "detector", "extractor", "codes"),
        sql=_FEW_AT_ONCE,
    ),
    Stage(
        name="compare_pictures",
        title="Compare new pictures with all others, keep pairs of duplicates",
        dag=SIMILAR_IMAGES,
        reads=("features",),
        lists=("withdrawn",),
        writes="duplicate_pairs",
        all_days=True,
        options=("codes",),
        # The rows of a day are one task's work up to this size, 64 MB by default: a million of them.
        sql=MappingProxyType({"spark.sql.adaptive.advisoryPartitionSizeInBytes": "16m"}),
    ),
    Stage(
        name="find_duplicates",
        title="Group the pictures that show the same product picture",
        dag=SIMILAR_IMAGES,
        reads=("features", "duplicate_pairs"),
        lists=("withdrawn",),
        writes="duplicates",
        all_days=True,
        options=("codes",),
    ),
    Stage(
        name="build_index",
        title="Write the search index of all codes",
        dag=SIMILAR_IMAGES,
        reads=("features", "duplicates", "crops", "raw_images"),
        lists=("withdrawn",),
        all_days=True,
        options=("codes",),
    ),
    Stage(
        name="monitor_prices",
        title="Report what the same product picture costs in different shops",
        dag=SIMILAR_IMAGES,
        reads=("duplicates", "features", "images", "raw_images"),
        lists=("withdrawn",),
        writes="price_monitoring",
        all_days=True,
        options=("codes",),
    ),
    Stage(
        name="check_copyright",
        title="Report pictures of an owner that appear under another owner or shop",
        dag=SIMILAR_IMAGES,
        reads=("duplicates", "features", "images", "raw_images"),
        lists=("withdrawn",),
        writes="picture_copyright",
        all_days=True,
        options=("codes",),
    ),
    Stage(
        name="export_reports",
        title="Write both reports as CSV files, for spreadsheets",
        dag=SIMILAR_IMAGES,
        reads=("price_monitoring", "picture_copyright"),
        all_days=True,
        options=("codes",),
    ),
    Stage(
        name="draw_days",
        title="Draw each day in pictures",
        dag=SIMILAR_IMAGES,
        reads=("images", "detections", "crops", "duplicates", "raw_images"),
        all_days=True,
        options=("codes",),
        sql=_FEW_AT_ONCE,
    ),
    Stage(
        name="withdraw",
        title="Take pictures down, or use them again",
        dag=TAKE_DOWN,
        writes="withdrawn",
        all_days=True,
        adds=True,
    ),
    Stage(
        name="train_detector",
        title="Train the detector on generated images",
        dag=MODEL_TRAINING,
        session="none",
        options=("minutes", "seed"),
    ),
    Stage(
        name="train_features",
        title="Train the extractor on generated images",
        dag=MODEL_TRAINING,
        session="none",
        options=("minutes", "seed", "backbone", "catalogue"),
    ),
    Stage(
        name="evaluate_models",
        title="Score the models on held-out images",
        dag=MODEL_TRAINING,
        session="none",
    ),
    Stage(
        name="train_model",
        title="Train a network on pictures of the lake, as a file says",
        dag=MODEL_TRAINING,
        lists=("withdrawn",),
        all_days=True,
        options=("config",),
        sql=_FEW_AT_ONCE,
    ),
    Stage(
        name="maintain_tables",
        title="Expire snapshots, compact, remove orphans and old index versions",
        dag=HOUSEKEEPING,
        options=("keep_days", "quiet_hours", "keep_index_versions"),
    ),
    Stage(
        name="check_days",
        title="Find days that were missed and pictures that came late",
        dag=DAY_CHECK,
        reads_hbase=True,
        session="none",
        options=("late_days",),
    ),
)

STAGES: Mapping[str, Stage] = MappingProxyType({stage.name: stage for stage in _ROWS})
"""Every stage by name, in the order in which the stages of a DAG run."""

ALL_DAYS = "all_days"
"""Stands for the day in the report paths of stages that read every day."""

SCHEDULED = "scheduled__"
"""Begins the names of the runs that Airflow's scheduler starts by itself."""

CATCH_UP = "catch_up__"
"""Begins the names of the runs that `spark_jobs.catch_up` asks Airflow for."""

UNDOING = "restore_day"
"""Stands for the DAG in the run reports that undoing a day writes."""

PUBLISHED = ("published", "already_published", "empty")
"""The statuses of a run report whose rows (perhaps none) readers can see, from this or an earlier attempt of the same
run."""

REFUSED = "refused"
"""The status of a run report whose stage could not meet the request."""

NOTHING_YET = "nothing_yet"
"""The status of a run report whose stage had nothing to read: no image, ever or of a scheduled day."""


def stages_of(dag: str) -> tuple[Stage, ...]:
    """The stages of a DAG, in the order in which they run.

    Raises:
        ValueError: no stage belongs to the DAG.
    """
    found = tuple(stage for stage in STAGES.values() if stage.dag == dag)
    if not found:
        known = ", ".join(sorted({stage.dag for stage in STAGES.values()}))
        raise ValueError(f"got DAG {dag!r}, expected one of {known}")
    return found


def is_in_use(report: Mapping[str, Any], codes: str) -> bool:
    """Whether a run report counts as one of the pipeline's, and not of another set of codes, an undone day or a trial.

    codes: the set in use, empty for the first. A report without one is of a stage that does not depend on it.

    >>> find = {"stage": "find_duplicates", "codes": "v2"}
    >>> is_in_use(find, codes=""), is_in_use(find, codes="v2"), is_in_use({"stage": "read_images"}, codes="v2")
    (False, True, True)
    """
    is_of_set = report.get("stage") in STAGES and report.get("codes") in (None, codes)
    return is_of_set and report.get("dag") != UNDOING and not report.get("trial")


def session_id(dag: str, run: str) -> str:
    """The Spark Connect session of a DAG run: the same for all its tasks, so that they share warm Python workers.

    >>> session_id("image_pipeline", "manual__1") == session_id("image_pipeline", "manual__1")
    True
    """
    return str(uuid5(NAMESPACE_URL, f"{dag}/{run}"))


def is_day(text: str) -> bool:
    """Whether the text is a date as the pipeline writes it.

    >>> is_day("2026-11-02"), is_day("20261102"), is_day("../../etc")
    (True, False, False)
    """
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def report_uri(reports: str, stage: str, day: str | None, run: str) -> str:
    """Where a stage's run report lies; a later attempt of the same run overwrites it.

    reports: the `reports` setting · day: ISO date, None for a stage over all days.

    Raises:
        ValueError: the stage is unknown, or the day is not a date. Both become folders, and come from command lines and
            web addresses.

    >>> report_uri("file:///r", "read_images", "2026-11-02", "manual__2026-11-02T00:00:00+00:00")
    'file:///r/2026-11-02/read_images/manual__2026-11-02T00%3A00%3A00%2B00%3A00.json'
    """
    if stage not in STAGES or not (day is None or is_day(day)):
        raise ValueError(
            f"got stage {stage!r} and day {day!r}, expected one of {', '.join(STAGES)} and a day like 2026-11-02"
        )
    return f"{reports.rstrip('/')}/{day or ALL_DAYS}/{stage}/{quote(run, safe='')}.json"


RUNNING = "running"
"""The folder, beside those of the days, in which attempts tell how far they are while they run."""


def running_uri(reports: str, stage: str, day: str | None, run: str) -> str:
    """Where an attempt tells how far it is; the file is removed when it ends.

    >>> running_uri("file:///r", "read_images", "2026-11-02", "mine")
    'file:///r/running/2026-11-02--read_images--mine.json'
    """
    return f"{reports.rstrip('/')}/{RUNNING}/{day or ALL_DAYS}--{stage}--{quote(run, safe='')}.json"
