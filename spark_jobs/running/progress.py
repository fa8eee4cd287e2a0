"""Tell how far an attempt is while it runs: a small file is written anew every few seconds, and removed when the
attempt ends.

Beyond the run report so far, it says the phase and how many of Spark's tasks are done. A killed attempt leaves its
file: `seen_at` shows readers that nobody writes it any more, and the next attempt overwrites it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from dlcore.stored_file import remove, write_whole
from spark_jobs.pipeline import running_uri
from spark_jobs.running.run_report import RunReport

logger = logging.getLogger(__name__)

EVERY_S = 5.0
Tasks = tuple[int, int]
"""How many tasks of what Spark computes at the moment are done, and how many there are."""


@contextmanager
def told(report: RunReport, reports: str, spark: Any) -> Iterator[None]:
    """Tell every EVERY_S seconds how far the attempt is, until the block is left.

    reports: the setting of that name.   spark: the session, Connect or classic; None without one.
    If the store does not take the file, the attempt goes on, and the log says so once.
    """
    uri = running_uri(reports, report.stage, report.day, report.run)
    tasks, ended = _tasks_of(spark), threading.Event()

    def tell() -> None:
        """Write it until the block is left, or the store refuses."""
        while not ended.wait(EVERY_S):
            try:
                write_whole(uri, as_json(report, tasks()))
            except Exception:
                logger.warning("cannot say how far the attempt is; the pages will not show it", exc_info=True)
                return

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        try:
            remove(uri)
        except Exception:
            logger.warning("%s cannot be removed; the pages will leave it out after a while", uri, exc_info=True)


def as_json(report: RunReport, tasks: Tasks) -> str:
    """The report so far, with what the attempt does at this moment."""
    done, of = tasks
    now = {
        "phase": report.doing,
        "tasks_done": done,
        "tasks": of,
        "seen_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(asdict(report) | {"progress": now}, default=str)


def _tasks_of(spark: Any) -> Callable[[], Tasks]:
    """A function that counts the tasks of what a session computes at the moment."""
    if spark is None:
        return lambda: (0, 0)
    if not hasattr(
        spark, "sparkContext"
    ):  # a session of Connect; a classic one has a progress handler that always raises
        seen: dict[str, Tasks] = {}

        def note(stages: Any, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
            counted = [(stage.num_completed_tasks, stage.num_tasks) for stage in stages or ()]
            seen["last"] = (0, 0) if done else (sum(done for done, _ in counted), sum(of for _, of in counted))

        spark.registerProgressHandler(note)
        return lambda: seen.get("last", (0, 0))
    return lambda: _of_classic(spark)


def _of_classic(spark: Any) -> Tasks:
    tracker = spark.sparkContext.statusTracker()
    jobs = [tracker.getJobInfo(job) for job in tracker.getActiveJobsIds()]
    stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
    known = [stage for stage in stages if stage]
    return sum(stage.numCompletedTasks for stage in known), sum(stage.numTasks for stage in known)
