"""Write small files whole to any store that fsspec knows, and read them. Standard library at import; fsspec when
it works."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

_NEXT = ".next"
"""The ending of the name under which a file waits, on stores that do not rename over an older one."""


def write_whole(uri: str, text: str) -> None:
    """Write a file in place of an older one, whole or not at all: a killed writer leaves no truncated file.

    An object store puts a file whole. A store that renames, but not over a file (HDFS), has the new file under a name
    of its own before the older one is removed: `read_whole` finds one of them at any moment.
    """
    import fsspec

    files, path = fsspec.core.url_to_fs(uri)
    folder = path.rpartition("/")[0]
    files.makedirs(folder, exist_ok=True)
    renames = type(files).mv is not fsspec.AbstractFileSystem.mv  # else a move is a copy
    target = f"{folder}/.{uuid.uuid4().hex}" if renames else path
    with files.open(target, "w") as file:
        file.write(text)
    if not renames:
        return
    protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
    if "file" in protocols:
        files.mv(target, path)
    else:
        _replace(files, target, path)


def _replace(files: Any, source: str, path: str) -> None:
    """Move a file to where another may be; the other is removed once this one can be read."""
    waiting = f"{path}{_NEXT}"
    if files.exists(waiting):  # a writer was killed: with the older file gone it is the newest there is
        if files.exists(path):
            files.rm(waiting)
        else:
            files.mv(waiting, path)
    if files.exists(path):
        files.mv(source, waiting)
        source = waiting
        files.rm(path)
    files.mv(source, path)


def read_whole(uri: str) -> str:
    """The text that `write_whole` wrote last.

    Raises:
        FileNotFoundError: it never wrote one.
    """
    import fsspec

    files, path = fsspec.core.url_to_fs(uri)
    files.invalidate_cache()
    for name in (path, f"{path}{_NEXT}"):
        with suppress(FileNotFoundError):
            return str(files.cat_file(name), "utf-8")
    return str(files.cat_file(path), "utf-8")  # moved meanwhile


def remove(uri: str) -> None:
    """Remove a file; do nothing if there is none."""
    import fsspec

    files, path = fsspec.core.url_to_fs(uri)
    if files.exists(path):
        files.rm(path)
