"""Pack dlcore with its compiled kernels and oneDNN, for Spark's workers whose Python has only numpy and pyarrow.

    python -m dlcore.spark.archive dlcore.tar.gz
    spark-submit --archives dlcore.tar.gz#dlcore-archive --conf spark.executorEnv.PYTHONPATH=dlcore-archive train.py

Spark unpacks it beside each executor. The workers' machines must be of this one's kind: Linux on the same processor
family, with Python of the same version.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Annotated

import typer

from dlcore.kernels import native_build, onednn_api

PACKAGE = Path(__file__).resolve().parents[1]
_LIBRARIES_OF_PROCESS = Path("/proc/self/maps")


def pack(path: Path) -> list[str]:
    """Write the archive, a tar.gz; returns the names of the libraries in it.

    Raises:
        NativeUnavailableError, OneDnnError: this machine has no compiler, or no oneDNN.
    """
    native = native_build.build()
    onednn_api.library()
    libraries = {native.name: native, onednn_api.NAMES[0]: _loaded("libdnnl"), native_build.OPENMP: _loaded("libgomp")}
    carried = native_build.CARRIED.relative_to(PACKAGE.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with tarfile.open(partial, "w:gz", compresslevel=1) as archive:
            for file in sorted(PACKAGE.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts and native_build.CARRIED not in file.parents:
                    archive.add(file, str(file.relative_to(PACKAGE.parent)))
            for name, library in libraries.items():
                archive.add(library.resolve(), f"{carried}/{name}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return sorted(libraries)


def _loaded(name: str) -> Path:
    """The file of a library that this process has loaded."""
    lines = _LIBRARIES_OF_PROCESS.read_text().splitlines()
    return Path(next(line.split()[-1] for line in lines if f"/{name}" in line))


def main(path: Annotated[Path, typer.Argument(help="the archive to write, such as dlcore.tar.gz")]) -> None:
    """Pack dlcore for Spark's workers."""
    names = pack(path)
    print(f"{path}: {path.stat().st_size / 2**20:.0f} MB, with {', '.join(names)}")


if __name__ == "__main__":
    typer.run(main)
