"""Move the name of a model to another of its versions, or to a version copied from another folder.

    python -m spark_jobs.promote_model deepbit-lite0                          which versions there are
    python -m spark_jobs.promote_model deepbit-lite0 --version 3f1c...        back, or on
    python -m spark_jobs.promote_model deepbit-lite0 --source models/deepbit-lite0

Nothing is overwritten: the version that made earlier rows stays, and can be loaded by its hash.
"""

from __future__ import annotations

from typing import Annotated

import typer

from dlcore.errors import ModelFormatError
from dlcore.interop.artefact import bring, names, pinned, promote, versions
from spark_jobs.mistakes import leave, nearest
from spark_jobs.settings import Settings, artefact_uri


def main(
    name: Annotated[str, typer.Argument(help="name of the artefact in the models folder")],
    version: Annotated[str, typer.Option(help="version to promote: 64 hexadecimal digits")] = "",
    source: Annotated[str, typer.Option(help="URI of an artefact to copy into the models folder and promote")] = "",
    models: Annotated[str, typer.Option(help="URI of the folder of artefacts; empty: the one in the settings")] = "",
) -> None:
    """Promote a version of a model, or list its versions."""
    folder = models or Settings.from_environment().models
    uri = artefact_uri(folder, name)
    try:
        if not source and name not in (there := names(folder)):
            raise ValueError(f"got model {name!r} in {folder}, {nearest(name, there)}")
        if version and source:
            raise ValueError("got --version and --source, expected one of them")
        wanted = bring(source, uri) if source else version
        if wanted:
            promote(uri, wanted)
        current = pinned(uri).rpartition("@")[2]
        for known in versions(uri):
            typer.echo(f"{known}{' current' if known == current else ''}")
    except (FileNotFoundError, ModelFormatError, ValueError) as error:
        leave("promote_model", error)


if __name__ == "__main__":
    typer.run(main)
