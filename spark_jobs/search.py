"""Find the pictures most similar to one, by the newest search index.

    python -m spark_jobs.search photo.jpg
    python -m spark_jobs.search mug-4004-00021/0 --k 20 --sheet neighbours.png

Prints the neighbours and writes a contact sheet. A file is searched as the pipeline would see it: checked, its product
found and cut out, coded by the model that made the index.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from dlcore.search.codes import Codes, pack
from dlcore.search.index import Index, open_index
from spark_jobs.settings import Settings, artefact_uri
from spark_jobs.stages.contact_sheet import Tile, contact_sheet
from spark_jobs.stages.crop import CropPolicy, choose_crops
from spark_jobs.stages.decode import decode_image, read_pixels
from spark_jobs.stages.detect import NO_DETECTOR, load_detector
from spark_jobs.stages.features import load_extractor


@dataclass(frozen=True)
class Query:
    """What is searched for: its code (1, B), its picture, and its position in the index, None for a file."""

    code: Codes
    picture: Image.Image
    position: int | None = None


@dataclass(frozen=True)
class Neighbour:
    """An item of the index near the query; distance in bits."""

    position: int
    distance: int
    day: str
    key: str
    label: str
    group: str


def query_of_key(index: Index, key: str) -> Query:
    """The item of a key.

    Raises KeyError when the index does not have it.
    """
    found = index.find(key)
    if not len(found):
        raise KeyError(f"got {key!r}, which is neither a file nor a key of index {index.version} ({len(index)} items)")
    position = int(found[-1])
    return Query(np.array(index.entries.codes[position : position + 1]), _picture(index, position), position)


def query_of_file(index: Index, path: Path, models: str, detector: str, extractor: str) -> Query:
    """The product in an image file, seen as the pipeline sees it.

    Raises ValueError when the file is no usable image, or the extractor is not the one that made the index.
    """
    row = decode_image(path.read_bytes())
    if row.image is None:
        raise ValueError(f"{path}: got {row.reason.value} ({row.reason.meaning}), expected a usable image")
    loaded = load_extractor(artefact_uri(models, extractor))
    if loaded.version != index.meta["model_version"]:
        raise ValueError(
            f"index {index.version} was made by model {index.meta['model_version'][:12]}, got {loaded.version[:12]}; "
            "search with that model, or run the pipeline and build_index again"
        )
    pixels = read_pixels(row.image)
    objects = [] if detector == NO_DETECTOR else load_detector(artefact_uri(models, detector)).find([pixels])[0].objects
    crop = choose_crops(objects, pixels.shape[1], pixels.shape[0], CropPolicy())[0]
    part = pixels[crop.y_min : crop.y_max, crop.x_min : crop.x_max]
    codes, _ = loaded.outputs([part])
    return Query(pack(codes, loaded.threshold), Image.fromarray(part))


def neighbours(index: Index, query: Query, k: int) -> list[Neighbour]:
    """The `k` nearest items, the query itself left out."""
    positions, apart = index.search(query.code, k + 1)
    entries = index.entries
    found = [
        Neighbour(
            int(position),
            int(distance),
            str(entries.days[position]),
            entries.keys[position].decode(),
            entries.labels[position].decode(),
            entries.groups[position].decode(),
        )
        for position, distance in zip(positions[0], apart[0], strict=True)
        if position != query.position
    ]
    return found[:k]


def sheet_of(index: Index, query: Query, found: list[Neighbour]) -> Image.Image:
    """The query, then its neighbours by distance; members of the query's group are framed."""
    group = index.entries.groups[query.position].decode() if query.position is not None else ""
    tiles = [Tile(query.picture, "query")] + [
        Tile(_picture(index, item.position), f"{item.distance} bits\n{item.key}", bool(group) and item.group == group)
        for item in found
    ]
    return contact_sheet([tiles[start : start + 6] for start in range(0, len(tiles), 6)])


def _picture(index: Index, position: int) -> Image.Image:
    data = index.thumbnail(position)
    return Image.open(io.BytesIO(data)) if data else Image.new("RGB", (128, 128), (230, 230, 230))


def _table(found: list[Neighbour]) -> Table:
    table = Table("bits", "day", "key", "label", "group")
    for item in found:
        table.add_row(str(item.distance), item.day, item.key, item.label, item.group)
    return table


def main(
    query: Annotated[str, typer.Argument(help="an image file, or a key of the index")],
    k: Annotated[int, typer.Option(help="neighbours")] = 10,
    sheet: Annotated[Path, typer.Option(help="contact sheet to write (PNG)")] = Path("neighbours.png"),
    index: Annotated[str, typer.Option(help="URI of the index; empty: that of the settings")] = "",
    models: Annotated[str, typer.Option(help="URI of the artefacts; empty: that of the settings")] = "",
    detector: Annotated[str, typer.Option(help=f"artefact; '{NO_DETECTOR}': take the whole image")] = "detector-small",
    extractor: Annotated[str, typer.Option(help="artefact")] = "deepbit-small",
) -> None:
    """Print the neighbours of a picture and write them as a contact sheet."""
    settings = Settings.from_environment()
    try:
        opened = open_index(index or settings.index)
        path = Path(query)
        asked = (
            query_of_file(opened, path, models or settings.models, detector, extractor)
            if path.is_file()
            else query_of_key(opened, query)
        )
    except (KeyError, ValueError, FileNotFoundError) as error:
        typer.echo(f"search: {error.args[0]}", err=True)
        raise typer.Exit(1) from error
    found = neighbours(opened, asked, k)
    Console().print(_table(found))
    sheet_of(opened, asked, found).save(sheet)
    typer.echo(f"{sheet} ({len(opened)} items in index {opened.version})")


if __name__ == "__main__":
    typer.run(main)
