"""dlcore's own model format: a folder with topology.json and weights.npz. Nothing in it is executed when it is
loaded."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.errors import ModelFormatError
from dlcore.interop.topology import Decoder, Encoder
from dlcore.nn import init
from dlcore.nn.module import Module
from dlcore.nn.parameter import Buffer, Parameter
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.nn.weights import tie, tied
from dlcore.settings import settings

TOPOLOGY, WEIGHTS = "topology.json", "weights.npz"
_FORMAT = {"format": "dlcore", "version": 2}
_READABLE = (1, 2)  # 1 has bare names of layers: Dropout for nn.Dropout
_MAX_TOPOLOGY_BYTES = 16 << 20


def save_module(
    module: Module,
    folder: str | Path,
    over_write: bool = False,
    half: bool = False,
    without: Collection[str] = (),
) -> Path:
    """Write `module` to `folder`, whole or not at all, float64 as such; `half` stores weights as float16.

    without: names of weights that are kept elsewhere; `load_module` has to be given them.

    Raises:
        FileExistsError: the folder exists and over_write is False, or something else than a model is there.
        ModelFormatError: a layer has an argument that cannot be written.
    """
    target = Path(folder)
    require_free(target, over_write)
    topology, values = described(module)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        (partial / TOPOLOGY).write_text(json.dumps(topology, indent=1, allow_nan=False) + "\n")
        kept = {name: value for name, value in values.items() if name not in without}
        arrays = {name: value.astype(np.float16 if half else value.dtype) for name, value in kept.items()}
        np.savez(partial / WEIGHTS, **arrays)  # type: ignore[arg-type]
        put_in_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def described(module: Module) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The topology of `module`, as JSON can hold it, and its weights by name.

    Raises:
        ModelFormatError: a layer has an argument that cannot be written.
    """
    topology = _FORMAT | {
        "module": Encoder().module(module),
        "frozen": [name for name, parameter in module.named_parameters().items() if parameter.frozen],
        "regularizers": _regularizers(module),
        "is_training": module.is_training(),
    }
    if ties := tied(module):
        topology["tied"] = ties
    return topology, {name: holder.value for name, holder in _holders(module).items()}


def require_free(target: Path, over_write: bool) -> None:
    """Refuse a place that is taken: what is no model is not replaced, whatever `over_write` says.

    Raises:
        FileExistsError: a model is there and over_write is False, or something else is there.
    """
    if not target.exists():
        return
    if not over_write:
        raise FileExistsError(f"{target} exists; pass over_write=True to replace it")
    if not (target / TOPOLOGY).is_file() and (target.is_file() or any(target.iterdir())):
        found = "a file" if target.is_file() else "a folder of other things"
        raise FileExistsError(f"{target}: got {found}, expected a saved model or nothing; choose another path")


def put_in_place(partial: Path, target: Path) -> None:
    """Let `partial` be `target`. The model that was there goes when the new one stands, so that a kill never leaves
    half of one."""
    former = target.with_name(f".{target.name}.{os.getpid()}.former")
    if target.exists():
        target.replace(former)
    partial.replace(target)
    shutil.rmtree(former, ignore_errors=True)


def load_module(folder: str | Path, weights: Mapping[str, NDArray[Any]] | None = None) -> Module:
    """The module that `save_module` wrote.

    weights: arrays by name in place of weights.npz; float32 arrays are used as they are, without a copy, so that they
    may be memory-mapped (such a model cannot be trained when they are read-only).

    Raises:
        FileNotFoundError: the folder has no model, or no weights.
        ModelFormatError: it is no folder; the files are damaged, too large, of another version, or name unknown layers.
    """
    source = Path(folder)
    if not (source / TOPOLOGY).is_file():
        raise _no_model(source)
    topology = _read_topology(source / TOPOLOGY)
    return built(topology, read_weights(source / WEIGHTS) if weights is None else weights, source)


def built(topology: dict[str, Any], weights: Mapping[str, NDArray[Any]], source: Path) -> Module:
    """The module that `described` described; float32 weights are used as they are.

    Raises:
        ModelFormatError: they do not fit one another, or name unknown layers; `source` is named.
    """
    if topology.get("version") not in _READABLE:
        raise ModelFormatError(f"{source}: got version {topology.get('version')}, expected one of {_READABLE}")
    try:
        with init.skipped():
            module = Decoder().module(topology.get("module"))
    except ModelFormatError as error:
        raise ModelFormatError(f"{source}: {error}") from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, MemoryError, RecursionError) as error:
        raise ModelFormatError(f"{source}: got a model that cannot be built: {error!r}") from error
    try:
        for path, first in dict(topology.get("tied", {})).items():
            tie(module, path, first)
        holders = _holders(module)
        _restore_regularizers(module, topology)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelFormatError(f"{source}: {error}") from error
    check_size(sum(holder.value.nbytes for holder in holders.values()), source)
    _fill(holders, weights, source)
    frozen = topology.get("frozen", [])
    if not isinstance(frozen, list):
        raise ModelFormatError(f"{source}: got frozen {frozen!r:.80}, expected a list of names")
    for name in frozen:
        holder = holders.get(str(name))
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
            check_size(sum(member.file_size for member in archive.infolist()), path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: got no such file, expected the weights of a model; pass weightPath if saveModel wrote them apart"
        ) from None
    except ModelFormatError:
        raise
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, NotImplementedError) as error:
        raise ModelFormatError(f"{path}: got damaged weights ({error}), expected an archive of arrays") from error


def _no_model(source: Path) -> OSError | ModelFormatError:
    """What to say of a place where there is no model."""
    expected = f"the folder that save wrote, with {TOPOLOGY} and {WEIGHTS}"
    if source.is_file():
        return ModelFormatError(
            f"{source}: got a file, expected {expected}; checkpoints are for Optimizer.resume, methods for "
            f"OptimMethod.load"
        )
    found = "a folder without a model" if source.exists() else "nothing"
    return FileNotFoundError(f"{source}: got {found}, expected {expected}")


def _read_topology(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_TOPOLOGY_BYTES:
        raise ModelFormatError(f"{path}: got {path.stat().st_size} bytes, expected at most {_MAX_TOPOLOGY_BYTES}")
    try:
        topology = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: got damaged JSON ({error})") from error
    if not isinstance(topology, dict) or topology.get("format") != _FORMAT["format"]:
        raise ModelFormatError(f"{path}: got another kind of file, expected one written by save_module")
    return topology


def _holders(module: Module) -> dict[str, Parameter | Buffer]:
    return {**module.named_parameters(), **module.buffers()}


def _regularizers(module: Module) -> dict[str, list[float]]:
    """Dotted path -> [l1, l2]: a constructor's arguments do not know what was set later."""
    kept = {name: parameter.regularizer for name, parameter in module.named_parameters().items()}
    return {name: [float(penalty.l1), float(penalty.l2)] for name, penalty in kept.items() if penalty is not None}


def _restore_regularizers(module: Module, topology: dict[str, Any]) -> None:
    if "regularizers" not in topology:  # files from before it have what the constructors say
        return
    given = dict(topology["regularizers"])
    for name, parameter in module.named_parameters().items():
        parameter.regularizer = L1L2Regularizer(*map(float, given[name])) if name in given else None


def check_size(size_bytes: int, where: Path) -> None:
    """Refuse a model of more bytes than DLCORE_MAX_MODEL_BYTES.

    Raises:
        ModelFormatError: it is larger; `where` is named.
    """
    limit = settings().max_model_bytes
    if size_bytes > limit:
        raise ModelFormatError(
            f"{where}: got a model of {size_bytes} bytes, expected at most {limit}; raise DLCORE_MAX_MODEL_BYTES if "
            f"you trust it"
        )


def _fill(holders: dict[str, Parameter | Buffer], weights: Mapping[str, NDArray[Any]], where: Path) -> None:
    missing, unknown = sorted(holders.keys() - weights.keys()), sorted(weights.keys() - holders.keys())
    if missing or unknown:
        raise ModelFormatError(
            f"{where}: weights do not fit the topology: missing {missing[:5]}, unknown {unknown[:5]}"
        )
    for name, holder in holders.items():
        value = weights[name]
        if value.shape != holder.value.shape or value.dtype not in (np.float32, np.float16, np.float64):
            raise ModelFormatError(
                f"{where}: got {name} of shape {value.shape} and type {value.dtype}, expected {holder.value.shape} "
                f"float32"
            )
        holder.value = np.asarray(value, np.float64 if value.dtype == np.float64 else np.float32)
