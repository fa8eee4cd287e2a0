"""What BigDL hangs on every layer, by name: resolved when first used, so that `nn` stays mathematics."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

SURFACE = {
    "save": "dlcore.interop.native:save_module",
}


def attached(name: str) -> Callable[..., Any]:
    """The function that the method `name` stands for; it takes the module first.

    Raises:
        AttributeError: there is no such method.
    """
    if name not in SURFACE:
        raise AttributeError(name)
    module, function = SURFACE[name].split(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
