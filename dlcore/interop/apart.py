"""A model whose weights may lie in a file of their own: BigDL's saveModel and loadModel."""

from __future__ import annotations

import shutil
from pathlib import Path

from dlcore.interop.native import WEIGHTS, load_module, put_in_place, read_weights, require_free, save_module
from dlcore.nn.module import Module


def save_apart(
    module: Module, modelPath: str | Path, weightPath: str | Path | None = None, over_write: bool = False
) -> Path:
    """Write `module` to the folder `modelPath`, and its weights to the file `weightPath`, if that is given; the weights
    first.

    Raises:
        FileExistsError: there is one of them and over_write is False, or something else than a model is there.
        ModelFormatError: a layer has an argument that cannot be written.
    """
    if weightPath is None:
        return save_module(module, modelPath, over_write)
    folder, file = Path(modelPath), Path(weightPath)
    require_free(folder, over_write)
    if file.exists() and not (over_write and file.is_file()):
        raise FileExistsError(f"{file} exists; pass over_write=True to replace it, or another path if it is a folder")
    partial = folder.with_name(f".{folder.name}.apart")
    file.parent.mkdir(parents=True, exist_ok=True)
    save_module(module, partial, over_write=True)
    try:
        moved = file.with_name(f".{file.name}.partial")
        shutil.move(partial / WEIGHTS, moved)
        moved.replace(file)
        put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def load_apart(modelPath: str | Path, weightPath: str | Path | None = None) -> Module:
    """The module that `save_apart` wrote.

    Raises:
        FileNotFoundError: there is no model, or no weights; pass weightPath if they were written apart.
        ModelFormatError: see `load_module`.
    """
    return load_module(modelPath, None if weightPath is None else read_weights(Path(weightPath)))
