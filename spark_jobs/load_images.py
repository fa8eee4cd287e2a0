"""Load the images of a folder or a manifest into HBase, without refusing or losing any.

    python -m spark_jobs.load_images FOLDER --day 2026-11-02
    python -m spark_jobs.load_images catalogue/manifest.jsonl

Broken files are loaded as they are: the pipeline says later what is wrong with them. The command names those that are
empty or whose first bytes are of no picture. A file that cannot be read, or that HBase does not take, becomes a row
without an image, which says why (`load_error`). Loading again replaces rows and their metadata. A manifest may only
name files below its own folder; with `--anywhere` it may name any file that the loader can read. Links are followed.

The loader's own metadata are `file`, `loaded_at`, `size_bytes`, `sha256` and `load_error`; if a manifest has a column
of such a name, its value is kept as `given_file` and so on.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spark_jobs.hbase import row_key
from spark_jobs.hbase.contents import table_names
from spark_jobs.hbase.manifest import Entry, entries_of
from spark_jobs.hbase.scan import Gateways, HBaseError
from spark_jobs.hbase.source import has_rows
from spark_jobs.hbase.table import (
    ERROR_COLUMN,
    IMAGE_COLUMN,
    MESSAGE_BYTES,
    METADATA_FAMILY,
    Cells,
    RowWriter,
    ensure_table,
)
from spark_jobs.mistakes import day_of
from spark_jobs.pipeline import EXIT_FAILURE, EXIT_MISTAKE, IMAGE_PIPELINE
from spark_jobs.settings import Settings
from spark_jobs.stages.file_format import DECODED_FORMATS, embedded_image, identify

_NAMED, _SAID = 3, 20
OWN_METADATA = frozenset({"file", "loaded_at", "size_bytes", "sha256", "load_error"})
_COLUMNS = (
    TextColumn("loading"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)


@dataclass
class Loaded:
    """What a load did.

    without_image, without_metadata: (day, key) -> why the row lacks its image, or its large metadata.
    no_pictures: (day, key) -> what the row's file is, where its first bytes are of no picture.
    size_bytes: of all images.
    """

    table: str
    salt_buckets: int
    rows: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    without_image: dict[tuple[date, str], str] = field(default_factory=dict)
    without_metadata: dict[tuple[date, str], str] = field(default_factory=dict)
    no_pictures: dict[tuple[date, str], str] = field(default_factory=dict)


def load(settings: Settings, entries: Iterable[Entry], console: Console | None = None) -> Loaded:
    """Load images into the table of the settings, which is created if it is missing.

    console: shows the progress.

    Raises:
        HBaseError: no gateway answers, or the table is not one of ours.
    """
    entries = list(entries)
    gateways = Gateways(settings.gateways(), settings.hbase_wire)
    start = time.perf_counter()
    try:
        salts = ensure_table(gateways, settings.hbase_table, settings.salt_buckets, settings.hbase_command)
        loaded = Loaded(settings.hbase_table, salts)
        with Progress(*_COLUMNS, console=console or Console(quiet=True)) as progress:
            writer = RowWriter(gateways, settings.hbase_table, replaced_family=METADATA_FAMILY)
            _load(writer, entries, loaded, progress)
    finally:
        gateways.close()
    loaded.seconds = time.perf_counter() - start
    return loaded


def _load(writer: RowWriter, entries: list[Entry], loaded: Loaded, progress: Progress) -> None:
    task = progress.add_task("load", total=len(entries))
    rows = [row_key.row_key(entry.day, entry.key, loaded.salt_buckets) for entry in entries]
    loaded_at = datetime.now(UTC).isoformat(timespec="seconds")
    for row, entry in zip(rows, entries, strict=True):
        cells = cells_of(entry, loaded_at)
        writer.put(row, cells)
        loaded.rows += 1
        image = cells[IMAGE_COLUMN]
        loaded.size_bytes += len(image or b"")
        if image is not None and (kind := kind_of_other(image)):
            loaded.no_pictures[entry.day, entry.key] = f"{entry.path.name} is {kind}"
        if error := cells.get(ERROR_COLUMN):
            loaded.without_image[entry.day, entry.key] = row_key.text_of(error)
        progress.advance(task)
    writer.flush()
    names = {row: (entry.day, entry.key) for row, entry in zip(rows, entries, strict=True)}
    loaded.without_image |= {names[row]: why for row, why in writer.refused.items()}
    loaded.without_metadata |= {names[row]: why for row, why in writer.refused_metadata.items()}


def refuse_filled_table(settings: Settings) -> None:
    """Check, before the demo's catalogue is loaded, that it does not mix with anybody's own pictures.

    Raises:
        ValueError: the table of the settings has images.
    """
    table = settings.hbase_table
    if table in table_names(settings) and has_rows(settings, table):
        raise ValueError(f"table {table!r} has images already; load more without --only-new (make catalogue ADD=1)")


def cells_of(entry: Entry, loaded_at: str) -> Cells:
    """The cells of an image's row: its bytes as they are, and its metadata with size, hash, file and time added."""
    name = entry.path.name
    own = {"file": name, "loaded_at": loaded_at}
    error = None
    try:
        image = _read(entry.path)
        own |= {"size_bytes": str(len(image)), "sha256": hashlib.sha256(image).hexdigest()}
    except (OSError, ValueError) as problem:  # ValueError: a name that no file can have
        image, error = None, row_key.bytes_of(f"cannot read {name}: {getattr(problem, 'strerror', None) or problem}")
    given = {f"given_{name}" if name in OWN_METADATA else name: text for name, text in entry.metadata.items()}
    metadata = {row_key.bytes_of(f"m:{name}"): row_key.bytes_of(text) for name, text in {**given, **own}.items()}
    return {IMAGE_COLUMN: image, **metadata, ERROR_COLUMN: error}


def kind_of_other(data: bytes) -> str:
    """What a file is, by its first bytes, that the pipeline takes for no picture; empty where it may be one.

    >>> kind_of_other(b""), kind_of_other(b"<html>503</html>"), kind_of_other(b"\\xff\\xd8\\xff\\xe0")
    ('empty', 'of the type html', '')
    """
    kind = identify(data)
    if not data:
        return "empty"
    if kind in DECODED_FORMATS or embedded_image(data) is not None:
        return ""
    return "of no known type" if kind == "unknown" else f"of the type {kind}"


def _read(path: Path) -> bytes:
    """The bytes of a file. OSError if it has more than a Thrift message holds, so that no file fills the memory."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file")  # opening a pipe would wait for its writer
    with path.open("rb") as file:
        content = file.read(MESSAGE_BYTES + 1)
    if len(content) > MESSAGE_BYTES:
        raise OSError(errno.EFBIG, f"more than {MESSAGE_BYTES} bytes do not fit a Thrift message")
    return content


def main(
    source: Annotated[Path, typer.Argument(help="a folder of images, or a manifest (.csv, .jsonl)")],
    day: Annotated[str, typer.Option(help="day of images for which the manifest has none, as YYYY-MM-DD")] = "",
    metadata: Annotated[
        Path | None, typer.Option(help="file with metadata of a folder's images: .csv or .jsonl with a path column")
    ] = None,
    table: Annotated[str, typer.Option(help="HBase table; by default PIPELINE_HBASE_TABLE")] = "",
    only_new: Annotated[bool, typer.Option("--only-new", help="refuse a table that has images already")] = False,
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="let the manifest name files outside its folder")
    ] = False,
) -> None:
    """Load images into HBase."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    console, settings = Console(), Settings.from_environment()
    settings = settings if not table else replace(settings, hbase_table=table)
    try:
        if not source.exists():
            raise ValueError(f"there is no {source}, expected a folder of images, or a manifest (.csv, .jsonl)")
        if only_new:
            refuse_filled_table(settings)
        entries = entries_of(source, day_of(day, "--day") if day else None, metadata, anywhere)
        loaded = load(settings, entries, console)
    except (HBaseError, ValueError, OSError) as error:
        console.print("[red]not loaded:[/red]", escape(_printable(error)), highlight=False)
        raise typer.Exit(EXIT_MISTAKE if isinstance(error, ValueError) else EXIT_FAILURE) from None
    days = len({entry.day for entry in entries})
    console.print(
        f"{loaded.rows} images of {days} {'day' if days == 1 else 'days'}, {loaded.size_bytes / 1e6:.1f} MB, in table "
        f"{loaded.table} "
        f"({loaded.salt_buckets} salts), {loaded.seconds:.1f} s"
    )
    lines = [*map(_printable, what_lacks(loaded)), *what_next(entries)]
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def what_lacks(loaded: Loaded) -> Iterator[str]:
    """A line for each row that lacks something or whose file is no picture, then how many files are none."""
    kinds = (
        ("without its image", loaded.without_image),
        ("without its metadata", loaded.without_metadata),
        ("no picture", loaded.no_pictures),
    )
    for lack, rows in kinds:
        yield from (f"{lack}: {at} {key}: {why}" for (at, key), why in islice(rows.items(), _SAID))
        if len(rows) > _SAID:
            yield f"{lack}: {len(rows) - _SAID} more"
    if loaded.no_pictures:
        none = len(loaded.no_pictures)
        yield f"{none} of the {loaded.rows} files {'is' if none == 1 else 'are'} no picture; the run will say so too"


def what_next(entries: Sequence[Entry]) -> list[str]:
    """The keys of the rows, and the command that processes the days."""
    if not entries:
        return ["nothing to load: the source has no file"]
    days = sorted({entry.day for entry in entries})
    more = ", ..." if len(entries) > _NAMED else ""
    lines = [f"keys: {', '.join(entry.key for entry in entries[:_NAMED])}{more}"]
    command = f'airflow dags trigger {IMAGE_PIPELINE} --conf \'{{"day": "{days[0]}"}}\''
    if len(days) > 1:
        dates = f"--from-date {days[0]} --to-date {days[-1]}"
        command = f"airflow backfill create --dag-id {IMAGE_PIPELINE} {dates} --reprocess-behavior completed"
    return [_printable(line) for line in (*lines, f"next: {command}")]


def _printable(message: object) -> str:
    """A message as a terminal can print it, even if it has file names that are not UTF-8."""
    return row_key.text_of(row_key.bytes_of(str(message)))


if __name__ == "__main__":
    typer.run(main)
