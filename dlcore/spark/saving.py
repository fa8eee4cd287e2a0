"""Stages of Spark ML in files: Spark's own metadata, and beside it the network."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter

from dlcore.interop.native import load_module, save_module

NETWORK = "network"


class NetworkStage(MLWritable, MLReadable):
    """A stage with a network in `model`, which is saved with it; `facts` says what else its constructor wants, as
    JSON."""

    model: Any

    def facts(self) -> dict[str, Any]:
        """What `remade` needs beside the network."""
        return {}

    @classmethod
    def remade(cls, model: Any, facts: dict[str, Any]) -> Any:
        """The stage of a network and what `facts` said."""
        return cls(model, **facts)

    def write(self) -> MLWriter:
        """Spark's way to save it: `write().overwrite().save(path)`."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[Any]:
        """Spark's way to load it."""
        return _Reader(cls)


class _Writer(MLWriter):
    def __init__(self, stage: NetworkStage) -> None:
        super().__init__()
        self._stage = stage

    def saveImpl(self, path: str) -> None:
        stage: Any = self._stage
        DefaultParamsWriter.saveMetadata(stage, path, self.sc, {"facts": stage.facts()})
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder) / NETWORK
            save_module(stage.model, saved)
            _files(self.sc, path).copyFromLocalFile(*_paths(self.sc, str(saved), f"{path}/{NETWORK}"))


class _Reader(MLReader[Any]):
    def __init__(self, kind: type[NetworkStage]) -> None:
        super().__init__()
        self._kind = kind

    def load(self, path: str) -> Any:
        """The stage that was saved there.

        Raises:
            FileNotFoundError, ModelFormatError: there is none, or it is damaged.
        """
        metadata = DefaultParamsReader.loadMetadata(path, self.sc)
        folder = tempfile.mkdtemp()
        try:
            local = f"{folder}/{NETWORK}"
            _files(self.sc, path).copyToLocalFile(False, *_paths(self.sc, f"{path}/{NETWORK}", local), True)
            stage = self._kind.remade(load_module(local), metadata["facts"])
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        stage._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(stage, metadata)
        return stage


def _paths(context: Any, *paths: str) -> list[Any]:
    return [context._jvm.org.apache.hadoop.fs.Path(path) for path in paths]


def _files(context: Any, path: str) -> Any:
    """Hadoop's view of the files where `path` is."""
    (found,) = _paths(context, path)
    return found.getFileSystem(context._jsc.hadoopConfiguration())
