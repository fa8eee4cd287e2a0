"""Files on this machine, or on any store that fsspec knows (HDFS, S3, ...): written whole, and read. fsspec is imported
when a store is asked for: Spark's workers need not have it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Place = str | Path
"""A path on this machine, or else the URI of a file or folder of a store."""
_NEXT = ".next"
"""The ending of a newer file's name until the older one is removed, on stores that do not rename over a file."""


def place_of(where: str | Path) -> Place:
    """Where a path or URI is.

    >>> place_of("file:///srv/a"), place_of("hdfs://namenode/a")
    (PosixPath('/srv/a'), 'hdfs://namenode/a')
    """
    scheme, has_scheme, path = str(where).partition("://")
    if not has_scheme:
        return Path(where)
    return Path(path) if scheme == "file" else str(where)


def below(folder: Place, name: str) -> Place:
    """The place of a file of a folder."""
    return folder / name if isinstance(folder, Path) else f"{folder.rstrip('/')}/{name}"


def put_whole(local: Path, uri: str) -> None:
    """Copy a file to a store, in place of an older one: `brought` finds one of the two at any moment."""
    _replace(uri, lambda files, path: files.put_file(str(local), path))


def write_whole(uri: str, text: str) -> None:
    """Write a small file, in place of an older one: `read_whole` finds one of the two at any moment."""
    _replace(uri, lambda files, path: files.pipe_file(path, text.encode()))


@contextmanager
def brought(place: Place) -> Iterator[Path]:
    """A file as one on this machine, for the time of the block.

    Raises:
        FileNotFoundError: a store has no such file.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, place.rpartition("/")[2])
        _newest(place, lambda files, path: files.get_file(path, str(local)))
        yield local


def read_whole(uri: str) -> str:
    """The text of a small file.

    Raises:
        FileNotFoundError: there is none.
    """
    return str(_newest(uri, lambda files, path: files.cat_file(path)), "utf-8")


def remove(uri: str) -> None:
    """Remove a file; do nothing if there is none."""
    files, path = _opened(uri)
    for name in reversed(_names(files, path)):
        if files.exists(name):
            files.rm(name)


def _opened(uri: str) -> tuple[Any, str]:
    import fsspec

    files, path = fsspec.core.url_to_fs(uri)
    files.invalidate_cache()
    return files, path


def _replace(uri: str, put: Callable[[Any, str], object]) -> None:
    """Let `put` write a file of a store, and move it to where an older one may be.

    A store without renames puts a file whole. On one that does not rename over a file the new one waits, whole, under a
    name of its own while the older one is removed. A writer may be killed between any two changes: of two files the
    waiting one is the newer, for readers and for the next writer.
    """
    files, path = _opened(uri)
    folder, _, name = path.rpartition("/")
    files.makedirs(folder, exist_ok=True)
    if not _renames(files):
        put(files, path)
        return
    written, waiting = f"{folder}/.{name}.{uuid.uuid4().hex}", f"{path}{_NEXT}"
    put(files, written)
    if "file" in (files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)):
        files.mv(written, path)
        return
    if files.exists(waiting):
        _take_place(files, waiting, path)
    if files.exists(path):
        files.mv(written, waiting)
        written = waiting
    _take_place(files, written, path)


def _renames(files: Any) -> bool:
    from fsspec import AbstractFileSystem

    return type(files).mv is not AbstractFileSystem.mv  # which copies


def _names(files: Any, path: str) -> tuple[str, ...]:
    """The names that a file may have, that of the newer one first; without renames none waits."""
    return (f"{path}{_NEXT}", path) if _renames(files) else (path,)


def _take_place(files: Any, newer: str, path: str) -> None:
    if files.exists(path):
        files.rm(path)
    files.mv(newer, path)


def _newest(uri: str, take: Callable[[Any, str], Any]) -> Any:
    """What `take` gives of a store's file: of the newer one, where a writer is replacing it, or was killed.

    Raises:
        FileNotFoundError: there is none.
    """
    files, path = _opened(uri)
    for name in _names(files, path) * 2:  # it may be moved between the two looks
        with suppress(FileNotFoundError):
            return take(files, name)
    raise FileNotFoundError(f"{uri}: got no such file, expected one that was saved")
