"""Day sheets: a bounded choice of a day's pictures, small, with what became of each; looking at them needs no Spark.

    <index>/days/2026-11-02.json                     the sheet: what the day has in all, and the name of its files
    <index>/days/sheets/2026-11-02-<random>.json     a row for each picture that was chosen
    <index>/days/sheets/2026-11-02-<random>.bin      their JPEGs, one behind the other; a row says where its own lies

These files are written first: a sheet that is there has all of them. Whoever draws a day again puts its sheet in place
of the old one.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa
import simplejpeg
from PIL import Image

from data_contracts.reasons import Reason
from dlcore.search.store import Store
from spark_jobs.pipeline import is_day
from spark_jobs.stages.decode import read_pixels
from spark_jobs.stages.limits import Limits, TimedOut, time_limit

SIDE = 320
"""The longer side of a picture on a sheet, pixels."""
FOLDER, FILES = "days", "sheets"
FORMAT = 1
_NAMES = ("day", "state", "totals", "pictures", "files")
FACES = 4
MOST_BYTES = 64 << 20
"""Most bytes of a sheet without its pictures; a sheet of 5,000 rows has 3 MB."""

GLIMPSED = (
    Reason.TRUNCATED,
    Reason.CORRUPT_PIXELS,
    Reason.BLANK,
    Reason.TOO_SMALL,
    Reason.EXTREME_ASPECT,
    Reason.PLACEHOLDER,
)
"""Reasons for which a refused file is opened nevertheless, within limits; of all other refused files, only the names
are shown."""
GLIMPSE_S = 5.0

DRAWN = pa.schema([("day", pa.date32()), ("key", pa.string()), ("about", pa.string()), ("picture", pa.binary())])
"""Rows of `drawn_batches`; about: what the sheet says about the picture, as JSON."""
SHEETS = pa.schema([("day", pa.date32()), ("pictures", pa.int64()), ("size_bytes", pa.int64())])


@dataclass(frozen=True)
class Sheet:
    """A day sheet, as its file has it.

    state: what it was drawn from.   totals: pictures of the day by reason, including those not on the sheet. pictures:
    how many are on it.
    files: the name of its files.
    faces: key and place of a few of its pictures, which stand for the day.
    """

    day: str
    state: str
    totals: Mapping[str, int]
    pictures: int
    files: str
    faces: tuple[dict[str, Any], ...] = ()


def store_of(index: str) -> Store:
    """Where the day sheets of an index lie."""
    return Store(f"{index.rstrip('/')}/{FOLDER}")


def days_of(store: Store) -> list[str]:
    """Days that have a sheet, newest first."""
    days = (name.removesuffix(".json") for name in store.names() if name.endswith(".json"))
    return sorted(filter(is_day, days), reverse=True)


def read_sheet(store: Store, day: str) -> Sheet:
    """The sheet of a day.

    Raises:
        FileNotFoundError: it has none.
        ValueError: the file is damaged.
    """
    if not is_day(day):
        raise FileNotFoundError(f"got day {day!r}, expected one like 2026-11-02")
    data = store.read(f"{day}.json", 0, MOST_BYTES + 1)
    try:
        given = json.loads(data)
        if given["format"] != FORMAT:
            raise ValueError(f"has format {given['format']}, expected {FORMAT}")
        return Sheet(**{name: given[name] for name in _NAMES}, faces=tuple(given["faces"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(store, day, error) from error


def read_rows(store: Store, sheet: Sheet) -> list[dict[str, Any]]:
    """The pictures on a sheet: key, reason, chosen (for what), width, height, objects, crops and so on; `place` are the
    first byte and the end of a picture's JPEG, null where there is none.

    Raises:
        FileNotFoundError: the day has been drawn again, and this sheet was removed.
        ValueError: the file is damaged.
    """
    data = store.read(f"{FILES}/{sheet.files}.json", 0, MOST_BYTES + 1)
    try:
        rows: list[dict[str, Any]] = json.loads(data)
        if len(rows) != sheet.pictures:
            raise ValueError(f"got {len(rows)} pictures, expected {sheet.pictures}")
        return rows
    except (ValueError, TypeError) as error:
        raise _damaged(store, sheet.day, error) from error


def read_picture(store: Store, sheet: Sheet, row: Mapping[str, Any]) -> bytes:
    """The JPEG of a row; empty if it has none."""
    place = row.get("place")
    return store.read(f"{FILES}/{sheet.files}.bin", *place) if place else b""


def _damaged(store: Store, day: str, error: Exception) -> ValueError:
    return ValueError(f"day sheet {day} of {store.uri}: {error!r}; run draw_days with --afresh")


def drawn_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows (day, key, reason, about, image, raw) -> rows of DRAWN; image: the canonical one, raw: the bytes of a
    refused one."""
    for batch in batches:
        rows = [
            {"day": row["day"], "key": row["key"], "about": row["about"], "picture": _picture(row)}
            for row in batch.to_pylist()
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=DRAWN)


def sheet_batches(
    batches: Iterable[pa.RecordBatch], index: str, states: Mapping[str, str], totals: Mapping[str, Mapping[str, int]]
) -> Iterator[pa.RecordBatch]:
    """Rows of DRAWN in the order of the days, all of a day in one task -> written sheets, as rows of SHEETS."""
    store = store_of(index)
    rows = (row for batch in batches for row in batch.to_pylist())
    for day, of_day in groupby(rows, key=lambda row: row["day"]):
        pictures, size = _write(store, str(day), of_day, states[str(day)], totals.get(str(day), {}))
        yield pa.RecordBatch.from_pylist([{"day": day, "pictures": pictures, "size_bytes": size}], schema=SHEETS)


def remove_sheets(store: Store, kept: Iterable[str], age_s: float) -> int:
    """Remove the sheets of other days, and files that no sheet names and no running task can still be going to name ->
    how many were removed."""
    days, kept = days_of(store), set(kept)
    gone = [f"{day}.json" for day in days if day not in kept]
    for name in gone:
        store.remove(name)
    named = {read_sheet(store, day).files for day in days if day in kept}
    left = [f"{FILES}/{name}" for name in store.names(FILES) if name.rpartition(".")[0] not in named]
    old = [name for name in left if store.is_older(name, age_s)]
    for name in old:
        store.remove(name)
    return len(gone) + len(old)


def _write(
    store: Store, day: str, rows: Iterable[Mapping[str, Any]], state: str, totals: Mapping[str, int]
) -> tuple[int, int]:
    """Write a day's pictures, then its sheet -> how many pictures and bytes."""
    name = f"{day}-{uuid.uuid4().hex[:12]}"
    held, listed = io.BytesIO(), []
    for row in rows:
        about, start = json.loads(row["about"]), held.tell()
        held.write(row["picture"] or b"")
        listed.append({**about, "place": [start, held.tell()] if row["picture"] else None})
    text = _json(listed)
    store.write(f"{FILES}/{name}.bin", held.getbuffer())
    store.write(f"{FILES}/{name}.json", text)
    seen = [row for row in listed if row["place"] and row["reason"] == Reason.OK]
    faces = [{name: row[name] for name in ("key", "place")} for row in seen[:: max(1, len(seen) // FACES)][:FACES]]
    sheet = {
        **dict(zip(_NAMES, (day, state, totals, len(listed), name), strict=True)),
        "format": FORMAT,
        "faces": faces,
    }
    store.publish(f"{day}.json", _json(sheet))
    return len(listed), held.tell() + len(text)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _picture(row: Mapping[str, Any]) -> bytes | None:
    if row["image"] is not None:
        return _small(Image.fromarray(read_pixels(row["image"])))
    return glimpse(row["raw"]) if row["raw"] and row["reason"] in GLIMPSED else None


def glimpse(data: bytes) -> bytes | None:
    """What can be seen of a refused file, as a small JPEG; None if nothing can be seen within the limits of pixels and
    time."""
    try:
        with time_limit(GLIMPSE_S):
            return _small(_opened(data))
    except (TimedOut, Exception):  # decoders raise anything on hostile bytes
        return None


def _opened(data: bytes) -> Image.Image:
    """The picture in a file; if a JPEG ends early, as much of it as there is."""
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "GIF", "BMP")) as picture:
        if picture.width * picture.height > Limits().max_pixels:
            raise ValueError(f"got {picture.width} x {picture.height} pixels")
        if picture.format == "JPEG":
            return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", strict=False))
        return picture.convert("RGBA")


def _small(picture: Image.Image) -> bytes:
    if picture.mode == "RGBA":
        ground = Image.new("RGB", picture.size, "white")
        ground.paste(picture, mask=picture)
        picture = ground
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
