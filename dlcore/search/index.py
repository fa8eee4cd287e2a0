"""Index files: all codes of a catalogue with their keys and thumbnails, in folders that never change once readable.

    <uri>/000003-5d41402abc4b/       third published version, named by its content
        codes.npy (N, B) uint8 · days.npy (N,) datetime64[D] · keys.npy (N,) bytes · crops.npy (N,) int16
        labels.npy · groups.npy (N,) bytes, empty: none · thumbnails.bin and thumbnail_ends.npy (N,) int64
        index.json                   format, count, bits, model_version, content

A version is written beside the others under a name that no reader looks at and then renamed; where folders can not be
renamed (S3), index.json goes last, and makes it a version. So readers see all of it or nothing; the newest is the one with the
highest number. The same content is published once. Arrays are memory-mapped: opening costs nothing and processes share the
pages. Any file system of fsspec holds an index; from one that is not local a version is copied once to this machine.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from dlcore.search.codes import Codes, Indices, nearest
from dlcore.settings import settings

FORMAT = 1
META = "index.json"
THUMBNAILS = "thumbnails.bin"
_VERSION = re.compile(r"^(\d{6})-([0-9a-f]{12})$")


@dataclass(frozen=True)
class Entries:
    """What an index holds, item by item; every array has N rows.

    codes (N, B) uint8 · days (N,) datetime64[D] · keys, labels, groups (N,) bytes strings · crops (N,) int16 ·
    thumbnail_ends (N,) int64, where each item's JPEG ends in `thumbnails`, a (T,) uint8 array.
    """

    codes: Codes
    days: NDArray[np.datetime64]
    keys: NDArray[np.bytes_]
    crops: NDArray[np.int16]
    labels: NDArray[np.bytes_]
    groups: NDArray[np.bytes_]
    thumbnail_ends: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]

    def __post_init__(self) -> None:
        rows = {field.name: len(getattr(self, field.name)) for field in fields(self) if field.name != "thumbnails"}
        if len(set(rows.values())) != 1:
            raise ValueError(f"Entries: got arrays of {rows} rows, expected as many in each")


@dataclass(frozen=True)
class Index:
    """An opened version: `entries` mapped from the disk, and `meta`, what index.json says."""

    version: str
    entries: Entries
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.entries.codes)

    def search(self, codes: Codes, k: int = 10) -> tuple[Indices, NDArray[np.uint16]]:
        """The `k` nearest items of each code (Q, B) -> positions and distances in bits, both (Q, k). Exact."""
        return nearest(codes, self.entries.codes, k)

    def find(self, key: str) -> Indices:
        """Positions of the items of a key; empty when the index does not have it."""
        return np.flatnonzero(self.entries.keys == key.encode())

    def thumbnail(self, position: int) -> bytes:
        """The JPEG of an item; empty when it has none."""
        start = int(self.entries.thumbnail_ends[position - 1]) if position else 0
        return bytes(self.entries.thumbnails[start : int(self.entries.thumbnail_ends[position])])


def publish(uri: str, entries: Entries, model_version: str) -> str:
    """Make `entries` the newest version of the index at `uri` -> its name; the newest is not written again."""
    files, root = fsspec.core.url_to_fs(uri)
    with tempfile.TemporaryDirectory() as folder:
        content = _write(Path(folder), entries, model_version)
        existing = versions(uri)
        if existing and existing[-1].endswith(content):
            return existing[-1]
        number = int(existing[-1].split("-")[0]) + 1 if existing else 1
        version = f"{number:06d}-{content}"
        target = f"{root}/{version}"
        place = f"{root}/.staging-{uuid.uuid4().hex}" if _can_rename(files) else target
        files.makedirs(place, exist_ok=True)
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.name == META):  # last what makes it a version
            files.put_file(str(path), f"{place}/{path.name}")
        if place != target:
            _rename(files, place, target)
    return version


def versions(uri: str) -> list[str]:
    """Names of the published versions at `uri`, oldest first; none when nothing is there."""
    files, root = fsspec.core.url_to_fs(uri)
    files.invalidate_cache()
    names = [str(path).rsplit("/", 2)[-2] for path in files.glob(f"{root}/*/{META}")]
    return sorted(name for name in names if _VERSION.match(name))


def open_index(uri: str, version: str | None = None, cache: Path | None = None) -> Index:
    """The newest version of the index at `uri`, or a given one.

    cache: where a version of a file system that is not local is kept on this machine; in DLCORE_CACHE by default.
    Raises FileNotFoundError when there is no such version, ValueError when its format is another.
    """
    existing = versions(uri)
    wanted = version or (existing[-1] if existing else None)
    if wanted not in existing:
        raise FileNotFoundError(
            f"got index {wanted or '(newest)'} at {uri}, expected one of {existing}: run build_index"
        )
    folder = _local_folder(uri, str(wanted), cache or settings().cache / "indexes")
    meta = json.loads((folder / META).read_text())
    if meta["format"] != FORMAT:
        raise ValueError(f"index {wanted} at {uri} has format {meta['format']}, expected {FORMAT}: run build_index")
    arrays = {
        field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r")
        for field in fields(Entries)
        if field.name != "thumbnails"
    }
    return Index(str(wanted), Entries(**arrays, thumbnails=_map_bytes(folder / THUMBNAILS)), meta)


def remove_old(uri: str, keep: int) -> list[str]:
    """Remove all but the newest `keep` versions (at least 1) -> names of what went."""
    if keep < 1:
        raise ValueError(f"got keep {keep} versions of the index, expected at least 1: searches read the newest")
    files, root = fsspec.core.url_to_fs(uri)
    old = versions(uri)[:-keep]
    for name in old:
        files.rm(f"{root}/{name}", recursive=True)
    return old


def _write(folder: Path, entries: Entries, model_version: str) -> str:
    """Write the files of a version into a local folder -> hash of their content, 12 hexadecimal digits."""
    for field in fields(Entries):
        array = np.ascontiguousarray(getattr(entries, field.name))
        if field.name == "thumbnails":
            (folder / THUMBNAILS).write_bytes(array.tobytes())
        else:
            np.save(folder / f"{field.name}.npy", array, allow_pickle=False)
    digest = hashlib.sha256(model_version.encode())
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    content = digest.hexdigest()[:12]
    meta = {
        "format": FORMAT,
        "count": len(entries.codes),
        "bits": 8 * entries.codes.shape[1],
        "model_version": model_version,
        "content": content,
    }
    (folder / META).write_text(json.dumps(meta, indent=1))
    return content


def _can_rename(files: fsspec.AbstractFileSystem) -> bool:
    """Whether the store renames a folder in one step (local disk, HDFS); by fsspec's own `mv` others (S3) copy each file."""
    return type(files).mv is not fsspec.AbstractFileSystem.mv


def _rename(files: fsspec.AbstractFileSystem, source: str, target: str) -> None:
    """Rename a folder in one step."""
    if "file" in np.atleast_1d(files.protocol):
        Path(source).rename(target)
    else:
        files.mv(source, target, recursive=True)


def _local_folder(uri: str, version: str, cache: Path) -> Path:
    """The version's folder on this machine, copied there when the file system is not local."""
    files, root = fsspec.core.url_to_fs(uri)
    if "file" in np.atleast_1d(files.protocol):
        return Path(root) / version
    target = cache / version
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=cache))
        for path in files.ls(f"{root}/{version}", detail=False):
            files.get_file(path, str(staging / str(path).rsplit("/", 1)[-1]))
        try:
            staging.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(staging)
    return target


def _map_bytes(path: Path) -> NDArray[np.uint8]:
    """A file as a (T,) uint8 array mapped from the disk; an empty file cannot be mapped."""
    return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
