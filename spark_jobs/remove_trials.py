"""Remove what trials have left: their tables, their index and their run reports, but nothing that was published.

    python -m spark_jobs.remove_trials --remote "$PIPELINE_CONNECT_URL"

A trial is a run with a limit, or with `--trial`. Its rows are in tables of their own (`Settings.of_trials`).
"""

from __future__ import annotations

from typing import Annotated, Any

import fsspec
import typer

from spark_jobs.pipeline import STAGES
from spark_jobs.run_reports.reading import remove_trial_reports
from spark_jobs.running import sessions
from spark_jobs.settings import Settings


def remove_tables(spark: Any, settings: Settings) -> list[str]:
    """Drop every table of trials with its files; return their names.

    settings: those of the trials.
    """
    namespace = f"{settings.catalog}.{settings.namespace}"
    if not spark.catalog.databaseExists(namespace):
        return []
    tables = [row["tableName"] for row in spark.sql(f"SHOW TABLES IN {namespace}").collect()]
    for table in tables:
        spark.sql(f"DROP TABLE {namespace}.{table} PURGE")
    return sorted(tables)


def main(
    remote: Annotated[str, typer.Option(help="sc://host:port of a Spark Connect server; empty: spark-submit")] = "",
) -> None:
    """Remove the tables, the index and the run reports of trials."""
    settings = Settings.from_environment()
    trials = settings.of_trials()
    try:
        with sessions.opened(STAGES["maintain_tables"], trials, remote or None, is_last=True) as spark:
            tables = remove_tables(spark, trials)
    except ConnectionError as error:
        raise SystemExit(f"remove_trials: {error}") from None
    files, index = fsspec.core.url_to_fs(trials.index)
    if files.exists(index):
        files.rm(index, recursive=True)
    reports = remove_trial_reports(settings.reports)
    found = f"removed {len(tables)} tables ({', '.join(tables) or 'none'}) and {reports} run reports of trials"
    typer.echo(found if tables or reports else "there are no trials to remove")


if __name__ == "__main__":
    typer.run(main)
