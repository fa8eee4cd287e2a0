"""Artefacts: a trained model with everything that is needed to use it, addressed by its content.

A folder of four files: topology.json and weights.npz (see `native`), model.json (metadata of the model's own: preprocessing,
classes, thresholds, metrics; and the digests of the first two), card.md (for people). The version is the SHA-256 of model.json,
so it covers all but the card. Nothing in an artefact is executed.

Loading unpacks the weights once per machine into a cache: one flat float32 file, memory-mapped read-only by every process.
When another version comes in, those that nothing has loaded for 30 days go; a process that has one mapped keeps it.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from dlcore.activity import Array
from dlcore.errors import ModelFormatError
from dlcore.interop.native import TOPOLOGY, WEIGHTS, load_module, read_weights, save_module
from dlcore.nn.module import Module
from dlcore.settings import settings

logger = logging.getLogger(__name__)

METADATA, CARD = "model.json", "card.md"
FLAT, INDEX = "weights.f32", "weights.json"
_FORMAT = "dlcore-artefact"
_MAX_JSON_BYTES = 16 << 20
_UNUSED_S = 30 * 24 * 3600
_ALIGNMENT = 16  # floats: every array begins at a cache line


@dataclass(frozen=True)
class Artefact:
    """A loaded model (its weights are read-only), its metadata, and its version, 64 hexadecimal digits."""

    model: Module
    metadata: dict[str, Any]
    version: str


def save_artefact(
    folder: str | Path, model: Module, metadata: Mapping[str, Any], card: str = "", half: bool = True
) -> str:
    """Write an artefact to `folder`, replacing what is there, and return its version.

    metadata: values JSON can hold. `half` stores weights as float16 (computing stays in float32).

    Raises:
        ModelFormatError: a weight is not finite, or not in float16's range.
        TypeError: metadata that JSON cannot hold.
    """
    _check_finite(model, half)
    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as partial:
        written = save_module(model, Path(partial, "artefact"), half=half)
        digests = {name: hashlib.sha256((written / name).read_bytes()).hexdigest() for name in (TOPOLOGY, WEIGHTS)}
        described = {"format": _FORMAT, "files": digests, "metadata": dict(metadata)}
        text = json.dumps(described, indent=1, sort_keys=True, allow_nan=False) + "\n"
        (written / METADATA).write_text(text, "utf-8")
        (written / CARD).write_text(card, "utf-8")
        if target.exists():
            target.rename(Path(partial, "replaced"))
        written.rename(target)
    return hashlib.sha256(text.encode()).hexdigest()


def load_artefact(uri: str | Path) -> Artefact:
    """The artefact at `uri`: a path or a URI that fsspec opens (file, hdfs, webhdfs, s3, ...).

    What this machine has loaded before comes from the cache (DLCORE_CACHE) after one look at model.json.

    Raises:
        FileNotFoundError: there is no artefact.
        ModelFormatError: it is damaged, too large, or was made for other layers.
    """
    files, root = fsspec.core.url_to_fs(str(uri))
    text = _read(files, f"{root}/{METADATA}", _MAX_JSON_BYTES)
    described = _described(text, str(uri))
    version = hashlib.sha256(text).hexdigest()
    folder = settings().cache / "models" / version
    try:
        model = _cached(folder)
    except FileNotFoundError:  # never loaded here, or dropped this very moment
        _unpack(files, root, described["files"], folder)
        _drop_unused(folder.parent)
        model = _cached(folder)
    return Artefact(model, described["metadata"], version)


def _check_finite(model: Module, half: bool) -> None:
    limit = float(np.finfo(np.float16 if half else np.float32).max)
    values = {name: holder.value for held in (model.parameters(), model.buffers()) for name, holder in held.items()}
    for name, value in values.items():
        if not (np.abs(value) <= limit).all():
            raise ModelFormatError(
                f"got {name} with a value beyond {limit:g} or no number; train it again, or half=False"
            )


def _read(files: Any, path: str, limit_bytes: int) -> bytes:
    size = files.info(path)["size"]
    if size > limit_bytes:
        raise ModelFormatError(f"{path}: got {size} bytes, expected at most {limit_bytes}")
    content = files.cat_file(path)
    if not isinstance(content, bytes):
        raise ModelFormatError(f"{path}: got {type(content).__name__}, expected a file")
    return content


def _described(text: bytes, uri: str) -> dict[str, Any]:
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{uri}: got damaged JSON in {METADATA} ({error})") from error
    is_ours = isinstance(described, dict) and described.get("format") == _FORMAT
    if not is_ours or set(described.get("files", {})) != {TOPOLOGY, WEIGHTS} or "metadata" not in described:
        raise ModelFormatError(f"{uri}: got another kind of {METADATA}, expected one written by save_artefact")
    found: dict[str, Any] = described
    return found


def _cached(folder: Path) -> Module:
    """The model in a folder of the cache, whose time of change becomes that of its last use."""
    with suppress(OSError):  # a cache that its readers may not write is emptied by its owner
        os.utime(folder)
    return load_module(folder, _mapped(folder)).evaluate()


def _drop_unused(cache: Path) -> None:
    """Remove what no process has loaded for _UNUSED_S, and what a killed one left half unpacked: gone at once, then deleted."""
    for entry in cache.iterdir():
        with suppress(OSError):  # another process does the same
            if time.time() - entry.stat().st_mtime > _UNUSED_S:
                shutil.rmtree(entry.rename(entry.with_name(f".{entry.name}.dropped")))


def _unpack(files: Any, root: str, digests: dict[str, str], folder: Path) -> None:
    """Fetch, check and flatten an artefact into `folder`, which appears whole; another process may be doing the same."""
    logger.info("unpacking model %s into %s", root, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, digest in digests.items():
            content = _read(files, f"{root}/{name}", settings().max_model_bytes)
            if hashlib.sha256(content).hexdigest() != digest:
                raise ModelFormatError(
                    f"{root}/{name}: got another content than {METADATA} says; copy the artefact again"
                )
            (partial / name).write_bytes(content)
        _flatten(read_weights(partial / WEIGHTS), partial)
        (partial / WEIGHTS).unlink()
        partial.chmod(0o755)
        os.rename(partial, folder)
    except OSError:
        if not (folder / INDEX).exists():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _flatten(weights: Mapping[str, np.ndarray[Any, Any]], folder: Path) -> None:
    """All arrays as float32 one after the other, and where each begins."""
    index, offset = {}, 0
    with (folder / FLAT).open("wb") as file:
        for name, value in weights.items():
            index[name] = {"offset": offset, "shape": value.shape}
            padding = -value.size % _ALIGNMENT
            file.write(np.ascontiguousarray(value, np.float32).tobytes() + bytes(4 * padding))
            offset += value.size + padding
    (folder / INDEX).write_text(json.dumps(index), "utf-8")


def _mapped(folder: Path) -> dict[str, Array]:
    """The arrays of an unpacked artefact, as read-only views of one memory-mapped file."""
    index = json.loads((folder / INDEX).read_text("utf-8"))
    flat = np.memmap(folder / FLAT, np.float32, "r") if (folder / FLAT).stat().st_size else np.zeros(0, np.float32)
    found = {}
    for name, place in index.items():
        size = int(np.prod(place["shape"], dtype=np.int64))
        found[name] = np.asarray(flat[place["offset"] : place["offset"] + size]).reshape(place["shape"])
    return found
