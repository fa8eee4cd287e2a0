"""BigDL's modules as views of dlcore's: an import hook."""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from dlcore.bigdl import absent
from dlcore.bigdl.names import ABSENT, HIDDEN, MODULES, ROOTS, Homes
from dlcore.nn.module import Module
from dlcore.surface import suggestion

PACKAGES = {name.rsplit(".", count)[0] for name in MODULES for count in range(1, name.count(".") + 1)}
"""bigdl, bigdl.nn, ...: what holds modules."""


def install() -> None:
    """Let BigDL's names be imported in this process from now on; done twice is as done once.

    The Python workers of its Spark run this Python, unless PYSPARK_PYTHON says another, and import dlcore from where it
    is here.
    """
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, Finder())
    for name in absent.METHODS:
        setattr(Module, name, absent.refusal(name))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    home = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])


def installed(name: str) -> ModuleType:
    """The module of this name, where the hook may not be there yet: how a module is pickled, for Spark's Python
    workers."""
    install()
    return import_module(name)


class BigdlModule(ModuleType):
    """A module whose unknown names are told what they may mean, or why they cannot be."""

    def __getattr__(self, name: str) -> Any:
        path = f"{_standing(self.__name__)}.{name}"
        if path in HIDDEN:
            return getattr(import_module(HIDDEN[path]), name)
        if name in absent.REASONS:
            return getattr(absent, name)
        if name.startswith("__"):
            raise AttributeError(name)
        known = [each for each in vars(self) if not each.startswith("_")]
        message = f"module {self.__name__!r} has no name {name!r}{suggestion(name, known)}"
        raise ImportError(message, name=self.__name__) if _is_from_import() else AttributeError(message)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return installed, (self.__name__,)


def _is_from_import() -> bool:
    """Whether `from module import name` is asking: it would replace an AttributeError by one that suggests nothing."""
    frame = sys._getframe(2)
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM"


class Finder(MetaPathFinder, Loader):
    """Finds the modules of `names.MODULES` and the packages that hold them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module, None if the name is of no package of BigDL's. Somebody's own module called dl or zoo is theirs.

        Raises:
            ModuleNotFoundError: it is of one, and dlcore has nothing for it.
        """
        name, root = _standing(fullname), fullname.partition(".")[0]
        if root != "bigdl" and PathFinder.find_spec(root) is not None:
            return None
        if name in MODULES or name in PACKAGES:
            return ModuleSpec(fullname, self, is_package=name in PACKAGES)
        if name.split(".")[0] not in PACKAGES:
            return None
        for missing, reason in ABSENT.items():
            if f"{name}.".startswith(f"{missing}.") or missing.startswith(f"{name}."):
                raise ModuleNotFoundError(f"No module named {fullname!r}: {reason}", name=fullname)
        known = [*MODULES, *PACKAGES]
        raise ModuleNotFoundError(f"No module named {fullname!r}{suggestion(name, known)}", name=fullname)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty one."""
        return BigdlModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Bring in the names."""
        name = _standing(module.__name__)
        homes = MODULES.get(name, {})
        module.__doc__ = f"BigDL's {name}, from {', '.join(homes) or 'dlcore'}."
        vars(module).update(gathered(homes))


def _standing(name: str) -> str:
    """The name that `name` stands for: bigdl.nn for dl.nn."""
    root, _, inside = name.partition(".")
    stands = ROOTS.get(root, root)
    return f"{stands}.{inside}" if inside else stands


def gathered(homes: Homes) -> dict[str, Any]:
    """The names that `homes` give, the later of two of the same name."""
    found: dict[str, Any] = {}
    for home, names in homes.items():
        try:
            module = import_module(home.removeprefix("?"))
        except ImportError:
            if home.startswith("?"):
                continue
            raise
        for each in names.split():
            own, _, name = each.partition("=")
            if own == "*":
                found |= {public: getattr(module, public) for public in _public(module)}
            else:
                found[name or own] = getattr(module, own) if own else module
    return found


def _public(module: ModuleType) -> list[str]:
    """What a star import of `module` brings; of a module that does not list it, what is defined there."""
    if isinstance(module, BigdlModule):
        return [name for name in vars(module) if not name.startswith("_")]
    own = (
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", module.__name__) == module.__name__
    )
    return getattr(module, "__all__", None) or [name for name in own if not isinstance(vars(module)[name], ModuleType)]
