"""Add a version of a model that computes in int8 or bf16, and say how far it is from the version in use.

    python -m spark_jobs.lower_precision detector-small --precision int8
    python -m spark_jobs.lower_precision deepbit-small --precision int8 --promote

The name of the model moves only with --promote; a stage also accepts the version as `detector-small@VERSION`. Codes
computed in another arithmetic belong to another version, and versions are not mixed.
"""

from __future__ import annotations

from typing import Annotated

import typer

from dlcore.interop.artefact import promote, split_version
from spark_jobs.mistakes import leave
from spark_jobs.settings import Settings, artefact_uri
from spark_jobs.training.lower_precision import bring_lower, drawn, line

LOWER = ("int8", "bf16")


def main(
    name: Annotated[str, typer.Argument(help="name of the artefact in the models folder")],
    precision: Annotated[str, typer.Option(help="int8 or bf16")] = "int8",
    pictures: Annotated[
        int, typer.Option(min=96, help="number of pictures drawn for calibration, and for comparison")
    ] = 120,
    promoted: Annotated[bool, typer.Option("--promote", help="make the name stand for the new version")] = False,
    models: Annotated[str, typer.Option(help="URI of the folder of artefacts; empty: the one in the settings")] = "",
) -> None:
    """Add a version of a model that computes in fewer bits."""
    uri = artefact_uri(models or Settings.from_environment().models, name)
    try:
        if precision not in LOWER:
            raise ValueError(f"got --precision {precision!r}, expected one of {', '.join(LOWER)}")
        version, found = bring_lower(uri, precision, *drawn(uri, pictures))
        if promoted:
            promote(split_version(uri)[0], version)
    except (FileNotFoundError, ImportError, ValueError) as error:
        leave("lower_precision", error)
    typer.echo(version)
    typer.echo(line(precision, found))


if __name__ == "__main__":
    typer.run(main)
