"""Classes by qualified name, such as `nn.Dropout`: how a file says which class it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Kind = TypeVar("Kind", bound=type)


def namespace_of(module: str) -> str:
    """`nn` for all of dlcore.nn, and so for dlcore's other packages; elsewhere the module's whole name."""
    package, *inside = module.split(".")
    return inside[0] if package == "dlcore" and inside else module


class Registry(Mapping[str, Kind], Generic[Kind]):
    """`<namespace>.<class name>` -> class.

    home: the namespace that a bare class name means, as older files have them.

    Example:
        >>> known = Registry[type]("nn")
        >>> known.add(int, "nn")
        >>> known.find("int"), known.find("nn.int"), known.key(int)
        (<class 'int'>, <class 'int'>, 'nn.int')
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._kinds: dict[str, Kind] = {}
        self._keys: dict[Kind, str] = {}

    def add(self, kind: Kind, namespace: str | None = None) -> None:
        """Enter `kind`; without `namespace` its module says which. The same class defined again takes the place of the
        first.

        Raises:
            ValueError: another class has this name.
        """
        key = f"{namespace or namespace_of(kind.__module__)}.{kind.__name__}"
        other = self._kinds.get(key)
        if other is not None and (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ValueError(
                f"got two classes called {key!r}, in {other.__module__} and {kind.__module__}, expected one; give one "
                f"of "
                f"them another name, or a namespace of its own: class {kind.__name__}(..., namespace='...')"
            )
        self._kinds[key] = kind
        self._keys[kind] = key

    def key(self, kind: Kind) -> str:
        """The qualified name of `kind`.

        Raises:
            KeyError: it was never entered.
        """
        return self._keys[kind]

    def find(self, name: str) -> Kind:
        """The class of a qualified name; of a bare one, that of the home namespace, else the only one called so.

        Raises:
            LookupError: there is none, or there are several.
        """
        for key in (name, f"{self._home}.{name}"):
            if key in self._kinds:
                return self._kinds[key]
        same = sorted(key for key in self._kinds if key.rpartition(".")[2] == name)
        if len(same) != 1:
            held = f"{same} share" if same else "no class has"
            raise LookupError(f"got name {name!r}, which {held}; expected the name of one, with its namespace")
        return self._kinds[same[0]]

    def __getitem__(self, key: str) -> Kind:
        return self._kinds[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)
