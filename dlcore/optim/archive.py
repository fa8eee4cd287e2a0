"""Facts and arrays in one .npz file, written whole or not at all; no pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.errors import CheckpointError
from dlcore.settings import settings
from dlcore.stored_file import Place, put_whole


def write_archive(path: Place, facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write to `path`, facts as JSON; a reader sees the old file or the new one."""
    if isinstance(path, str):
        with tempfile.TemporaryDirectory() as folder:
            write_archive(Path(folder, "archive.npz"), facts, arrays)
            put_whole(Path(folder, "archive.npz"), path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    try:
        with partial.open("wb") as file:
            np.savez(file, facts=text, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_archive(path: Path, what: str, place: Place = "") -> tuple[dict[str, Any], dict[str, Array]]:
    """The facts and arrays of a file; `what` it should be, and the `place` from which it was brought, for the message.

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: it is damaged, or larger than DLCORE_MAX_MODEL_BYTES.
    """
    called = place or path
    try:
        _check_size(path, called)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        facts: dict[str, Any] = dict(json.loads(arrays.pop("facts").tobytes()))
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(f"{called}: got no such file, expected a {what} that was saved") from None
    except IsADirectoryError:
        inside = ", ".join(sorted(file.name for file in path.glob("*.npz"))[:5])
        raise CheckpointError(
            f"{called}: got a folder, expected the file of a {what}; in it are {inside or 'none'}"
        ) from None
    except Exception as error:
        raise CheckpointError(
            f"{called}: got a damaged {what} ({error}), expected one that was written whole"
        ) from error
    return facts, arrays


def _check_size(path: Path, called: Place) -> None:
    """Refuse an archive whose files say that they are larger than the limit, before anything is unpacked."""
    limit = settings().max_model_bytes
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > limit:
        raise CheckpointError(
            f"{called}: got {size} bytes, expected at most {limit}; raise DLCORE_MAX_MODEL_BYTES if you trust it"
        )
