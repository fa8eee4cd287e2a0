"""Files on this machine, or on any store that fsspec knows (HDFS, S3, ...): written whole, and read. fsspec is imported
when a store is asked for: Spark's workers need not have it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    import fsspec

    files, path = fsspec.core.url_to_fs(uri)
    folder, _, name = path.rpartition("/")
    files.makedirs(folder, exist_ok=True)
    if type(files).mv is fsspec.AbstractFileSystem.mv:  # an object store: a move is a copy, and a put is whole
        files.put_file(str(local), path)
        return
    partial, waiting = f"{folder}/.{name}.{uuid.uuid4().hex}", f"{path}{_NEXT}"
    files.put_file(str(local), partial)
    if files.exists(waiting):  # left by a writer that was killed; it is the newer one
        if files.exists(path):
            files.rm(path)
        files.mv(waiting, path)
    if not files.exists(path):
        files.mv(partial, path)
        return
    files.mv(partial, waiting)
    files.rm(path)
    files.mv(waiting, path)


@contextmanager
def brought(place: Place) -> Iterator[Path]:
    """A file as one on this machine, for the time of the block.

    Raises:
        FileNotFoundError: a store has no such file.
    """
    if isinstance(place, Path):
        yield place
        return
    import fsspec

    files, path = fsspec.core.url_to_fs(place)
    files.invalidate_cache()
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, path.rpartition("/")[2])
        newest = next((name for name in (f"{path}{_NEXT}", path) if files.exists(name)), None)
        if newest is None:
            raise FileNotFoundError(f"{place}: got no such file, expected one that was saved")
        files.get_file(newest, str(local))
        yield local
