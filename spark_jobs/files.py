"""Writing a small file to any store that fsspec knows."""

from __future__ import annotations

import uuid

import fsspec


def write_whole(uri: str, text: str) -> None:
    """Write a file in place of an older one, whole or not at all: a writer that is killed leaves none that is cut off.

    Where the store does not rename over a file (all but the local disk), the older one goes first.
    """
    files, path = fsspec.core.url_to_fs(uri)
    folder = path.rpartition("/")[0]
    files.makedirs(folder, exist_ok=True)
    staging = f"{folder}/.{uuid.uuid4().hex}"
    with files.open(staging, "w") as file:
        file.write(text)
    protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
    if "file" not in protocols and files.exists(path):
        files.rm(path)
    files.mv(staging, path)
