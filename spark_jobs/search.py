"""Find the pictures most similar to a given one, in the newest search index.

    python -m spark_jobs.search photo.jpg
    python -m spark_jobs.search mug-4004-00021/0 --k 20 --sheet neighbours.png
    python -m spark_jobs.search mug-4004-00021/0 --within 12
    python -m spark_jobs.search mug-4004-00021/0 --filter shop=north --filter price=10..20
    python -m spark_jobs.search photo.jpg --url "$PIPELINE_SEARCH_URL"          asks the search service

It prints the neighbours, and writes a contact sheet if `--sheet` gives a path. A picture file is treated as in the
pipeline: it is checked, its product is found and cut out, and the model that made the index computes the code.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from dlcore.search.filters import where_of
from dlcore.search.index import Index, open_index
from dlcore.search.segment import Where
from search_service.client import Client, neighbour_of
from search_service.query import Models, Neighbour, neighbours, neighbours_within, query_of_file, query_of_key, sheet_of
from spark_jobs.mistakes import leave
from spark_jobs.pipeline import SIMILAR_IMAGES
from spark_jobs.settings import Settings
from spark_jobs.stages.detect import NO_DETECTOR
from spark_jobs.stages.withdrawn_keys import withdrawn_keys

TOKEN = "PIPELINE_SEARCH_TOKEN"


def _table(found: list[Neighbour]) -> Table:
    table = Table("bits", "day", "key", "label", "group")
    for item in found:
        table.add_row(str(item.distance), item.day, item.key, item.label, item.group)
    return table


@dataclass(frozen=True)
class _Answer:
    """What was found, in which version, among how many items; and the contact sheet if one was asked for."""

    version: str
    items: int
    found: list[Neighbour]
    sheet: Image.Image | None


def _opened(index: str) -> Index:
    """The newest index; if there is none, the error says which DAG makes it."""
    try:
        return open_index(index)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}, as the DAG {SIMILAR_IMAGES} does after each day's run") from error


def _by_index(
    index: str, query: str, k: int, within: int | None, where: Where, with_sheet: bool, models: Models
) -> _Answer:
    """The answer computed in this process: the k nearest, or all within so many bits."""
    opened, withdrawn = _opened(index), withdrawn_keys(index)
    path = Path(query)
    asked = query_of_file(opened, path, models) if path.is_file() else query_of_key(opened, query, withdrawn)
    found = (
        neighbours(opened, asked, k, where, withdrawn)
        if within is None
        else neighbours_within(opened, asked, within, where, withdrawn)
    )
    return _Answer(opened.version, len(opened), found, sheet_of(opened, asked, found) if with_sheet else None)


def _by_service(url: str, query: str, k: int, where: Where, with_sheet: bool) -> _Answer:
    """The answer of a search service."""
    path = Path(query) if Path(query).is_file() else None
    with Client(url, os.environ.get(TOKEN, "")) as client:
        answer = client.by_file(path, k, where) if path else client.by_key(query, k, where)
        sheet = client.sheet(answer, path) if with_sheet else None
    return _Answer(answer["index"], answer["items"], [neighbour_of(each) for each in answer["neighbours"]], sheet)


def main(
    query: Annotated[str, typer.Argument(help="an image file, or a key of the index")],
    k: Annotated[int, typer.Option(min=1, help="number of neighbours")] = 10,
    within: Annotated[
        int | None, typer.Option(min=0, help="find all that are at most so many bits away, instead of the k nearest")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="name=value that neighbours must have: shop=north, price=10..20; a name given twice: either",
        ),
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="contact sheet to write (PNG); by default none")] = None,
    url: Annotated[str, typer.Option(help=f"address of a search service to ask, with the token in {TOKEN}")] = "",
    index: Annotated[str, typer.Option(help="URI of the index; empty: the one in the settings")] = "",
    models: Annotated[str, typer.Option(help="URI of the folder of artefacts; empty: the one in the settings")] = "",
    detector: Annotated[
        str, typer.Option(help=f"name of the detector's artefact; '{NO_DETECTOR}': use the whole image")
    ] = "detector-small",
    extractor: Annotated[str, typer.Option(help="name of its artefact; empty: the extractor that made the index")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the neighbours as JSON, for programs")] = False,
) -> None:
    """Print the neighbours of a picture, and write a contact sheet of them if asked."""
    settings = Settings.from_environment()
    eyes = Models(models or settings.models, detector, extractor)
    try:
        if url and within is not None:
            raise ValueError("got --within and --url, expected one of them: the service finds the k nearest")
        where = where_of(only or ())
        answer = (
            _by_service(url, query, k, where, bool(sheet))
            if url
            else _by_index(index or settings.index, query, k, within, where, bool(sheet), eyes)
        )
    except (KeyError, ValueError, FileNotFoundError, ImportError, ConnectionError) as error:
        leave("search", error)
    if sheet and answer.sheet:
        answer.sheet.save(sheet)
    if as_json:
        print(json.dumps({"index": answer.version, "neighbours": [asdict(item) for item in answer.found]}))
        return
    Console().print(_table(answer.found))
    typer.echo(f"{sheet or 'no sheet, --sheet FILE writes one'} ({answer.items} items in index {answer.version})")


if __name__ == "__main__":
    typer.run(main)
