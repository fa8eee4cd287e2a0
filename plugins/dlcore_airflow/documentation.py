"""A DAG's documentation in Airflow: the docstring of its file, and a picture of its stages."""

from __future__ import annotations

from dlcore_airflow.links import PAGE
from spark_jobs.pipeline import stages_of


def documentation(text: str | None, dag: str) -> str:
    """Markdown: the docstring of the DAG's file, then its stages.

    Raises:
        ValueError: no stage belongs to the DAG.
    """
    names = ", ".join(stage.name for stage in stages_of(dag))
    picture = f"![the stages {names}]({PAGE}/picture/{dag}.svg)"
    return "\n\n".join([(text or "").strip(), picture, f"[Run reports]({PAGE}/)"])
