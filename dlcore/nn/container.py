"""Containers: modules that combine others."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import zip_longest
from math import prod
from typing import Any, ClassVar, Self

import numpy as np

from dlcore.activity import Activity, Array, Pullback, add
from dlcore.kernels.memory import channels_first, channels_to_end, is_channels_last
from dlcore.nn.module import Module
from dlcore.nn.pullback import SelectivePullback, pulled
from dlcore.nn.shapes import ActivityShape, shape_error, shape_within

__all__ = ["Bottle", "Concat", "ConcatTable", "Container", "MapTable", "ParallelTable", "Sequential", "TimeDistributed"]


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
        return self

    @property
    def layers(self) -> list[Module]:
        """The modules held directly."""
        return list(self.modules)

    def flattened_layers(self, include_container: bool = False) -> list[Module]:
        """All modules inside, containers among them only if asked."""
        inside = [module for _, module in self.named_modules() if module is not self]
        return [module for module in inside if include_container or not isinstance(module, Container)]

    def held(self) -> list[tuple[str, Module]]:
        """(path component, module) of `modules`, in order."""
        return [(module._name or str(position), module) for position, module in enumerate(self.modules)]

    def _shapes(self, input_shapes: list[ActivityShape]) -> list[ActivityShape]:
        """The output shape of each module held, for its own input shape."""
        if len(input_shapes) != len(self.modules):
            raise shape_error(self, f"got a table of {len(input_shapes)} shapes, expected {len(self.modules)}")
        return [shape_within(*each, shape) for each, shape in zip(self.held(), input_shapes, strict=True)]

    def _pull_each(self, pullbacks: list[Pullback], grads: list[Any], needs_x: bool) -> list[Any]:
        """The modules' input gradients; without `needs_x` only those are pulled that learn, and the list is empty."""
        parts = zip(self.modules, pullbacks, grads, strict=True)
        if needs_x:
            return [pullback(grad) for _, pullback, grad in parts]
        for module, pullback, grad in parts:
            if module.learns():
                pulled(pullback, grad, False)
        return []

    def __len__(self) -> int:
        return len(self.modules)

    def __getitem__(self, position: int) -> Module:
        return self.modules[position]


@dataclass(eq=False)
class Sequential(Container):
    """One module after the other; a ReLU is computed together with the layer before it.

    x: what the first module takes -> what the last one gives; without modules the same.
    Source: BigDL's Sequential.

    Example:
        >>> from dlcore.nn.layer import Linear, ReLU
        >>> Sequential().add(Linear(4, 3)).add(ReLU()).forward(np.ones((2, 4))).shape
        (2, 3)
    """

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        steps: list[tuple[Module, Pullback]] = []
        is_rectified = False
        for module, following in zip_longest(self.modules, self.modules[1:]):
            if is_rectified:
                is_rectified = False
                continue
            is_rectified = following is not None and following.is_rectifier
            x, pullback = module.apply_with_relu(x) if is_rectified else module.apply(x)
            steps.append((module, pullback))

        def pull(grad: Any, needs_x: bool) -> Any:
            first = 0 if needs_x else next((i for i, (module, _) in enumerate(steps) if module.learns()), len(steps))
            while len(steps) > first:
                _, pullback = steps.pop()
                grad = pulled(pullback, grad, needs_x or len(steps) > first)
            steps.clear()
            return grad

        return x, SelectivePullback(pull)

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        for name, module in self.held():
            input_shape = shape_within(name, module, input_shape)
        return input_shape


@dataclass(eq=False)
class ConcatTable(Container):
    """Give every module the same input; their gradients are summed.

    x: what every module takes -> the table of what each gives.
    Source: BigDL's ConcatTable.
    """

    def apply(self, x: Activity) -> tuple[list[Any], Pullback]:
        results = [module.apply(x) for module in self.modules]
        pullbacks = [pullback for _, pullback in results]
        return [y for y, _ in results], SelectivePullback(
            lambda grad, needs_x: _sum(self._pull_each(pullbacks, grad, needs_x))
        )

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return self._shapes([input_shape] * len(self.modules))


@dataclass(eq=False)
class Concat(Container):
    """Give every module the same input and join the outputs along `dimension` (1-based, the batch counts).

    x: what every module takes -> (A, sum of D_k, B) of outputs (A, D_k, B) with D_k at `dimension`.
    Source: BigDL's Concat.
    """

    dimension: int

    def apply(self, x: Activity) -> tuple[Array, Pullback]:
        results = [module.apply(x) for module in self.modules]
        axis = self.dimension - 1
        pullbacks = [pullback for _, pullback in results]
        ends = np.cumsum([y.shape[axis] for y, _ in results])[:-1]

        def pull(grad: Array, needs_x: bool) -> Any:
            return _sum(self._pull_each(pullbacks, np.split(grad, ends, axis=axis), needs_x))

        return join([y for y, _ in results], axis), SelectivePullback(pull)

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        axis, shapes = self.dimension - 1, self._shapes([input_shape] * len(self.modules))
        if any(isinstance(shape, list) or not 0 <= axis < len(shape) for shape in shapes):
            raise shape_error(self, f"got outputs {shapes}, expected arrays with a dimension {self.dimension}")
        joined = [size for shape in shapes for size in shape[axis : axis + 1]]
        others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
        if len(others) != 1:
            raise shape_error(self, f"got outputs {shapes}, expected them equal but for dimension {self.dimension}")
        sizes = list(others.pop())
        return (*sizes[:axis], None if None in joined else sum(joined), *sizes[axis:])


@dataclass(eq=False)
class ParallelTable(Container):
    """Give the i-th module the i-th entry of the input table.

    x: a table of one entry per module -> the table of what each gives.
    Source: BigDL's ParallelTable.
    """

    def apply(self, x: list[Any]) -> tuple[list[Any], Pullback]:
        if len(x) != len(self.modules):
            raise ValueError(f"{self.label()}: got a table of {len(x)} entries, expected {len(self.modules)}")
        results = [module.apply(part) for module, part in zip(self.modules, x, strict=True)]
        pullbacks = [pullback for _, pullback in results]
        return [y for y, _ in results], SelectivePullback(partial(self._pull_each, pullbacks))

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return self._shapes(list(input_shape) if isinstance(input_shape, list) else [input_shape])


@dataclass(eq=False)
class MapTable(Container):
    """Give one module, with one set of parameters, every entry of the input table.

    x: a table -> the table of what the module gives for each entry.
    Source: BigDL's MapTable.
    """

    module: Module | None = None

    def __post_init__(self) -> None:
        if self.module is not None:
            self.modules = [self.module]

    def config(self) -> dict[str, Any]:
        return {}

    def children(self) -> list[tuple[str, Module]]:
        return self.held()

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        if not isinstance(input_shape, list):
            raise shape_error(self, f"got one shape, {input_shape}, expected a table of shapes")
        return [shape_within(self._only()._name or "0", self._only(), shape) for shape in input_shape]

    def _only(self) -> Module:
        if len(self.modules) != 1:
            raise ValueError(f"{self.label()}: got {len(self.modules)} modules, expected exactly one")
        return self.modules[0]

    def apply(self, x: list[Any]) -> tuple[list[Any], Pullback]:
        module = self._only()
        results = [module.apply(part) for part in x]
        pullbacks = [pullback for _, pullback in results]

        def pull(grad: list[Any], needs_x: bool) -> list[Any]:
            return [pulled(pullback, part, needs_x) for pullback, part in zip(pullbacks, grad, strict=True)]

        return [y for y, _ in results], SelectivePullback(pull)


@dataclass(eq=False)
class Bottle(Container):
    """Fold leading dimensions into the batch, apply one module, unfold.

    x: (A..., rest of n_input_dim - 1 dimensions) -> (A..., rest of n_output_dim1 - 1 dimensions).
    Source: BigDL's Bottle.
    """

    are_modules_added = False
    module: Module
    n_input_dim: int = 2
    n_output_dim1: int = 2**31 - 1

    def __post_init__(self) -> None:
        self.modules = [self.module]

    def children(self) -> list[tuple[str, Module]]:
        return self.held()

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        kept = x.ndim - self.n_input_dim + 1
        leading = x.shape[:kept]
        y, pullback = self.module.apply(x.reshape(-1, *x.shape[kept:]))

        def pull(grad: Array, needs_x: bool) -> Any:
            back = pulled(pullback, grad.reshape(y.shape), needs_x)
            return back.reshape(x.shape) if needs_x else None

        return y.reshape(*leading, *y.shape[1:]), SelectivePullback(pull)

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return _folded_shape(self, input_shape, len(input_shape) - self.n_input_dim + 1)


@dataclass(eq=False)
class TimeDistributed(Container):
    """Apply one module at each step; its batch statistics are those of all steps together.

    x: (N, T, ...) -> (N, T, ...), the rest as the module makes it.
    Source: BigDL's TimeDistributed.
    """

    are_modules_added = False
    model: Module

    def __post_init__(self) -> None:
        self.modules = [self.model]

    def children(self) -> list[tuple[str, Module]]:
        return self.held()

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        n, steps = x.shape[:2]
        y, pullback = self.model.apply(x.reshape(n * steps, *x.shape[2:]))

        def pull(grad: Array, needs_x: bool) -> Any:
            back = pulled(pullback, grad.reshape(y.shape), needs_x)
            return back.reshape(x.shape) if needs_x else None

        return y.reshape(n, steps, *y.shape[1:]), SelectivePullback(pull)

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return _folded_shape(self, input_shape, 2)


def _sum(parts: list[Any]) -> Any:
    return reduce(add, parts) if parts else None


def _folded_shape(container: Bottle | TimeDistributed, shape: ActivityShape, count: int) -> ActivityShape:
    """The output shape of a container that folds the first `count` dimensions into the batch of its one module."""
    if isinstance(shape, list) or not 0 < count <= len(shape):
        raise shape_error(container, f"got input shape {shape}, expected an array of more dimensions")
    leading = shape[:count]
    batch = None if None in leading else prod(size for size in leading if size is not None)
    inner = shape_within(*container.held()[0], (batch, *shape[count:]))
    if isinstance(inner, list):
        raise shape_error(container, f"got the table {inner} from its module, expected one array")
    return (*leading, *inner[1:])


def join(arrays: list[Array], axis: int) -> Array:
    """Concatenate along `axis`, keeping channels-last memory where the first array has it."""
    if not is_channels_last(arrays[0]):
        return np.concatenate(arrays, axis=axis)
    ndim = arrays[0].ndim
    in_memory = (0, ndim - 1, *range(1, ndim - 1))[axis]
    return channels_first(np.concatenate([channels_to_end(array) for array in arrays], axis=in_memory))
