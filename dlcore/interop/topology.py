"""A model's structure as JSON: types, constructor arguments, names and how they are put together. Never code."""

from collections.abc import Callable
from typing import Any

import numpy as np

import dlcore.nn.layer  # noqa: F401  (registers the layers)
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
            L1L2Regularizer: lambda value, _: {"regularizer": [value.l1, value.l2]},
            np.ndarray: lambda value, _: {"array": value.tolist()},
            (list, tuple): lambda value, owner: [self._value(part, owner) for part in value],
        }

    def module(self, module: Module) -> Spec:
        """The spec of `module` and all inside it."""
        if id(module) in self._numbers:
            return {"ref": self._numbers[id(module)]}
        self._numbers[id(module)] = len(self._numbers)
        spec: Spec = {"id": self._numbers[id(module)], "type": type(module).__name__}
        if module._name is not None:
            spec["name"] = module._name
        if isinstance(module, Graph):
            return spec | self._graph(module)
        spec["config"] = {name: self._value(value, module) for name, value in module.config().items()}
        if isinstance(module, Container) and module.are_modules_added:
            spec["modules"] = [self.module(inner) for inner in module.modules]
        return spec

    def _graph(self, graph: Graph) -> Spec:
        position = {id(node): index for index, node in enumerate(graph.nodes)}
        nodes = [
            {"module": self.module(node.module), "previous": [position[id(p)] for p in node.previous]}
            for node in graph.nodes
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
            if spec["ref"] not in self._built:
                raise ModelFormatError(f"got a reference to layer {spec['ref']!r}, expected one described before it")
            return self._built[spec["ref"]]
        module = self._new(spec, depth)
        if isinstance(spec.get("name"), str):
            module.set_name(spec["name"])
        self._built[spec.get("id", -1)] = module
        for inner in spec.get("modules", []):
            if not isinstance(module, Container):
                raise ModelFormatError(f"{module.label()}: got inner layers, expected none")
            module.add(self.module(inner, depth + 1))
        return module

    def _new(self, spec: Spec, depth: int) -> Module:
        kind = spec.get("type")
        if kind == "Graph":
            return self._graph(spec, depth)
        found = Module.registry.get(kind) if isinstance(kind, str) else None
        if found is None:
            raise ModelFormatError(
                f"got layer type {kind!r}, expected a known one; import the module that defines it before loading"
            )
        config = spec.get("config", {})
        try:
            build: Callable[..., Module] = found
            return build(**{str(name): self._value(value, depth) for name, value in config.items()})
        except ModelFormatError:
            raise
        except (TypeError, ValueError, AttributeError, MemoryError, OverflowError) as error:
            raise ModelFormatError(f"layer {spec.get('name', kind)!r} cannot be built: {error}") from error

    def _graph(self, spec: Spec, depth: int) -> Module:
        nodes: list[Node] = []
        try:
            for entry in spec["nodes"]:
                previous = [nodes[i] for i in entry["previous"]]
                nodes.append(Node(self.module(entry["module"], depth + 1), previous))
            graph = Graph([nodes[i] for i in spec["inputs"]], [nodes[i] for i in spec["outputs"]])
        except (KeyError, IndexError, TypeError) as error:
            raise ModelFormatError(f"got a graph that cannot be connected ({error!r})") from error
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
