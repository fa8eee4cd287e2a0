"""Load a folder of images, or those a manifest names, into HBase: refusing nothing, losing nothing.

    python -m spark_jobs.load_images FOLDER --day 2026-11-02
    python -m spark_jobs.load_images catalogue/manifest.jsonl

Broken files are loaded as they are: the pipeline says later what is wrong with them. A file that cannot be read, or
whose bytes HBase does not take, becomes a row without an image that says why (`load_error`). Loading again replaces rows.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spark_jobs import row_key
from spark_jobs.hbase_scan import Gateways, HBaseError
from spark_jobs.hbase_table import ERROR_COLUMN, IMAGE_COLUMN, MESSAGE_BYTES, Cells, RowWriter, ensure_table
from spark_jobs.manifest import Entry, entries_of
from spark_jobs.settings import Settings

_COLUMNS = (
    TextColumn("loading"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)


@dataclass
class LoadReport:
    """What a load did. without_image: why, by (day, key), for rows that have no image. size_bytes: of all images."""

    table: str
    salt_buckets: int
    rows: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    without_image: dict[tuple[date, str], str] = field(default_factory=dict)


def load(settings: Settings, entries: Iterable[Entry], console: Console | None = None) -> LoadReport:
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
        report = LoadReport(settings.hbase_table, salts)
        with Progress(*_COLUMNS, console=console or Console(quiet=True)) as progress:
            _load(RowWriter(gateways, settings.hbase_table), entries, report, progress)
    finally:
        gateways.close()
    report.seconds = time.perf_counter() - start
    return report


def _load(writer: RowWriter, entries: list[Entry], report: LoadReport, progress: Progress) -> None:
    task = progress.add_task("load", total=len(entries))
    names = {}
    loaded_at = datetime.now(UTC).isoformat(timespec="seconds")
    for entry in entries:
        row = row_key.row_key(entry.day, entry.key, report.salt_buckets)
        cells = cells_of(entry, loaded_at)
        names[row] = (entry.day, entry.key)
        writer.put(row, cells)
        report.rows += 1
        report.size_bytes += len(cells[IMAGE_COLUMN] or b"")
        if error := cells.get(ERROR_COLUMN):
            report.without_image[entry.day, entry.key] = error.decode()
        progress.advance(task)
    writer.flush()
    report.without_image |= {names[row]: why for row, why in writer.refused.items()}


def cells_of(entry: Entry, loaded_at: str) -> Cells:
    """The cells of an image's row: its bytes as they are; its metadata with size, hash, file and time added."""
    own = {"file": entry.path.name, "loaded_at": loaded_at}
    error = None
    try:
        image = _read(entry.path)
        own |= {"size_bytes": str(len(image)), "sha256": hashlib.sha256(image).hexdigest()}
    except OSError as problem:
        image, error = None, f"cannot read {entry.path.name}: {problem.strerror}".encode()
    metadata = {f"m:{name}".encode(): text.encode() for name, text in {**entry.metadata, **own}.items()}
    return {IMAGE_COLUMN: image, **metadata, ERROR_COLUMN: error}


def _read(path: Path) -> bytes:
    """The bytes of a file; OSError when there are more than a Thrift message holds, so that no file fills the memory."""
    with path.open("rb") as file:
        content = file.read(MESSAGE_BYTES + 1)
    if len(content) > MESSAGE_BYTES:
        raise OSError(errno.EFBIG, f"more than {MESSAGE_BYTES} bytes do not fit a Thrift message")
    return content


def main(
    source: Annotated[Path, typer.Argument(exists=True, help="a folder of images, or a manifest (.csv, .jsonl)")],
    day: Annotated[str, typer.Option(help="day of the images that the manifest gives none, 2026-11-02")] = "",
    metadata: Annotated[Path | None, typer.Option(help="for a folder: .csv or .jsonl with a path column")] = None,
    table: Annotated[str, typer.Option(help="HBase table, by default PIPELINE_HBASE_TABLE")] = "",
) -> None:
    """Load images into HBase."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    console, settings = Console(), Settings.from_environment()
    settings = settings if not table else replace(settings, hbase_table=table)
    try:
        entries = entries_of(source, date.fromisoformat(day) if day else None, metadata)
        report = load(settings, entries, console)
    except (HBaseError, ValueError, OSError) as error:
        console.print(f"[red]not loaded:[/red] {error}", highlight=False)
        raise typer.Exit(1) from None
    days = len({entry.day for entry in entries})
    console.print(
        f"{report.rows} images of {days} days, {report.size_bytes / 1e6:.1f} MB, in table {report.table} "
        f"({report.salt_buckets} salts), {report.seconds:.1f} s"
    )
    for (at, key), why in report.without_image.items():
        console.print(f"without its image: {at} {key}: {why}", highlight=False, markup=False)


if __name__ == "__main__":
    typer.run(main)
