"""What BigDL hangs on every layer, by name: resolved when first used, so that `nn` stays mathematics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

SURFACE = {
    "freeze": "dlcore.nn.learning:freeze",
    "get_parameters": "dlcore.nn.learning:get_parameters",
    "get_weights": "dlcore.nn.learning:get_weights",
    "get_dtype": "dlcore.nn.learning:get_dtype",
    "is_with_weights": "dlcore.nn.learning:is_with_weights",
    "parameters": "dlcore.nn.learning:parameters",
    "predict": "dlcore.optim.prediction:predict",
    "predict_class": "dlcore.optim.prediction:predict_class",
    "predict_class_distributed": "dlcore.optim.prediction:predict_class",
    "predict_class_local": "dlcore.optim.prediction:predict_class",
    "predict_distributed": "dlcore.optim.prediction:predict",
    "predict_image": "dlcore.optim.prediction:predict_image",
    "predict_local": "dlcore.optim.prediction:predict",
    "quantize": "dlcore.inference.quantized:quantize",
    "reset": "dlcore.nn.learning:reset",
    "save": "dlcore.interop.native:save_module",
    "saveModel": "dlcore.interop.apart:save_apart",
    "setBRegularizer": "dlcore.nn.learning:set_bias_regularizer",
    "setWRegularizer": "dlcore.nn.learning:set_weight_regularizer",
    "save_graph_topology": "dlcore.optim.graph_summary:save_graph_topology",
    "set_init_method": "dlcore.nn.learning:set_init_method",
    "set_seed": "dlcore.nn.learning:set_seed",
    "set_weights": "dlcore.nn.learning:set_weights",
    "summary": "dlcore.nn.summary:summary",
    "test": "dlcore.optim.prediction:scores",
    "to_graph": "dlcore.nn.graph:to_graph",
    "to_keras": "dlcore.keras.wrapping:to_keras",
    "unfreeze": "dlcore.nn.learning:unfreeze",
    "update_parameters": "dlcore.nn.learning:update_parameters",
    "zero_grad_parameters": "dlcore.nn.learning:zero_grad_parameters",
}

LOADERS = {
    "load": "dlcore.interop.native:load_module",
    "loadModel": "dlcore.interop.apart:load_apart",
}
"""Functions that hang on the class: `Model.load(path)`."""


@cache
def attached(name: str) -> Callable[..., Any]:
    """The function that the method `name` stands for; it takes the module first, unless it is a loader.

    Raises:
        AttributeError: there is no such method.
    """
    place = SURFACE.get(name) or LOADERS.get(name)
    if place is None:
        raise AttributeError(name)
    module, function = place.split(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def offered(package: str, homes: Sequence[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that offers the names of its modules `homes`, which are imported when
    one of these names is first asked for."""

    @cache
    def known() -> dict[str, Any]:
        modules = [import_module(home) for home in homes]
        public = [(module, name) for module in modules for name in getattr(module, "__all__", None) or dir(module)]
        return {name: getattr(module, name) for module, name in public if name[0].isupper()}

    def find(name: str) -> Any:
        if name == "__all__":
            return list(known())
        if name[0].isupper() and name in known():
            return known()[name]
        raise AttributeError(
            f"module {package!r} has no attribute {name!r}{suggestion(name, known()) if name[0].isupper() else ''}"
        )

    return find, lambda: [*known()]


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about the unknown `name`: the known one that is most like it, or nothing."""
    by_lower = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.75)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""
