"""Weights from PyTorch's files, without PyTorch: the zip files that it writes since 1.6, and the rows of pickles of
before.

Nothing in a file is executed: `torch_pickle` interprets what a state dictionary consists of and refuses all else.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dlcore.errors import ModelFormatError
from dlcore.interop.native import check_size
from dlcore.interop.torch_pickle import DTYPES, Storage, Tensor, interpreted, said
from dlcore.nn.module import Module
from dlcore.nn.parameter import Buffer, Parameter

State: TypeAlias = dict[str, NDArray[Any]]
NameMap: TypeAlias = Mapping[str, str] | Callable[[str], str | None]
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read_torch_state(path: str | Path, entry: str | None = None) -> State:
    """Name -> array, read-only, of each tensor of a state dictionary that `torch.save` wrote; other values are left
    out.

    entry: where the state dictionary lies if the file is a dictionary around it, such as "state_dict". bfloat16 becomes
    float32.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFormatError: it is damaged, larger than DLCORE_MAX_MODEL_BYTES, or holds more than names and tensors.
    """
    where = Path(path)
    check_size(where.stat().st_size, where)
    try:
        with where.open("rb") as file:
            reader = _from_zip if zipfile.is_zipfile(file) else _from_pickles
            file.seek(0)
            return reader(file, entry)
    except ModelFormatError as error:
        raise ModelFormatError(f"{where}: {error}") from error
    except (zipfile.BadZipFile, struct.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise ModelFormatError(f"{where}: got a damaged file ({error}), expected one written by torch.save") from error


def _from_zip(file: IO[bytes], entry: str | None) -> State:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise ModelFormatError("got compressed members, expected none: torch.save does not compress")
        if sum(member.file_size for member in members.values()) > file.seek(0, io.SEEK_END):
            raise ModelFormatError("got members that are larger than the file, expected one after the other")
        found = [name for name in members if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise ModelFormatError(f"got {len(found)} members data.pkl, expected one")
        base = found[0].removesuffix("data.pkl")
        order = archive.read(f"{base}byteorder") if f"{base}byteorder" in members else b"little"
        if order != b"little":
            raise ModelFormatError(f"got byte order {order[:20]!r}, expected little")
        tensors = _tensors(interpreted(io.BytesIO(archive.read(found[0]))), entry)

        def read(storage: Storage) -> bytes:
            name = f"{base}data/{storage.key}"
            if name not in members:
                raise ModelFormatError(f"got no member {name}")
            return archive.read(name)

        return _arrays(tensors, read)


def _from_pickles(file: IO[bytes], entry: str | None) -> State:
    stream = io.BytesIO(file.read())  # a file would reserve memory for whatever length a damaged pickle says
    if interpreted(stream) != _MAGIC or interpreted(stream) != _PROTOCOL:
        raise ModelFormatError("got another kind of file, expected one written by torch.save")
    system = interpreted(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ModelFormatError(f"got the system {said(system)}, expected a little-endian one")
    tensors = _tensors(interpreted(stream), entry)
    keys = interpreted(stream)
    data = stream.getbuffer()[stream.tell() :]
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(storages):
        raise ModelFormatError("got other keys of storages than the tensors have")
    places, position = {}, 0
    for key in keys:
        (count,) = struct.unpack_from("<q", data, position)
        start = position + 8
        position = start + _bytes(storages[key])
        if count != storages[key].count:
            raise ModelFormatError(f"got {count} numbers in storage {key}, expected {storages[key].count}")
        places[key] = slice(start, position)
    return _arrays(tensors, lambda storage: data[places[storage.key]])


def _tensors(value: Any, entry: str | None) -> dict[str, Tensor]:
    """The tensors of the dictionary `value`, or of the one under `entry` in it."""
    found = value.get(entry) if isinstance(value, dict) and entry is not None else value
    tensors = (
        {str(name): part for name, part in found.items() if isinstance(part, Tensor)} if isinstance(found, dict) else {}
    )
    if not tensors:
        names = [name for name, part in value.items() if isinstance(part, dict)] if isinstance(value, dict) else []
        raise ModelFormatError(f"got no tensors, expected a state dictionary; pass one of these as entry: {names[:10]}")
    kinds: dict[str, Storage] = {}
    for tensor in tensors.values():
        if kinds.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise ModelFormatError(f"got storage {tensor.storage.key} as two kinds")
    return tensors


def _bytes(storage: Storage) -> int:
    return storage.count * np.dtype(DTYPES[storage.kind]).itemsize


def _arrays(tensors: dict[str, Tensor], read: Callable[[Storage], bytes | memoryview]) -> State:
    numbers = {storage: _numbers(storage, read(storage)) for storage in {t.storage for t in tensors.values()}}
    return {name: _view(tensor, numbers[tensor.storage]) for name, tensor in tensors.items()}


def _numbers(storage: Storage, data: bytes | memoryview) -> NDArray[Any]:
    if len(data) != _bytes(storage):
        raise ModelFormatError(f"got {len(data)} bytes in storage {storage.key}, expected {_bytes(storage)}")
    numbers = np.frombuffer(data, DTYPES[storage.kind])
    if storage.kind != "BFloat16Storage":
        return numbers
    return (numbers.astype(np.uint32) << 16).view(np.float32)


def _view(tensor: Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)


def load_torch_state(model: Module, state: Mapping[str, NDArray[Any]], name_map: NameMap | None = None) -> Module:
    """Copy `state` into the parameters and buffers of `model`, all of them, and give `model`.

    name_map: from a name in `state` to the path in `model.named_parameters()` or `model.buffers()`, or to None for what
    is left out; by default the names are the same. The counters of batches that PyTorch keeps are left out unless they
    are named.

    Raises:
        ValueError: names or shapes do not fit; then nothing was copied.
    """
    holders: dict[str, Parameter | Buffer] = {**model.named_parameters(), **model.buffers()}
    named = _renamed(state, name_map)
    missing, unknown = sorted(holders.keys() - named.keys()), sorted(named.keys() - holders.keys())
    if missing or unknown:
        raise ValueError(
            f"{model.label()}: got a state without {missing[:5]} ({len(missing)}) and with {unknown[:5]} "
            f"({len(unknown)}) that the "
            "model does not have; pass a name_map"
        )
    for name, holder in holders.items():
        if named[name].shape != holder.value.shape:
            raise ValueError(f"{model.label()}: got {name} of shape {named[name].shape}, expected {holder.value.shape}")
    for name, holder in holders.items():
        holder.value[...] = named[name]
    return model


def _renamed(state: Mapping[str, NDArray[Any]], name_map: NameMap | None) -> State:
    find = name_map.get if isinstance(name_map, Mapping) else name_map or _same
    named: State = {}
    for name, value in state.items():
        target = find(name)
        if target is None:
            continue
        if target in named:
            raise ValueError(f"got {name!r} as {target!r}, which another name is mapped to as well")
        named[target] = value
    return named


def _same(name: str) -> str | None:
    return None if name.endswith("num_batches_tracked") else name
