"""The jobs of the pipeline as the tests run them: in tables of their own, each job a process as Airflow's operator
starts it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spark_jobs.pipeline import EXIT_OK, STAGES, Stage, session_id, stages_of
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.settings import Settings
from tests.spark_jobs.lake import Lake
from tests.waiting import LIMIT_S

PIPELINE, SIMILAR = "image_pipeline", "similar_images"
QUICK = {"calibrate_duplicates": ("--pictures", "24", "--copies", "4")}
"""Options for so few images."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Chain:
    """The pipeline in a namespace of its own: its settings, its tables, ways to run it."""

    lake: Lake

    @classmethod
    def in_namespace(cls, lake: Lake, namespace: str, table: str) -> Chain:
        """The pipeline whose tables are `lake.<namespace>.*` and whose images are in HBase's `table`."""
        own = {
            "PIPELINE_NAMESPACE": namespace,
            "PIPELINE_HBASE_TABLE": table,
            "PIPELINE_INDEX": f"file://{lake.settings.home}/index-of-{namespace}",
        }
        environment = {**lake.environment, **own}
        return cls(Lake(Settings.from_environment(environment), environment))

    @property
    def models(self) -> Path:
        """The folder of the artefacts."""
        return Path(self.lake.settings.models.removeprefix("file://"))

    def start(self, stage: str, run: str, day: str, attempt: int = 1) -> subprocess.Popen[str]:
        """Start a job as a task of a DAG run does."""
        return self.lake.python("-m", STAGES[stage].module, *self._line(STAGES[stage], run, day, attempt))

    def run(self, stage: str, run: str, day: str, attempt: int = 1) -> Row:
        """Run a job to its good end; its run report."""
        code, report = ended(self.start(stage, run, day, attempt))
        assert code == EXIT_OK, report
        return report

    def run_days_at_once(self, run: str, days: Iterable[str]) -> None:
        """Run the five jobs of every day, all days side by side: a process for each day, which saves the jobs their
        starts."""
        started = [self.lake.python("-m", "tests.end_to_end.chain", f"{run}__{day}", day) for day in days]
        outputs = [process.communicate(timeout=LIMIT_S * len(stages_of(PIPELINE)))[0] for process in started]
        assert not any(process.returncode for process in started), "\n".join(outputs)

    def run_here(self, dag: str, run: str, day: str | None = None, until: str = "") -> None:
        """Run the jobs of a DAG in this process, which saves each of them its start. until: the last one to run."""
        for stage in stages_of(dag):
            job = importlib.import_module(stage.module)
            line = self._line(stage, run, day, 1)
            code = runner.execute(stage.name, job.plan, getattr(job, "Options", NoOptions), line, self.lake.settings)
            assert code == EXIT_OK, stage.name
            if stage.name == until:
                break

    def rows(self, dataset: str, day: str | None = None) -> list[Row]:
        """What any reader sees of a dataset, in the order of its keys."""
        spark = self.lake.connect()
        try:
            table = spark.table(self.lake.settings.table(dataset))
            return list(
                (table.where(f"day = DATE '{day}'") if day else table).orderBy("day", "key").toArrow().to_pylist()
            )
        finally:
            spark.stop()

    def ever_readable(self, dataset: str) -> list[str | None]:
        """`<run>/<attempt>` of every state of a dataset that readers have ever seen, in order; None for one not
        staged."""
        table = self.lake.settings.table(dataset)
        identity = "coalesce(summary['wap.id'], summary['published-wap-id'])"
        spark = self.lake.connect()
        try:
            states = f"{table}.history JOIN {table}.snapshots USING (snapshot_id) ORDER BY made_current_at"
            found = [row["id"] for row in spark.sql(f"SELECT {identity} AS id FROM {states}").collect()]
        finally:
            spark.stop()
        return [identity and identity.rpartition("/")[0] for identity in found]

    def _line(self, stage: Stage, run: str, day: str | None, attempt: int) -> list[str]:
        last = stages_of(stage.dag)[-1]
        return [
            *("--run", run, "--attempt", str(attempt), "--dag", stage.dag),
            *(("--day", day) if day else ()),
            *(("--release",) if stage is last else ()),
            *QUICK.get(stage.name, ()),
            *("--remote", self.lake.remote(session_id(stage.dag, run))),
        ]


def ended(job: subprocess.Popen[str]) -> tuple[int, Row]:
    """The exit code of a job and its run report, the last thing it prints unless a broken connection has a last
    word."""
    output = job.communicate(timeout=LIMIT_S)[0]
    report: Row = json.loads([line for line in output.splitlines() if line.startswith("{")][-1])
    return job.returncode, report


if __name__ == "__main__":
    Chain(Lake(Settings.from_environment(), os.environ)).run_here(PIPELINE, *sys.argv[1:])
