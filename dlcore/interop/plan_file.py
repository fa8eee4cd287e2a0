"""A plan in one file whose weights are memory-mapped: processes that load it share them, also those that are packed for
a kernel.

Nothing in it is executed. After 32 bytes (what it is, the sizes and checksums of what follows) come the model's
topology and how it was compiled, as JSON, then arrays, each at a cache line: the model's weights, and those that
compiling had packed. What is packed fits the CPU, the kernels and the number of threads that it was packed for.
Elsewhere, loading packs the model's weights anew, into memory of the process's own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore import kernels
from dlcore.errors import ModelFormatError
from dlcore.inference.calibration import FORMAT, calibration_of
from dlcore.inference.plan import Plan, Recipe, as_shapes, compiled
from dlcore.interop.native import built, check_size, described
from dlcore.kernels import cpu, native_build, onednn_api
from dlcore.kernels.memory import CACHE_LINE_BYTES
from dlcore.kernels.onednn_api import OneDnnError
from dlcore.kernels.prepared import PreparedMismatchError
from dlcore.settings import settings

logger = logging.getLogger(__name__)

_PREAMBLE = struct.Struct("<8sQQII")  # magic, bytes of the JSON, of the file, checksums of JSON and arrays
_MAGIC = b"dlcplan1"
_MAX_JSON_BYTES = 16 << 20
_CHUNK_BYTES = 16 << 20
_TYPES = {"float32": np.float32, "float64": np.float64}
_REFUSED = (
    TypeError, ValueError, LookupError, AttributeError, ArithmeticError, MemoryError, RecursionError, OneDnnError
)  # fmt: skip
_PACKING = 1
"""To be raised with every change of what is packed, or in which order, that is not a change of the native kernels'
sources."""


def save_plan(plan: Plan, path: str | Path) -> Path:
    """Write `plan` to `path`, whole or not at all; what was there goes. Its hidden states are not saved.

    The weights are those that its model has now, packed anew: what `compile` would make of it, wherever they have
    changed since.

    Raises:
        ModelFormatError: a layer has an argument that cannot be written.
    """
    target = Path(path)
    topology, weights = described(plan.model)
    arrays: list[NDArray[Any]] = [*weights.values(), *compiled(plan.model, plan.recipe).prepared]
    places, end = [], 0
    for array in arrays:
        places.append([array.dtype.name, list(array.shape), end])
        end = _up(end + array.nbytes)
    facts = {
        "topology": topology,
        "weights": list(weights),
        "recipe": asdict(plan.recipe),
        "machine": _machine(plan.recipe.threads),
        "arrays": places,
    }
    text = json.dumps(facts, allow_nan=False).encode()
    text += b" " * (_up(_PREAMBLE.size + len(text)) - _PREAMBLE.size - len(text))
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(bytes(_PREAMBLE.size) + text)
            checksum = 0
            for part in _parts(arrays):
                file.write(part)
                checksum = zlib.crc32(part, checksum)
            file.seek(0)
            file.write(_PREAMBLE.pack(_MAGIC, len(text), _PREAMBLE.size + len(text) + end, zlib.crc32(text), checksum))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def load_plan(path: str | Path, threads: int | None = None) -> Plan:
    """The plan that `save_plan` wrote; its weights are mapped from the file, which must stay as it is.

    threads: of the native kernels, in place of those it was compiled with.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFormatError: it is damaged, too large, or something else.
    """
    source = Path(path)
    facts, body = _opened(source)
    try:
        arrays = [_array(body, *place) for place in facts["arrays"]]
        names = facts["weights"]
        recipe = _recipe(facts["recipe"], threads)
        weights = dict(zip(names, arrays[: len(names)], strict=True))
        model, prepared = built(facts["topology"], weights, source), arrays[len(names) :]
        _check_input(recipe.shape, source)
        if facts["machine"] == _machine(recipe.threads):
            with suppress(PreparedMismatchError):
                return compiled(model, recipe, prepared)
        logger.warning("%s was packed for another CPU, other kernels or threads; packing its weights anew", source)
        return compiled(model, recipe)
    except ModelFormatError:
        raise
    except _REFUSED as error:
        raise ModelFormatError(
            f"{source}: got content that cannot be used ({error}), expected what save_plan wrote"
        ) from error


def _opened(source: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The JSON, and the bytes of the arrays, all as the checksums say."""
    size = source.stat().st_size
    check_size(size, source)
    with source.open("rb") as file:
        start = file.read(_PREAMBLE.size)
        if len(start) < _PREAMBLE.size or not start.startswith(_MAGIC):
            raise ModelFormatError(f"{source}: got another kind of file, expected one written by save_plan")
        _, text_bytes, file_bytes, text_sum, body_sum = _PREAMBLE.unpack(start)
        is_aligned = (_PREAMBLE.size + text_bytes) % CACHE_LINE_BYTES == 0
        if file_bytes != size or text_bytes > min(_MAX_JSON_BYTES, size) or not is_aligned:
            raise ModelFormatError(
                f"{source}: got {size} bytes and {text_bytes} of JSON, expected {file_bytes} in whole cache lines; "
                f"copy the file anew"
            )
        text = file.read(text_bytes)
    body = (
        np.memmap(source, np.uint8, "r")[_PREAMBLE.size + len(text) :]
        if size > _PREAMBLE.size
        else np.empty(0, np.uint8)
    )
    checksum = 0
    for begin in range(0, len(body), _CHUNK_BYTES):
        checksum = zlib.crc32(body[begin : begin + _CHUNK_BYTES].data, checksum)
    if zlib.crc32(text) != text_sum or checksum != body_sum:
        raise ModelFormatError(f"{source}: got a damaged file: its checksum is another; copy it anew")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{source}: got damaged JSON ({error})") from error
    if not isinstance(facts, dict):
        raise ModelFormatError(f"{source}: got {type(facts).__name__} as its content, expected what save_plan wrote")
    return facts, body


def _up(size: int) -> int:
    return -(-size // CACHE_LINE_BYTES) * CACHE_LINE_BYTES


def _parts(arrays: list[NDArray[Any]]) -> Iterator[memoryview | bytes]:
    for array in arrays:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for begin in range(0, len(flat), _CHUNK_BYTES):
            yield flat[begin : begin + _CHUNK_BYTES].data
        yield bytes(_up(len(flat)) - len(flat))


def _array(body: NDArray[np.uint8], name: str, shape: list[int], start: int) -> NDArray[Any]:
    """The array of this type and shape at `start`, read-only."""
    kind, size = np.dtype(_TYPES[name]), math.prod(shape)
    end = start + size * kind.itemsize
    if start < 0 or start % CACHE_LINE_BYTES or size < 0 or min(shape, default=0) < 0 or end > len(body):
        raise ValueError(f"an array of shape {shape} at {start} of {len(body)} bytes")
    return body[start:end].view(kind).reshape(shape)


def _recipe(found: dict[str, Any], threads: int | None) -> Recipe:
    given = found["calibration"]
    calibration = None if given is None else calibration_of(given | {"format": FORMAT})
    count = found["threads"] if threads is None else threads
    return Recipe(**found | {"calibration": calibration, "threads": count, "shape": as_shapes(found["shape"])})


def _check_input(shape: Any, source: Path) -> None:
    """Refuse a plan whose input alone would be larger than data may be."""
    size, limit = _input_bytes(shape), settings().max_data_bytes
    if size > limit:
        raise ModelFormatError(
            f"{source}: got a plan for inputs of {size} bytes, expected at most {limit}; raise DLCORE_MAX_DATA_BYTES "
            f"if you trust it"
        )


def _input_bytes(shape: Any) -> int:
    if isinstance(shape, list):
        return sum(map(_input_bytes, shape))
    if min(shape, default=0) < 0:
        raise ValueError(f"an input of shape {shape}")
    size: int = 4 * math.prod(shape)
    return size


def _machine(threads: int) -> str:
    """What decides in which orders weights are packed: CPU, libraries, settings, threads."""
    parts = [
        cpu.model(),
        sorted(cpu.flags()),
        kernels.instruction_set(),
        kernels.active(),
        cpu.threads(),
        threads,
        _PACKING,
    ]
    if "onednn" in kernels.active():
        parts += [onednn_api.version(), onednn_api.effective_isa()]
    if "native" in kernels.active():
        parts.append(native_build.library_path().name)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
