"""The files of an index on any file system of fsspec; files that are mapped are first copied to this machine if need
be."""

from __future__ import annotations

import math
import os
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from dlcore.settings import settings

STAGING = ".staging-"
_WRITTEN = 64 << 20
MOST_CACHED_BYTES = 20 << 30
_TIMES = {"mtime": 1, "modificationTime": 1000, "LastModified": 1, "created": 1}
"""The name of an entry's time of change on local disk, HDFS, S3 and memory, and how many of its units make a second."""


@dataclass(frozen=True)
class Store:
    """The folder `uri` of an index; names are paths below it.

    cache: where copies of files that are not local are kept, by default in DLCORE_CACHE; those used last stay, up to
        `most_bytes`.
    """

    uri: str
    cache: Path = field(default_factory=lambda: settings().cache / "indexes")
    most_bytes: int = MOST_CACHED_BYTES
    files: fsspec.AbstractFileSystem = field(init=False, repr=False)
    root: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        files, root = fsspec.core.url_to_fs(self.uri)
        object.__setattr__(self, "files", files)
        object.__setattr__(self, "root", str(root).rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether its files can be mapped where they are."""
        return "file" in np.atleast_1d(self.files.protocol)

    def names(self, folder: str = "") -> list[str]:
        """The names in a folder, in order, by one request."""
        self.files.invalidate_cache()
        try:
            entries = self.files.ls(f"{self.root}/{folder}".rstrip("/"), detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in entries)

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes of a file, or some of them."""
        data: bytes = self.files.cat_file(f"{self.root}/{name}", start=start, end=end)
        return data

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file; readers may see it half written."""
        path = f"{self.root}/{name}"
        self.files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with self.files.open(path, "wb") as file:
            for start in range(0, len(data), _WRITTEN):  # HDFS takes less than 2 GB at once
                file.write(data[start : start + _WRITTEN])

    def publish(self, name: str, data: bytes | memoryview) -> None:
        """Write a file in place of an older one; readers see it whole or not at all."""
        if not _can_rename(self.files):  # object stores: a put is whole
            self.write(name, data)
            return
        staged = f"{STAGING}{uuid.uuid4().hex}"
        self.write(staged, data)
        source, target = f"{self.root}/{staged}", f"{self.root}/{name}"
        if self.is_local:
            os.replace(source, target)
            return
        if self.files.exists(target):  # HDFS renames to no file that there is
            self.files.rm(target)
        self.files.mv(source, target)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder and all that is in it."""
        self.files.rm(f"{self.root}/{name}", recursive=True)

    def is_older(self, name: str, age_s: float) -> bool:
        """Whether a file, or everything in a folder, has been unchanged for so long; False if the store does not
        say, or if it has just been removed."""
        path = f"{self.root}/{name}"
        try:
            entries = [self.files.info(path), *self.files.find(path, detail=True).values()]
        except FileNotFoundError:
            return False
        times = [time_s for entry in entries if (time_s := time_of(entry)) is not None]
        return max(times, default=math.inf) < time.time() - age_s

    def local(self, name: str) -> Path:
        """A file's path on this machine."""
        if self.is_local:
            return Path(self.root) / name
        target = self.cache / name
        if target.exists():
            with suppress(OSError):  # a cache that its readers may not write is emptied by its owner
                os.utime(target)  # its last use
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        self._make_room(int(self.files.info(f"{self.root}/{name}")["size"]))
        handle, staged = tempfile.mkstemp(dir=target.parent, prefix=STAGING)
        os.close(handle)
        self.files.get_file(f"{self.root}/{name}", staged)
        os.replace(staged, target)
        return target

    def _make_room(self, size_bytes: int) -> None:
        """Remove what was used longest ago. Processes that have it mapped keep the pages."""
        found = [(path.stat(), path) for path in self.cache.rglob("*") if path.is_file()]
        left = sum(stat.st_size for stat, _ in found) + size_bytes
        for stat, path in sorted(found, key=lambda entry: entry[0].st_mtime):
            if left <= self.most_bytes:
                return
            with suppress(OSError):  # another process does the same
                path.unlink()
                left -= stat.st_size


def time_of(entry: dict[str, Any]) -> float | None:
    """The time of change of an entry, by the name that its store uses; None if it has none, as S3's folders."""
    for name, per_second in _TIMES.items():
        if (value := entry.get(name)) is not None:
            return float(value.timestamp() if isinstance(value, datetime) else value / per_second)
    return None


def _can_rename(files: fsspec.AbstractFileSystem) -> bool:
    """Whether the store renames in one step (local disk, HDFS); by fsspec's own `mv` others (S3) copy."""
    return type(files).mv is not fsspec.AbstractFileSystem.mv
