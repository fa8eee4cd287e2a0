"""A model's structure as JSON: types, constructor arguments, names and how they are put together. Never code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import dlcore.inference.quantized
import dlcore.nn.layer  # noqa: F401  (both register layers)
from dlcore.errors import ModelFormatError
from dlcore.nn.container import Container
from dlcore.nn.graph import Graph, Node
from dlcore.nn.module import Module
from dlcore.nn.regularizer import L1L2Regularizer

Spec = dict[str, Any]
_MAX_DEPTH = 200


class Encoder:
    """Turns modules into specs; a module met again becomes a reference."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._encoders: dict[type | tuple[type, ...], Callable[[Any, Module], Any]] = {
            Module: lambda value, _: {"module": self.module(value)},
            L1L2Regularizer: lambda value, _: {"regularizer": [float(value.l1), float(value.l2)]},
            np.ndarray: lambda value, _: {"array": value.tolist()},
            (list, tuple): lambda value, owner: [self._value(part, owner) for part in value],
        }

    def module(self, module: Module) -> Spec:
        """The spec of `module` and all inside it."""
        if id(module) in self._numbers:
            return {"ref": self._numbers[id(module)]}
        self._numbers[id(module)] = len(self._numbers)
        spec: Spec = {"id": self._numbers[id(module)], "type": Module.registry.key(type(module))}
        if module._name is not None:
            spec["name"] = module._name
        if module.bigdl_type != "float":
            spec["bigdl_type"] = module.bigdl_type
        if isinstance(module, Graph):
            return spec | self._graph(module)
        spec["config"] = {name: self._value(value, module) for name, value in module.config().items()}
        if isinstance(module, Container) and module.are_modules_added:
            spec["modules"] = [self.module(inner) for inner in module.modules]
        return spec

    def _graph(self, graph: Graph) -> Spec:
        position = {id(node): index for index, node in enumerate(graph.nodes)}
        nodes = [
            {"module": self.module(node.module), "previous": sources}
            for node, sources in zip(graph.nodes, graph.sources, strict=True)
        ]
        return {
            "nodes": nodes,
            "inputs": [position[id(node)] for node in graph.inputs],
            "outputs": [position[id(node)] for node in graph.outputs],
            "stopped": sorted(graph.stopped),
        }

    def _value(self, value: Any, owner: Module) -> Any:
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, float) and not np.isfinite(value):
            return {"float": str(value)}
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        for kind, encode in self._encoders.items():
            if isinstance(value, kind):
                return encode(value, owner)
        raise ModelFormatError(
            f"{owner.label()}: got an argument of type {type(value).__name__}, expected numbers, text, lists, arrays, "
            "regularizers or layers; such a layer cannot be saved"
        )


class Decoder:
    """Builds modules from specs, out of the registered layers only."""

    def __init__(self) -> None:
        self._built: dict[int, Module] = {}

    def module(self, spec: Any, depth: int = 0) -> Module:
        """The module of `spec`.

        Raises:
            ModelFormatError: an unknown layer, wrong arguments, or a structure that makes no sense.
        """
        if not isinstance(spec, dict) or depth > _MAX_DEPTH:
            raise ModelFormatError(f"got {type(spec).__name__} at depth {depth}, expected a layer's description")
        if "ref" in spec:
            if not isinstance(spec["ref"], int) or spec["ref"] not in self._built:
                raise ModelFormatError(f"got a reference to layer {spec['ref']!r}, expected one described before it")
            return self._built[spec["ref"]]
        module = self._new(spec, depth)
        if isinstance(spec.get("name"), str):
            module.set_name(spec["name"])
        self._built[self._number(spec)] = module
        inner = spec.get("modules", [])
        if inner and not isinstance(module, Container):
            raise ModelFormatError(f"{module.label()}: got inner layers, expected none")
        if isinstance(module, Container) and "modules" in spec:
            self._fill(module, inner, depth)
        return module

    @staticmethod
    def _number(spec: Spec) -> int:
        number = spec.get("id", -1)
        if not isinstance(number, int):
            raise ModelFormatError(f"got layer number {number!r:.40}, expected a whole number")
        return number

    def _fill(self, container: Container, specs: list[Any], depth: int) -> None:
        """Add the modules of `specs` in place of those that a subclass has added as it was built, also where it keeps
        them by name."""
        built = list(container.modules)
        container.modules.clear()
        for spec in specs:
            container.add(self.module(spec, depth + 1))
        added = dict(zip(map(id, built), container.modules, strict=False))
        for name, value in vars(container).items():
            if id(value) in added:
                vars(container)[name] = added[id(value)]

    def _new(self, spec: Spec, depth: int) -> Module:
        kind = spec.get("type")
        try:
            build: Callable[..., Module] = Module.registry.find(str(kind))
        except LookupError as error:
            raise ModelFormatError(
                f"got layer type {kind!r}, expected a known one; import the module that defines it before loading "
                f"({error})"
            ) from error
        try:
            if "bigdl_type" in spec:
                build = partial(build, bigdl_type=str(spec["bigdl_type"]))
            if "nodes" in spec:
                return self._graph(build, spec, depth)
            config = spec.get("config", {})
            return build(**{str(name): self._value(value, depth) for name, value in config.items()})
        except ModelFormatError:
            raise
        except (TypeError, ValueError, AttributeError, MemoryError, OverflowError) as error:
            raise ModelFormatError(f"layer {spec.get('name', kind)!r} cannot be built: {error}") from error

    def _graph(self, build: Callable[..., Module], spec: Spec, depth: int) -> Module:
        nodes: list[Node] = []
        try:
            for entry in spec["nodes"]:
                previous = [nodes[i] for i in entry["previous"]]
                nodes.append(Node(self.module(entry["module"], depth + 1), previous))
            graph = build([nodes[i] for i in spec["inputs"]], [nodes[i] for i in spec["outputs"]])
        except (KeyError, IndexError, TypeError) as error:
            raise ModelFormatError(f"got a graph that cannot be connected ({error!r})") from error
        if not isinstance(graph, Graph):
            raise ModelFormatError(f"{graph.label()}: got the nodes of a graph, expected none")
        graph.stopped.update(spec.get("stopped", []))
        return graph

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, list):
            return [self._value(part, depth) for part in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"module"}:
            return self.module(value["module"], depth + 1)
        if set(value) == {"regularizer"}:
            return L1L2Regularizer(*value["regularizer"])
        if set(value) == {"array"}:
            return np.asarray(value["array"], np.float32)
        if set(value) == {"float"}:
            return float(value["float"])
        raise ModelFormatError(f"got an argument {sorted(value)}, expected a number, text, list, array or layer")
