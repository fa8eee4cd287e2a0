"""Containers: modules that combine others."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from dlcore.activity import Activity, Array, Pullback, add
from dlcore.nn.activation import ReLU
from dlcore.nn.module import Module


@dataclass(eq=False)
class Container(Module):
    """Holds modules in order; subclasses say how they are combined."""

    are_modules_added: ClassVar[bool] = True
    modules: list[Module] = field(default_factory=list, init=False)

    def add(self, model: Module) -> Self:
        """Append `model`.

        Raises:
            TypeError: `model` is no Module.
        """
        if not isinstance(model, Module):
            raise TypeError(f"{self.label()}: got {type(model).__name__}, expected a layer")
        self.modules.append(model)
        self._flat = None
        return self

    @property
    def layers(self) -> list[Module]:
        """The modules held directly."""
        return list(self.modules)

    def flattened_layers(self, include_container: bool = False) -> list[Module]:
        """All modules inside, containers among them only if asked."""
        inside = [module for _, module in self.named_modules() if module is not self]
        return [module for module in inside if include_container or not isinstance(module, Container)]

    def __len__(self) -> int:
        return len(self.modules)

    def __getitem__(self, position: int) -> Module:
        return self.modules[position]


@dataclass(eq=False)
class Sequential(Container):
    """One module after the other; a ReLU is computed together with the layer before it.

    Example:
        >>> from dlcore.nn.layer import Linear, ReLU
        >>> Sequential().add(Linear(4, 3)).add(ReLU()).forward(np.ones((2, 4))).shape
        (2, 3)
    """

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        pullbacks: list[Pullback] = []
        is_rectified = False
        for module, following in zip(self.modules, [*self.modules[1:], None], strict=True):
            if is_rectified:
                is_rectified = False
                continue
            is_rectified = type(following) is ReLU
            x, pullback = module.apply_with_relu(x) if is_rectified else module.apply(x)
            pullbacks.append(pullback)

        def pull(grad: Any) -> Any:
            while pullbacks:
                grad = pullbacks.pop()(grad)
            return grad

        return x, pull


@dataclass(eq=False)
class ConcatTable(Container):
    """Every module on the same input; the output is the table of their outputs, the gradients are summed."""

    def apply(self, x: Activity) -> tuple[list[Any], Pullback]:
        results = [module.apply(x) for module in self.modules]

        def pull(grad: list[Any]) -> Any:
            total = results[0][1](grad[0])
            for (_, pullback), part in zip(results[1:], grad[1:], strict=True):
                total = add(total, pullback(part))
            return total

        return [y for y, _ in results], pull


@dataclass(eq=False)
class Concat(Container):
    """Every module on the same input; outputs joined along `dimension` (1-based, the batch counts)."""

    dimension: int

    def apply(self, x: Activity) -> tuple[Array, Pullback]:
        results = [module.apply(x) for module in self.modules]
        axis = self.dimension - 1
        ends = np.cumsum([y.shape[axis] for y, _ in results])[:-1]

        def pull(grad: Array) -> Any:
            parts = np.split(grad, ends, axis=axis)
            total = results[0][1](parts[0])
            for (_, pullback), part in zip(results[1:], parts[1:], strict=True):
                total = add(total, pullback(part))
            return total

        return join([y for y, _ in results], axis), pull


@dataclass(eq=False)
class ParallelTable(Container):
    """The i-th module on the i-th entry of the input table."""

    def apply(self, x: list[Any]) -> tuple[list[Any], Pullback]:
        if len(x) != len(self.modules):
            raise ValueError(f"{self.label()}: got a table of {len(x)} entries, expected {len(self.modules)}")
        results = [module.apply(part) for module, part in zip(self.modules, x, strict=True)]
        pullbacks = [pullback for _, pullback in results]
        return [y for y, _ in results], lambda grad: [p(g) for p, g in zip(pullbacks, grad, strict=True)]


@dataclass(eq=False)
class MapTable(Container):
    """One module, with one set of parameters, on every entry of the input table."""

    module: Module | None = None

    def __post_init__(self) -> None:
        if self.module is not None:
            self.modules = [self.module]

    def config(self) -> dict[str, Any]:
        return {}

    def children(self) -> list[tuple[str, Module]]:
        return [(module._name or str(position), module) for position, module in enumerate(self.modules)]

    def apply(self, x: list[Any]) -> tuple[list[Any], Pullback]:
        if len(self.modules) != 1:
            raise ValueError(f"{self.label()}: got {len(self.modules)} modules, expected exactly one")
        results = [self.modules[0].apply(part) for part in x]
        pullbacks = [pullback for _, pullback in results]
        return [y for y, _ in results], lambda grad: [p(g) for p, g in zip(pullbacks, grad, strict=True)]


@dataclass(eq=False)
class Bottle(Container):
    """Fold leading dimensions into the batch, apply one module, unfold.

    x: (A..., rest of n_input_dim - 1 dimensions) -> (A..., rest of n_output_dim1 - 1 dimensions).
    """

    are_modules_added = False
    module: Module
    n_input_dim: int = 2
    n_output_dim1: int | None = None

    def __post_init__(self) -> None:
        self.modules = [self.module]

    def children(self) -> list[tuple[str, Module]]:
        return [(self.module._name or "0", self.module)]

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        kept = x.ndim - self.n_input_dim + 1
        leading = x.shape[:kept]
        y, pullback = self.module.apply(x.reshape(-1, *x.shape[kept:]))

        def pull(grad: Array) -> Array:
            back: Array = pullback(grad.reshape(y.shape))
            return back.reshape(x.shape)

        return y.reshape(*leading, *y.shape[1:]), pull


@dataclass(eq=False)
class TimeDistributed(Container):
    """One module at each step: (N, T, ...) -> (N, T, ...); statistics are those of all steps together."""

    are_modules_added = False
    model: Module

    def __post_init__(self) -> None:
        self.modules = [self.model]

    def children(self) -> list[tuple[str, Module]]:
        return [(self.model._name or "0", self.model)]

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        n, steps = x.shape[:2]
        y, pullback = self.model.apply(x.reshape(n * steps, *x.shape[2:]))

        def pull(grad: Array) -> Array:
            back: Array = pullback(grad.reshape(y.shape))
            return back.reshape(x.shape)

        return y.reshape(n, steps, *y.shape[1:]), pull


def join(arrays: list[Array], axis: int) -> Array:
    """Concatenate, keeping channels-last memory where the first array has it."""
    if arrays[0].ndim == 4 and not arrays[0].flags.c_contiguous:
        moved = [array.transpose(0, 2, 3, 1) for array in arrays]
        axis_in_memory = (0, 3, 1, 2)[axis % 4]
        return np.concatenate(moved, axis=axis_in_memory).transpose(0, 3, 1, 2)
    return np.concatenate(arrays, axis=axis)
