"""dlcore's own model format: a folder with topology.json and weights.npz. Nothing in it is executed when it is loaded."""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.errors import ModelFormatError
from dlcore.interop.topology import Decoder, Encoder
from dlcore.nn import init
from dlcore.nn.module import Module
from dlcore.nn.parameter import Buffer, Parameter
from dlcore.settings import settings

TOPOLOGY, WEIGHTS = "topology.json", "weights.npz"
_FORMAT = {"format": "dlcore", "version": 1}
_MAX_TOPOLOGY_BYTES = 16 << 20


def save_module(module: Module, folder: str | Path, over_write: bool = False, half: bool = False) -> Path:
    """Write `module` to `folder`, whole or not at all; `half` stores weights as float16.

    Raises:
        FileExistsError: the folder exists and over_write is False.
        ModelFormatError: a layer has an argument that cannot be written.
    """
    target = Path(folder)
    if target.exists() and not over_write:
        raise FileExistsError(f"{target} exists; pass over_write=True to replace it")
    topology = _FORMAT | {
        "module": Encoder().module(module),
        "frozen": [name for name, parameter in module.parameters().items() if parameter.frozen],
        "is_training": module.is_training(),
    }
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        (partial / TOPOLOGY).write_text(json.dumps(topology, indent=1, allow_nan=False) + "\n")
        kind = np.float16 if half else np.float32
        arrays = {name: holder.value.astype(kind) for name, holder in _holders(module).items()}
        np.savez(partial / WEIGHTS, **arrays)  # type: ignore[arg-type]
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def load_module(folder: str | Path, weights: Mapping[str, NDArray[Any]] | None = None) -> Module:
    """The module that `save_module` wrote.

    weights: arrays by name in place of weights.npz; float32 arrays are used as they are, without a copy, so that they may be
    memory-mapped (such a model cannot be trained when they are read-only).

    Raises:
        FileNotFoundError: the folder has no model.
        ModelFormatError: the files are damaged, too large, of another version, or name unknown layers.
    """
    source = Path(folder)
    topology = _read_topology(source / TOPOLOGY)
    with init.skipped():
        module = Decoder().module(topology.get("module"))
    try:
        holders = _holders(module)
    except ValueError as error:
        raise ModelFormatError(f"{source}: {error}") from error
    _check_size(sum(holder.value.nbytes for holder in holders.values()), source)
    _fill(holders, read_weights(source / WEIGHTS) if weights is None else weights, source)
    for name in topology.get("frozen", []):
        holder = holders.get(name)
        if isinstance(holder, Parameter):
            holder.frozen = True
    return module.training(bool(topology.get("is_training", True)))


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of weights.npz, by name, in memory.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFormatError: it is damaged or larger than DLCORE_MAX_MODEL_BYTES.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(sum(member.file_size for member in archive.infolist()), path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise
    except ModelFormatError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, NotImplementedError) as error:
        raise ModelFormatError(f"{path}: got damaged weights ({error}), expected an archive of arrays") from error


def _read_topology(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_TOPOLOGY_BYTES:
        raise ModelFormatError(f"{path}: got {path.stat().st_size} bytes, expected at most {_MAX_TOPOLOGY_BYTES}")
    try:
        topology = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: got damaged JSON ({error})") from error
    if not isinstance(topology, dict) or topology.get("format") != _FORMAT["format"]:
        raise ModelFormatError(f"{path}: got another kind of file, expected one written by save_module")
    if topology.get("version") != _FORMAT["version"]:
        raise ModelFormatError(f"{path}: got version {topology.get('version')}, expected {_FORMAT['version']}")
    return topology


def _holders(module: Module) -> dict[str, Parameter | Buffer]:
    return {**module.parameters(), **module.buffers()}


def _check_size(size_bytes: int, where: Path) -> None:
    limit = settings().max_model_bytes
    if size_bytes > limit:
        raise ModelFormatError(
            f"{where}: got a model of {size_bytes} bytes, expected at most {limit}; raise DLCORE_MAX_MODEL_BYTES if you trust it"
        )


def _fill(holders: dict[str, Parameter | Buffer], weights: Mapping[str, NDArray[Any]], where: Path) -> None:
    missing, unknown = sorted(holders.keys() - weights.keys()), sorted(weights.keys() - holders.keys())
    if missing or unknown:
        raise ModelFormatError(
            f"{where}: weights do not fit the topology: missing {missing[:5]}, unknown {unknown[:5]}"
        )
    for name, holder in holders.items():
        value = weights[name]
        if value.shape != holder.value.shape or value.dtype not in (np.float32, np.float16):
            raise ModelFormatError(
                f"{where}: got {name} of shape {value.shape} and type {value.dtype}, expected {holder.value.shape} float32"
            )
        holder.value = np.asarray(value, np.float32)
