"""Which files become which rows: a folder of images, or a manifest that names them.

A manifest is a .csv or .jsonl file with a line per image:
    path        of the file, relative to the manifest
    day         2026-11-02; without it the day given for all
    key         of the image, unique on its day; or
    sku, n      product and number of its image; n counts up by itself, the sku is by default the path without suffix
    metadata    a JSON object; every further column is metadata too
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

_OWN_COLUMNS = frozenset({"path", "day", "key", "sku", "n", "metadata"})


@dataclass(frozen=True)
class Entry:
    """One image to load: the row's day and key, the file, and what is known of it."""

    day: date
    key: str
    path: Path
    metadata: Mapping[str, str] = field(default_factory=dict)


def entries_of(source: Path, day: date | None = None, metadata: Path | None = None) -> list[Entry]:
    """The images of a folder (every file below it) or of a manifest.

    day: for those that the manifest gives none.   metadata: a .csv or .jsonl file like a manifest, for a folder; files
    it does not name are loaded all the same. A key that comes twice on a day gets `~2` the second time: both are kept.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: a line cannot be read, or an image has no day.
    """
    if source.is_dir():
        lines = _folder_lines(source, metadata)
        root = source
    else:
        lines, root = _manifest_lines(source), source.parent
    counts: Counter[tuple[date, str]] = Counter()
    return list(_distinct(_entry(line, where, root, day, counts) for where, line in lines))


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Say of a ValueError in the block which line it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _folder_lines(folder: Path, metadata: Path | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    known = {str(line.get("path")): line for _, line in _manifest_lines(metadata)} if metadata else {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != metadata:
            name = path.relative_to(folder).as_posix()
            yield str(path), {**known.get(name, {}), "path": name}


def _manifest_lines(manifest: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    readers = {".csv": _csv_lines, ".jsonl": _json_lines}
    if manifest.suffix not in readers:
        raise ValueError(f"{manifest}: got a manifest of type {manifest.suffix!r}, expected .csv or .jsonl")
    with manifest.open(encoding="utf-8-sig", newline="") as file:
        yield from readers[manifest.suffix](manifest, file)


def _csv_lines(manifest: Path, file: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(csv.DictReader(file), start=2):
        yield f"{manifest}:{number}", {name: text for name, text in line.items() if name and text}


def _json_lines(manifest: Path, file: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, text in enumerate(file, start=1):
        if text.strip():
            where = f"{manifest}:{number}"
            with _at(where):
                line = json.loads(text)
                if not isinstance(line, dict):
                    raise ValueError(f"got {text.strip()[:60]!r}, expected a JSON object")
            yield where, line


def _entry(
    line: Mapping[str, Any], where: str, root: Path, day: date | None, counts: Counter[tuple[date, str]]
) -> Entry:
    with _at(where):
        if not line.get("path"):
            raise ValueError("got no path, expected the image's file")
        own_day = date.fromisoformat(str(line["day"])) if line.get("day") else day
        if own_day is None:
            raise ValueError("got no day; add a column day, or pass --day 2026-11-02 for all")
        key = str(line.get("key") or _numbered(line, own_day, counts))
        return Entry(own_day, key, root / str(line["path"]), _metadata(line))


def _numbered(line: Mapping[str, Any], day: date, counts: Counter[tuple[date, str]]) -> str:
    sku = str(line.get("sku") or Path(str(line["path"])).with_suffix("").as_posix())
    number = str(line.get("n", counts[day, sku]))
    counts[day, sku] += 1
    return f"{sku}/{number}"


def _metadata(line: Mapping[str, Any]) -> dict[str, str]:
    nested = line.get("metadata") or {}
    nested = json.loads(nested) if isinstance(nested, str) else nested
    if not isinstance(nested, dict):
        raise ValueError(f"got metadata {nested!r}, expected a JSON object")
    others = {name: value for name, value in line.items() if name not in _OWN_COLUMNS}
    return {str(name): _as_text(value) for name, value in {**others, **nested}.items() if value is not None}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _distinct(entries: Iterable[Entry]) -> Iterator[Entry]:
    taken: set[tuple[date, str]] = set()
    for entry in entries:
        key, times = entry.key, 1
        while (entry.day, key) in taken:
            times += 1
            key = f"{entry.key}~{times}"
        taken.add((entry.day, key))
        yield replace(entry, key=key)
