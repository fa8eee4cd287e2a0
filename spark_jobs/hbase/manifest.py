"""Which files become which rows: a folder of images, or a manifest that names them.

A manifest is a .csv or .jsonl file in UTF-8 with a line per image:
    path        of the file, relative to the manifest and below its folder (unless `is_anywhere`)
    day         2026-11-02; without it the day given for all
    key         of the image, unique on its day; or
    sku, n      product and number of its image; n counts up by itself, the sku is by default the path without suffix
    metadata    a JSON object; every further column is metadata too
A cell that is null, NaN or empty counts as not given; 0 is given.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from spark_jobs.hbase.image_files import image_files
from spark_jobs.hbase.row_key import KEY_BYTES, bytes_of, key_text
from spark_jobs.mistakes import day_of

logger = logging.getLogger(__name__)

_OWN_COLUMNS = frozenset({"path", "day", "key", "sku", "n", "metadata"})
_CELL_CHARACTERS = 64 << 20
"""The longest cell of a .csv; the csv module's own limit is 131,072 characters."""
_NOT_UTF8 = re.compile(r"[\udc80-\udcff]")
_EXACT_FLOATS = 2**53


@dataclass(frozen=True)
class Entry:
    """One image to load: the row's day and key (as `row_key.key_text` writes it), its file, and its metadata."""

    day: date
    key: str
    path: Path
    metadata: Mapping[str, str] = field(default_factory=dict)


def entries_of(
    source: Path, day: date | None = None, metadata: Path | None = None, is_anywhere: bool = False
) -> list[Entry]:
    """The images of a folder (every file below it, links followed) or of a manifest.

    day: that of images for which the manifest has none.   metadata: for a folder, a .csv or .jsonl file like a
        manifest; files that it does not name are loaded as well.   is_anywhere: the manifest may name files outside its
        folder.
    If a key comes twice on a day, the second gets `~2`, so that both are kept. Numbers that count up by themselves skip
    those that the manifest gives.

    Raises:
        OSError: there is no such source, or a folder cannot be listed.
        ValueError: a line cannot be read, an image has no day, or its file is outside the manifest's folder.
    """
    if source.is_dir():
        if day is None and metadata is None:
            raise ValueError(f"{source}: got no day for the pictures of a folder, expected --day 2026-11-02")
        lines, root, is_anywhere = _folder_lines(source, metadata), source, True
    else:
        lines, root = _manifest_lines(source), source.parent
    drafts = [_draft(line, where, root, day, is_anywhere) for where, line in lines]
    return list(_distinct(_numbered(drafts)))


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Turn an error in the block into a ValueError that names the line."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: {error}") from error


def _folder_lines(folder: Path, metadata: Path | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    described = _manifest_lines(metadata) if metadata else ()
    known = {os.path.normpath(_text(line, "path")): line for _, line in described}
    for path in image_files(folder, leave_out=metadata):
        name = path.relative_to(folder).as_posix()
        yield str(path), {**known.pop(name, {}), "path": name}
    if known:
        logger.warning(
            "%s: %d lines name no file below %s, the first %r", metadata, len(known), folder, next(iter(known))
        )


def _manifest_lines(manifest: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    readers = {".csv": _csv_lines, ".jsonl": _json_lines}
    if manifest.suffix not in readers:
        raise ValueError(f"{manifest}: got a manifest of type {manifest.suffix!r}, expected .csv or .jsonl")
    with manifest.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield from readers[manifest.suffix](manifest, _utf8_lines(manifest, file))


def _utf8_lines(manifest: Path, file: Iterable[str]) -> Iterator[str]:
    """The lines of a file; ValueError for the first that is not UTF-8."""
    for number, text in enumerate(file, start=1):
        if foreign := _NOT_UTF8.search(text):
            byte = ord(foreign[0]) & 0xFF
            raise ValueError(f"{manifest}:{number}: got the byte 0x{byte:02x}, expected UTF-8; save the file as UTF-8")
        yield text


def _csv_lines(manifest: Path, file: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    csv.field_size_limit(_CELL_CHARACTERS)  # of the whole process: the module knows no other
    rows = csv.DictReader(file)
    while (line := _next_row(manifest, rows)) is not None:
        where = f"{manifest}:{rows.line_num}"
        if None in line:
            logger.warning("%s: more cells than columns, these are left out: %s", where, str(line[None])[:60])
        yield where, {name: text for name, text in line.items() if name and text}


def _next_row(manifest: Path, rows: csv.DictReader[str]) -> dict[str | Any, str | Any] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise ValueError(f"{manifest}:{rows.line_num}: {error}") from error


def _json_lines(manifest: Path, file: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, text in enumerate(file, start=1):
        if text.strip():
            where = f"{manifest}:{number}"
            with _at(where):
                line = json.loads(text)
                if not isinstance(line, dict):
                    raise ValueError(f"got {text.strip()[:60]!r}, expected a JSON object")
            yield where, line


@dataclass(frozen=True)
class _Draft:
    """An entry whose number may still be open; its key is then empty. sku: the product within which the line is
    numbered."""

    entry: Entry
    sku: str


def _draft(line: Mapping[str, Any], where: str, root: Path, day: date | None, is_anywhere: bool) -> _Draft:
    with _at(where):
        path, own_day = _text(line, "path"), _text(line, "day")
        if not path:
            columns = ", ".join(map(str, line)) or "none"
            raise ValueError(f"got no path (columns: {columns}), expected the image's file in a column path")
        at = day_of(own_day, "day") if own_day else day
        if at is None:
            raise ValueError("got no day; add a column day, or pass --day 2026-11-02 for all")
        key, sku, number = (_text(line, name) for name in ("key", "sku", "n"))
        if key:
            sku = ""
        else:
            sku = sku or Path(path).with_suffix("").as_posix()
            key = f"{sku}/{number}" if number else ""
        size = len(bytes_of(key or sku))
        if size > KEY_BYTES:
            raise ValueError(f"got a key of {size} bytes, expected at most {KEY_BYTES}")
        return _Draft(Entry(at, _canonical(key), _file(root, path, is_anywhere), _metadata(line)), _canonical(sku))


def _canonical(key: str) -> str:
    return key_text(bytes_of(key))


def _file(root: Path, path: str, is_anywhere: bool) -> Path:
    """The file that a line names. Links are not checked: they belong to the folder and to whoever may write there."""
    file = root / path
    if not is_anywhere and not Path(os.path.abspath(file)).is_relative_to(os.path.abspath(root)):
        raise ValueError(
            f"got the file {path!r}, expected one below {root}; pass --anywhere if the manifest may name any file of "
            f"this machine"
        )
    return file


def _text(line: Mapping[str, Any], name: str) -> str:
    """A cell as text, "" if it is not given. pandas turns whole numbers beside a gap into floats, so 7.0 is read as
    7."""
    value = line.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        if abs(value) >= _EXACT_FLOATS:
            raise ValueError(f"{name}: got the number {value}, which has lost digits; write it as text")
        return str(int(value))
    if isinstance(value, bool | list | dict):
        raise ValueError(f"{name}: got {value!r}, expected text or a number")
    text = str(value)
    whole, point, zeros = text.partition(".")
    is_whole = name == "n" and point and whole.isdecimal() and not zeros.strip("0")
    return whole if is_whole else text


def _metadata(line: Mapping[str, Any]) -> dict[str, str]:
    nested = line.get("metadata")
    if isinstance(nested, str):
        nested = json.loads(nested) if nested else None
    if nested is None:
        nested = {}
    if not isinstance(nested, dict):
        raise ValueError(f"got metadata {nested!r}, expected a JSON object")
    others = {name: value for name, value in line.items() if name not in _OWN_COLUMNS}
    return {str(name): _as_text(value) for name, value in {**others, **nested}.items() if value is not None}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _numbered(drafts: Sequence[_Draft]) -> Iterator[Entry]:
    """Give each entry without a key the next number of its product that no line gives."""
    given = {(draft.entry.day, draft.entry.key) for draft in drafts}
    counts: Counter[tuple[date, str]] = Counter()
    for draft in drafts:
        entry, product = draft.entry, (draft.entry.day, draft.sku)
        if not entry.key:
            while (entry.day, f"{draft.sku}/{counts[product]}") in given:
                counts[product] += 1
            entry = replace(entry, key=f"{draft.sku}/{counts[product]}")
        counts[product] += 1
        yield entry


def _distinct(entries: Iterable[Entry]) -> Iterator[Entry]:
    taken: set[tuple[date, str]] = set()
    for entry in entries:
        key, times = entry.key, 1
        while (entry.day, key) in taken:
            times += 1
            key = f"{entry.key}~{times}"
        taken.add((entry.day, key))
        yield replace(entry, key=key)
