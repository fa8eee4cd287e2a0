"""Read data files whole, gzipped or in archives, within limits; the error for a missing file says what belongs
there."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from dlcore.settings import settings


def read_limited(path: Path) -> bytes:
    """The content of a file, unpacked if it is gzipped.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it has more bytes than DLCORE_MAX_DATA_BYTES, or is damaged gzip.
    """
    with path.open("rb") as file:
        return read_stream(file, path)


def read_stream(file: IO[bytes], name: object) -> bytes:
    """The rest of an open file, unpacked if it is gzipped; `name` is for messages.

    Raises:
        ValueError: it has more bytes than DLCORE_MAX_DATA_BYTES, or is damaged gzip.
    """
    limit = settings().max_data_bytes
    is_packed = file.read(2) == b"\x1f\x8b"
    file.seek(-min(2, file.tell()), 1)
    try:
        content = (gzip.GzipFile(fileobj=file) if is_packed else file).read(limit + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{name}: got damaged gzip ({error}), expected a whole file; fetch it again") from error
    if len(content) > limit:
        raise _too_large(name, limit)
    return content


def _too_large(name: object, limit: int) -> ValueError:
    return ValueError(
        f"{name}: got more than {limit} bytes, expected at most as many; raise DLCORE_MAX_DATA_BYTES if you trust it"
    )


def read_zipped(path: Path, name: str) -> bytes:
    """The content of the file `name` of a zip archive; nothing is unpacked to disk.

    Raises:
        ValueError: the archive is damaged, has no such file, or this has more bytes than DLCORE_MAX_DATA_BYTES.
    """
    limit = settings().max_data_bytes
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            content = file.read(limit + 1)
    except (zipfile.BadZipFile, KeyError, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(
            f"{path}: got an archive without a readable {name} ({error}), expected it whole; fetch it again"
        ) from error
    if len(content) > limit:
        raise _too_large(f"{path}, {name}", limit)
    return content


def read_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each plain file of a tar archive, packed or not; nothing is unpacked to disk.

    Raises:
        ValueError: the archive is damaged, or its files have more bytes than DLCORE_MAX_DATA_BYTES together.
    """
    limit = left = settings().max_data_bytes
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    left -= member.size
                    if left < 0:
                        raise _too_large(path, limit)
                    yield member.name, file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path}: got a damaged archive ({error}), expected a whole one; fetch it again") from error


def found_file(folder: str | Path, names: Sequence[str], what: str, source: str) -> Path:
    """The first of `names` that is in `folder`. what: its content. source: where people get it.

    Raises:
        FileNotFoundError: none is there; the message says what to put where.
    """
    for name in names:
        if (path := Path(folder) / name).exists():
            return path
    wanted = " or ".join(names)
    raise FileNotFoundError(
        f"{Path(folder)}: got no {wanted}, expected {what}; nothing is downloaded: put the file there, it is from "
        f"{source}"
    )
