"""Artefacts: a trained model with everything that is needed to use it, addressed by its content.

A version is a folder of four files: topology.json and weights.npz (see `native`), model.json (metadata of the model's
own:
preprocessing, classes, thresholds, metrics; and the digests of the first two), card.md (for people). It is called by
the SHA-256 of model.json, which covers all but the card. Nothing in an artefact is executed.

    <folder>/                        the first version, as it was saved or copied there; it may be read-only
    <folder>/versions/<version>/     each later one, beside it: what has been saved is never written over
    <folder>/current                 the version that the name stands for; without this file it is the first

A URI with `@<version>` at its end is that very version, whatever the name stands for now: see `pinned`.

Loading unpacks the weights once per machine into a cache: one flat float32 file, memory-mapped read-only by every
process.
When another version comes in, those that nothing has loaded for 30 days go; a process that has one mapped keeps it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
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
from fsspec.implementations.local import LocalFileSystem

from dlcore.activity import Array
from dlcore.errors import ModelFormatError
from dlcore.interop.flat_weights import INDEX, mapped_flat, write_flat
from dlcore.interop.native import TOPOLOGY, WEIGHTS, load_module, read_weights, save_module
from dlcore.interop.published import Backbone, Published
from dlcore.nn.module import Module
from dlcore.settings import settings

logger = logging.getLogger(__name__)

METADATA, CARD = "model.json", "card.md"
BACKBONE = "backbone"
"""The entry of model.json that names the published weights of a package on which the model builds. They are read when
it is unpacked."""
VERSIONS, CURRENT = "versions", "current"
_FORMAT = "dlcore-artefact"
_MAX_JSON_BYTES = 16 << 20
_UNUSED_S = 30 * 24 * 3600
_VERSION = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Artefact:
    """A loaded model (its weights are read-only), its metadata, and its version, 64 hexadecimal digits."""

    model: Module
    metadata: dict[str, Any]
    version: str


def save_artefact(
    folder: str | Path,
    model: Module,
    metadata: Mapping[str, Any],
    card: str = "",
    half: bool = True,
    backbone: Backbone | None = None,
) -> str:
    """Save a version of an artefact, make it the one that the folder's name stands for, and return it.

    What the folder has already stays and loads by its version. The same content is saved once, with its first card.
    metadata: values JSON can hold. `half` stores weights as float16 (computing stays in float32).
    backbone: the part with published weights: those that the model has unchanged are not stored but named.

    Raises:
        ModelFormatError: a weight is not finite, or not in float16's range.
        ModuleNotFoundError: the package of published weights is not installed.
        TypeError: metadata that JSON cannot hold.
    """
    _check_finite(model, half)
    named = backbone.unchanged(_values(model)) if backbone else None
    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as partial:
        without = frozenset(named.paths()) if named else frozenset()
        written = save_module(model, Path(partial, "artefact"), half=half, without=without)
        digests = {name: hashlib.sha256((written / name).read_bytes()).hexdigest() for name in (TOPOLOGY, WEIGHTS)}
        described = {"format": _FORMAT, "files": digests, "metadata": dict(metadata)}
        described |= {BACKBONE: named.metadata()} if named else {}
        text = json.dumps(described, indent=1, sort_keys=True, allow_nan=False) + "\n"
        (written / METADATA).write_text(text, "utf-8")
        (written / CARD).write_text(card, "utf-8")
        version = hashlib.sha256(text.encode()).hexdigest()
        _keep(written, target, version)
    promote(target, version)
    return version


def promote(uri: str | Path, version: str) -> None:
    """Make a version that is there the one that the name of its folder stands for; those who are at work finish with
    theirs.

    Raises:
        FileNotFoundError: there is no such version.
        ModelFormatError: it is damaged.
    """
    place = _located(with_version(str(uri), version))
    _described_version(place, str(uri))
    files, root = fsspec.core.url_to_fs(str(uri))
    if place.root == root and not files.exists(f"{root}/{CURRENT}"):
        return
    if isinstance(files, LocalFileSystem):
        partial = Path(root, f".{CURRENT}.{os.getpid()}")
        partial.write_text(f"{version}\n", "utf-8")
        partial.replace(Path(root, CURRENT))
    else:  # one put: a reader in between finds no version there, which is an error, and tries again
        files.pipe_file(f"{root}/{CURRENT}", f"{version}\n".encode())


def bring(source: str | Path, uri: str | Path) -> str:
    """Copy a version from another folder beside those of `uri`, model.json last, which makes it one; the version.
    Promotes nothing.

    Raises:
        FileNotFoundError: there is no artefact at `source`.
        ModelFormatError: it is damaged.
    """
    place = _located(str(source))
    version, described = _described_version(place, str(source))
    files, root = fsspec.core.url_to_fs(str(uri))
    if version in versions(uri):
        return version
    contents = {name: _checked(place, name, digest) for name, digest in described["files"].items()}
    with suppress(FileNotFoundError):
        contents[CARD] = _read(place.files, f"{place.root}/{CARD}", _MAX_JSON_BYTES)
    contents[METADATA] = _read(place.files, f"{place.root}/{METADATA}", _MAX_JSON_BYTES)
    files.makedirs(f"{root}/{VERSIONS}/{version}", exist_ok=True)
    for name, content in contents.items():
        files.pipe_file(f"{root}/{VERSIONS}/{version}/{name}", content)
    return version


def versions(uri: str | Path) -> list[str]:
    """The versions that are at `uri`, the first one first, the others by name."""
    files, root = fsspec.core.url_to_fs(str(uri))
    files.invalidate_cache()
    beside = sorted(str(path).rsplit("/", 2)[-2] for path in files.glob(f"{root}/{VERSIONS}/*/{METADATA}"))
    if not files.exists(f"{root}/{METADATA}"):
        return beside
    first = hashlib.sha256(_read(files, f"{root}/{METADATA}", _MAX_JSON_BYTES)).hexdigest()
    return [first, *(version for version in beside if version != first)]


def pinned(uri: str | Path) -> str:
    """The URI of the very version that `uri` stands for now: it loads the same whatever is promoted later.

    Raises:
        FileNotFoundError: there is no artefact.
        ModelFormatError: it is damaged.
    """
    if split_version(str(uri))[1]:
        return str(uri)
    version, _ = _described_version(_located(str(uri)), str(uri))
    return with_version(str(uri), version)


def with_version(uri: str, version: str) -> str:
    """The URI, or the name, of a version of an artefact; one that has a version keeps it.

    >>> with_version("file:///models/detector-small", "0123" * 16)[-20:]
    '01230123012301230123'
    """
    return uri if split_version(uri)[1] else f"{uri.rstrip('/')}@{version}"


def split_version(uri: str) -> tuple[str, str]:
    """A URI without its version, and that, "" when it names none.

    >>> split_version("hdfs://spark@namenode:8020/models/detector-small")
    ('hdfs://spark@namenode:8020/models/detector-small', '')
    """
    name, _, version = uri.rpartition("@")
    return (name, version) if _VERSION.fullmatch(version) else (uri, "")


def load_artefact(uri: str | Path) -> Artefact:
    """The artefact at `uri`: a path or a URI that fsspec opens (file, hdfs, webhdfs, s3, ...), with or without
    `@<version>`.

    What this machine has loaded before comes from the cache (DLCORE_CACHE) after one look at model.json.

    Raises:
        FileNotFoundError: there is no artefact, or not in this version.
        ModuleNotFoundError: it builds on published weights whose package is not installed.
        ModelFormatError: it is damaged, too large, or was made for other layers.
    """
    place = _located(str(uri))
    version, described = _described_version(place, str(uri))
    folder = settings().cache / "models" / version
    try:
        model = _cached(folder)
    except FileNotFoundError:  # never loaded here, or dropped this very moment
        _unpack(place, described, folder)
        _drop_unused(folder.parent)
        model = _cached(folder)
    return Artefact(model, described["metadata"], version)


def metadata_of(uri: str | Path) -> dict[str, Any]:
    """The metadata of the artefact at `uri`; its weights are not read.

    Raises:
        FileNotFoundError: there is no artefact, or not in this version.
        ModelFormatError: it is damaged.
    """
    found: dict[str, Any] = _described_version(_located(str(uri)), str(uri))[1]["metadata"]
    return found


def missing_weights(uri: str | Path) -> Published | None:
    """The published weights that the artefact at `uri` builds on, where their package is not installed here; None when
    all is there.

    Raises:
        FileNotFoundError, ModelFormatError: as `metadata_of`.
    """
    backbone = backbone_of(uri)
    return None if backbone is None or backbone.published.is_installed() else backbone.published


def backbone_of(uri: str | Path) -> Backbone | None:
    """The part of the artefact at `uri` that has published weights; None when none has.

    Raises:
        FileNotFoundError, ModelFormatError: as `metadata_of`.
    """
    described = _described_version(_located(str(uri)), str(uri))[1]
    return Backbone.from_metadata(described[BACKBONE]) if BACKBONE in described else None


def names(models: str) -> list[str]:
    """The names of the artefacts in a folder of them."""
    files, root = fsspec.core.url_to_fs(models)
    found = files.ls(root, detail=False) if files.isdir(root) else []
    there = [path for path in found if any(files.exists(f"{path}/{file}") for file in (METADATA, CURRENT))]
    return [str(path).rstrip("/").rsplit("/", 1)[-1] for path in there]


def name_of(models: str, version: str) -> str | None:
    """The name of the artefact in a folder of them that has this version; None when none has."""
    return next((name for name in names(models) if version in versions(f"{models.rstrip('/')}/{name}")), None)


@dataclass(frozen=True)
class _Place:
    """Where a version lies: folder `root` of a file system. version: what it has to be, "" when any will do."""

    files: Any
    root: str
    version: str


def _located(uri: str) -> _Place:
    name, version = split_version(uri)
    files, root = fsspec.core.url_to_fs(name)
    files.invalidate_cache()
    version = version or _current(files, root)
    beside = f"{root}/{VERSIONS}/{version}"
    return _Place(files, beside if version and files.exists(f"{beside}/{METADATA}") else root, version)


def _current(files: Any, root: str) -> str:
    """The version that the name stands for; "" when it is the first."""
    try:
        found: str = files.cat_file(f"{root}/{CURRENT}").decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""
    if not _VERSION.fullmatch(found):
        raise ModelFormatError(f"{root}/{CURRENT}: got {found[:80]!r}, expected the 64 digits of a version to promote")
    return found


def _described_version(place: _Place, uri: str) -> tuple[str, dict[str, Any]]:
    """The version that lies at a place, and its model.json."""
    text = _read(place.files, f"{place.root}/{METADATA}", _MAX_JSON_BYTES)
    version = hashlib.sha256(text).hexdigest()
    if place.version in ("", version):
        return version, _described(text, uri)
    if place.root.endswith(place.version):
        raise ModelFormatError(
            f"{place.root}/{METADATA}: got another content than its version; copy the artefact again"
        )
    raise FileNotFoundError(
        f"{uri}: got no version {place.version}, expected one in its folder `{VERSIONS}`, or {version}, which lies "
        f"there; "
        "copy it there, or name another"
    )


def _keep(written: Path, target: Path, version: str) -> None:
    """Put what was written where its version belongs, unless it is there already: whole, or not at all."""
    if not target.exists() or not any(target.iterdir()):
        written.rename(target)
        return
    place = _located(with_version(str(target), version))
    with suppress(FileNotFoundError):
        _described_version(place, str(target))
        return
    beside = target / VERSIONS / version
    beside.parent.mkdir(exist_ok=True)
    written.rename(beside)


def _values(model: Module) -> dict[str, Array]:
    return {name: holder.value for held in (model.named_parameters(), model.buffers()) for name, holder in held.items()}


def _check_finite(model: Module, half: bool) -> None:
    limit = float(np.finfo(np.float16 if half else np.float32).max)
    for name, value in _values(model).items():
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
    return load_module(folder, mapped_flat(folder)).training(False)


def _drop_unused(cache: Path) -> None:
    """Remove what no process has loaded for _UNUSED_S, and what a killed one left half unpacked: gone at once, then
    deleted."""
    for entry in cache.iterdir():
        with suppress(OSError):  # another process does the same
            if time.time() - entry.stat().st_mtime > _UNUSED_S:
                shutil.rmtree(entry.rename(entry.with_name(f".{entry.name}.dropped")))


def _checked(place: _Place, name: str, digest: str) -> bytes:
    content = _read(place.files, f"{place.root}/{name}", settings().max_model_bytes)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelFormatError(
            f"{place.root}/{name}: got another content than {METADATA} says; copy the artefact again"
        )
    return content


def _unpack(place: _Place, described: dict[str, Any], folder: Path) -> None:
    """Fetch, check and flatten an artefact into `folder`, which appears whole; another process may be doing the
    same."""
    logger.info("unpacking model %s into %s", place.root, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, digest in described["files"].items():
            (partial / name).write_bytes(_checked(place, name, digest))
        named = Backbone.from_metadata(described[BACKBONE]).weights() if BACKBONE in described else {}
        write_flat({**named, **read_weights(partial / WEIGHTS)}, partial)
        (partial / WEIGHTS).unlink()
        partial.chmod(0o755)
        os.rename(partial, folder)
    except OSError:
        if not (folder / INDEX).exists():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
