"""Module: what every layer earns from declaring its fields and writing `apply`."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from dlcore import kernels
from dlcore.activity import Activity, Array, Pullback, as_activity, describe
from dlcore.nn.init import InitMethod
from dlcore.nn.parameter import Buffer, Parameter
from dlcore.nn.regularizer import L1L2Regularizer
from dlcore.rng import RNG
from dlcore.surface import SURFACE, attached

if TYPE_CHECKING:
    from dlcore.nn.graph import Node

_TRANSIENT = ("_pullback", "_input", "output", "_flat")


class Module:
    """A differentiable function with parameters.

    A layer is a `@dataclass(eq=False)` whose init fields are its constructor arguments in BigDL's spelling. It creates its
    Parameters, Buffers and inner modules as attributes in `__post_init__` and writes `apply(x) -> (y, pullback)`.
    `pullback(grad_y)` returns `grad_x` and calls `parameter.accumulate(...)`; it runs at most once.

    Shapes are logical (N, C, H, W) in channels-last memory; arrays are float32; a table is a list.
    """

    registry: ClassVar[dict[str, type["Module"]]] = {}
    _name: str | None
    _training: bool
    _pullback: Pullback | None
    _input: Activity | None
    _flat: tuple[Array, Array] | None
    output: Activity | None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Module.registry[cls.__name__] = cls

    def __new__(cls, *_arguments: Any, **_options: Any) -> Self:
        self = super().__new__(cls)
        self._name = None
        self._training = True
        self._clear()
        return self

    def _clear(self) -> None:
        for name in _TRANSIENT:
            object.__setattr__(self, name, None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _TRANSIENT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._clear()

    def __getattr__(self, name: str) -> Any:
        if name in SURFACE:
            return partial(attached(name), self)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    # --- the function -----------------------------------------------------------------------------------------------

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        """The output for `x`, and the function from its gradient to the gradient of `x`. Each layer defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply")

    def apply_with_relu(self, x: Any) -> tuple[Any, Pullback]:
        """`apply` with negative outputs set to 0, for a ReLU that follows. Layers whose kernel does both in one override it."""
        y, pullback = self.apply(x)
        rectified = kernels.relu(y)
        return rectified, lambda grad: pullback(kernels.relu_backward(grad, rectified))

    def forward(self, x: Any) -> Any:
        """The output for `x`; arrays are converted to float32, tuples to tables. Remembers what `backward` needs."""
        self._input = as_activity(x)
        self.output, self._pullback = self.apply(self._input)
        return self.output

    def backward(self, x: Any, grad_y: Any) -> Any:
        """The gradient of the input of the latest `forward`; parameter gradients are added up.

        Raises:
            RuntimeError: there was no forward pass, or it has been used.
            ValueError: `x` has another shape than the input of that pass.
        """
        if self._pullback is None or self._input is None:
            raise RuntimeError(f"{self.label()}: backward without a forward pass; call forward(x) first")
        if describe(as_activity(x)) != describe(self._input):
            raise ValueError(
                f"{self.label()}: backward got input {describe(x)}, expected that of the latest forward, "
                f"{describe(self._input)}"
            )
        pullback, self._pullback = self._pullback, None
        return pullback(as_activity(grad_y))

    def __call__(self, previous: Any = None) -> "Node":
        """A graph node that applies this module to the outputs of `previous`: a Node, a list of Nodes, or None."""
        from dlcore.nn.graph import Node

        return Node.of(self, previous)

    # --- structure --------------------------------------------------------------------------------------------------

    def children(self) -> list[tuple[str, "Module"]]:
        """(path component, module) of the modules held directly: a set name, else the attribute or the position."""
        found: list[tuple[str, Module]] = []
        for name, value in vars(self).items():
            if name in _TRANSIENT:
                continue
            if isinstance(value, Module):
                found.append((value._name or name, value))
            elif isinstance(value, list) and value and all(isinstance(part, Module) for part in value):
                found.extend((part._name or str(position), part) for position, part in enumerate(value))
        return found

    def named_modules(self, path: str = "") -> Iterator[tuple[str, "Module"]]:
        """(dotted path, module) of this module (path "") and all inside it, each module once."""
        seen: set[int] = set()
        yield from self._walk(path, seen)

    def _walk(self, path: str, seen: set[int]) -> Iterator[tuple[str, "Module"]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield path, self
        for name, child in self.children():
            yield from child._walk(f"{path}.{name}" if path else name, seen)

    def find(self, name: str) -> "Module":
        """The module inside this one whose name, or whose dotted path, is `name`.

        Raises:
            KeyError: there is none.
        """
        for path, module in self.named_modules():
            if name in (module._name, path):
                return module
        names = ", ".join(path for path, _ in self.named_modules() if path)
        raise KeyError(f"{self.label()}: got name {name!r}, expected one of: {names}")

    def set_name(self, name: str) -> Self:
        """Name this module: in paths, messages, `find` and `freeze`.

        Raises:
            ValueError: the name is empty or has a dot.
        """
        if not name or "." in name:
            raise ValueError(f"got layer name {name!r}, expected a non-empty name without dots")
        self._name = name
        return self

    def name(self) -> str:
        """The set name, else the class's name."""
        return self._name or type(self).__name__

    def label(self) -> str:
        """For messages: `SpatialConvolution 'conv1'`."""
        kind = type(self).__name__
        return kind if self._name is None else f"{kind} {self._name!r}"

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        if not is_dataclass(self):
            raise TypeError(f"{self.label()}: got a class that is no dataclass; decorate it with @dataclass(eq=False)")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def clone(self) -> Self:
        """A deep copy with its own parameters, in memory of its own."""
        return copy.deepcopy(self)

    # --- parameters -------------------------------------------------------------------------------------------------

    def _collect(self, kind: type[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind):
                    key = f"{path}.{name}" if path else name
                    if key in found:
                        raise ValueError(f"{self.label()}: two layers are called {path!r}; give each its own set_name")
                    found[key] = value
        return found

    def parameters(self) -> dict[str, Parameter]:
        """Dotted path -> Parameter, in the order of the layers; a shared layer is listed once."""
        return self._collect(Parameter)

    def buffers(self) -> dict[str, Buffer]:
        """Dotted path -> Buffer: saved with the model, not learned."""
        return self._collect(Buffer)

    def get_parameters(self, weights: Array | None = None, grads: Array | None = None) -> tuple[Array, Array]:
        """(weights, gradients) as two flat arrays (P,) of which the parameters are views from now on.

        Pass arrays to choose the memory, for example shared memory. A second call without arrays gives the same ones.
        """
        parameters = list(self.parameters().values())
        if self._flat is not None and weights is None and grads is None and self._is_flat(parameters):
            return self._flat
        size = sum(parameter.value.size for parameter in parameters)
        weights = np.empty(size, np.float32) if weights is None else weights
        grads = np.empty(size, np.float32) if grads is None else grads
        offset = 0
        for parameter in parameters:
            end = offset + parameter.value.size
            parameter.move_into(weights[offset:end], grads[offset:end])
            offset = end
        self._flat = weights, grads
        return self._flat

    def _is_flat(self, parameters: list[Parameter]) -> bool:
        """Whether nobody has moved the parameters out of the flat arrays since."""
        weights, grads = self._flat or (np.empty(0), np.empty(0))
        return all(
            np.may_share_memory(parameter.value, weights) and np.may_share_memory(parameter.grad, grads)
            for parameter in parameters
        )

    def get_weights(self) -> list[Array]:
        """The parameters' values in BigDL's order and shapes (a convolution's weight is 5-D), as copies."""
        return [module.exported(name, p.value).copy() for module, name, p in self._own_parameters()]

    def set_weights(self, weights: Iterable[Array]) -> None:
        """Copy in what `get_weights` gives.

        Raises:
            ValueError: another number of arrays, or another shape.
        """
        given = [np.asarray(weight, np.float32) for weight in weights]
        own = list(self._own_parameters())
        if len(given) != len(own):
            raise ValueError(f"{self.label()}: got {len(given)} arrays, expected {len(own)}")
        for weight, (module, name, parameter) in zip(given, own, strict=True):
            expected = module.exported(name, parameter.value).shape
            if weight.shape not in (expected, parameter.value.shape):
                raise ValueError(f"{module.label()}: got {name} of shape {weight.shape}, expected {expected}")
            parameter.assign(module.imported(name, weight) if weight.shape == expected else weight)

    def _own_parameters(self) -> Iterator[tuple["Module", str, Parameter]]:
        for _, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield module, name, value

    def exported(self, name: str, value: Array) -> Array:
        """The parameter `name` in BigDL's shape; `value` may also be its gradient."""
        return value

    def imported(self, name: str, value: Array) -> Array:
        """The inverse of `exported`."""
        return value

    def is_with_weights(self) -> bool:
        """Whether there is anything to learn."""
        return bool(self.parameters())

    def zero_grad_parameters(self) -> None:
        """Set all gradients to zero."""
        for parameter in self.parameters().values():
            parameter.zero_grad()

    def update_parameters(self, learning_rate: float) -> None:
        """One plain gradient step."""
        for parameter in self.parameters().values():
            if not parameter.frozen:
                parameter.value -= np.float32(learning_rate) * parameter.grad

    def reset(self) -> Self:
        """Draw all parameters anew from the process's generator."""
        for parameter in self.parameters().values():
            parameter.reset()
        return self

    def set_seed(self, seed: int = 123) -> Self:
        """Seed the generator of the whole process, as in BigDL."""
        RNG.set_seed(seed)
        return self

    def set_init_method(
        self, weight_init_method: InitMethod | None = None, bias_init_method: InitMethod | None = None
    ) -> Self:
        """Draw `weight` and `bias` anew by these methods; None leaves one as it is.

        Raises:
            TypeError: the layer has no such parameter.
        """
        for name, method in (("weight", weight_init_method), ("bias", bias_init_method)):
            if method is None:
                continue
            parameter = vars(self).get(name)
            if not isinstance(parameter, Parameter):
                raise TypeError(f"{self.label()}: got an initial method for {name}, which this layer does not have")
            parameter.init = method
            parameter.reset()
        return self

    def setWRegularizer(self, wRegularizer: L1L2Regularizer) -> None:
        """Set the penalty of `weight`; BigDL's spelling."""
        vars(self)["weight"].regularizer = wRegularizer

    def setBRegularizer(self, bRegularizer: L1L2Regularizer) -> None:
        """Set the penalty of `bias`; BigDL's spelling."""
        vars(self)["bias"].regularizer = bRegularizer

    # --- modes ------------------------------------------------------------------------------------------------------

    def training(self, is_training: bool = True) -> Self:
        """Training mode (dropout drops, batch normalisation measures) or, with False, evaluation."""
        for _, module in self.named_modules():
            module._training = is_training
        return self

    def evaluate(self) -> Self:
        """Evaluation mode."""
        return self.training(False)

    def is_training(self) -> bool:
        """The mode."""
        return self._training

    def freeze(self, names: str | Iterable[str] | None = None) -> Self:
        """Stop learning in the named layers and all inside them; all layers without names.

        Raises:
            KeyError: a name does not exist.
        """
        return self._set_frozen(names, True)

    def unfreeze(self, names: str | Iterable[str] | None = None) -> Self:
        """Undo `freeze`."""
        return self._set_frozen(names, False)

    def _set_frozen(self, names: str | Iterable[str] | None, frozen: bool) -> Self:
        wanted = [names] if isinstance(names, str) else list(names or ())
        for module in [self.find(name) for name in wanted] if names is not None else [self]:
            for parameter in module.parameters().values():
                parameter.frozen = frozen
        return self
