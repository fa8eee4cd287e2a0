"""Module: what every layer earns from declaring its fields and writing `apply`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import Any, ClassVar, Self

from dlcore import kernels
from dlcore.activity import Activity, Array, Pullback, as_activity, describe, float_type, with_floats
from dlcore.nn.node import Node
from dlcore.nn.parameter import Buffer, Holder, Parameter, in_type_of
from dlcore.nn.pullback import SelectivePullback, pulled
from dlcore.nn.shapes import ActivityShape, ShapeError, shape_of, traced_shape
from dlcore.number_type import FLOATS, Typed
from dlcore.registry import Registry
from dlcore.surface import SURFACE, attached

__all__ = ["Module"]

_TRANSIENT = ("_pullback", "_input", "output", "_flat")
"""Attributes of the latest pass, of every module: neither saved nor pickled nor cloned."""

_FOLLOW_APPLY = ("apply_with_relu", "is_rectifier", "outline", "output_shape")
"""What must agree with `apply`."""


def _follow_apply(cls: type[Module]) -> None:
    """Give a class that writes an `apply` of its own what Module derives from `apply`, not what its parent wrote beside
    its own."""
    order = [vars(kind) for kind in cls.__mro__]
    for name in _FOLLOW_APPLY:
        written = next(place for place, known in enumerate(order) if "apply" in known)
        if written < next(place for place, known in enumerate(order) if name in known):
            setattr(cls, name, vars(Module)[name])


class Module(Typed):
    """A differentiable function with parameters.

    A layer is a `@dataclass(eq=False)` whose init fields are its constructor arguments in BigDL's spelling. It creates
    its Parameters, Buffers and inner modules as attributes in `__post_init__` and writes `apply(x) -> (y, pullback)`.
    `pullback(grad_y)` returns `grad_x` and calls `parameter.accumulate(...)`; it runs at most once.

    Shapes are logical (N, C, H, W) in channels-last memory; arrays are float32, or float64 throughout
    (`bigdl_type`); a table is a list.
    """

    registry: ClassVar[Registry[type[Module]]] = Registry("nn")
    is_rectifier: ClassVar[bool] = False
    """Whether it is max(x, 0), which the layer before it may compute: see `apply_with_relu`."""
    is_dynamic: ClassVar[bool] = False
    """Whether the size of the output depends on the data, not on the shape of the input alone."""
    hidden_states: ClassVar[tuple[str, ...]] = ()
    """Attributes that a layer keeps from one call to the next, None at first: neither saved nor pickled nor cloned."""
    _unsaved: ClassVar[tuple[str, ...]] = _TRANSIENT
    _name: str | None
    _training: bool
    _pullback: Pullback | None
    _input: Activity | None
    _flat: tuple[Array, Array] | None
    output: Activity | None

    def __init_subclass__(cls, namespace: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        Module.registry.add(cls, namespace)
        _follow_apply(cls)
        hidden = [name for kind in cls.__mro__ for name in vars(kind).get("hidden_states", ())]
        cls._unsaved = (*_TRANSIENT, *dict.fromkeys(hidden))

    def __new__(cls, *_arguments: Any, **_options: Any) -> Self:
        self = super().__new__(cls)
        self._name = None
        self._training = True
        self._clear()
        return self

    def _clear(self) -> None:
        for name in self._unsaved:
            object.__setattr__(self, name, None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._unsaved}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._clear()

    def __getattr__(self, name: str) -> Any:
        if name in SURFACE:
            return partial(attached(name), self)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *SURFACE})

    def __str__(self) -> str:
        return str(self.summary()) if self.children() else repr(self)

    # --- the function -----------------------------------------------------------------------------------------------

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        """The output for `x`, and the function from its gradient to the gradient of `x`. Each layer defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply")

    def apply_with_relu(self, x: Any) -> tuple[Any, Pullback]:
        """`apply` with negative outputs set to 0, for a ReLU that follows. Layers whose kernel does both in one
        override it."""
        y, pullback = self.apply(x)
        rectified = kernels.relu(y)

        def pull(grad: Any, needs_x: bool) -> Any:
            return pulled(pullback, kernels.relu_backward(grad, rectified), needs_x)

        return rectified, SelectivePullback(pull)

    def forward(self, x: Any) -> Any:
        """The output for `x`; floats take the weights' type, tuples become tables. Remembers what `backward` needs."""
        self._input = self._typed(as_activity(x))
        try:
            self.output, self._pullback = self.apply(self._input)
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            self._say_where(error)
            raise
        return self.output

    def _typed(self, x: Activity) -> Activity:
        """`x` with floats of the type that this module computes in."""
        if self.bigdl_type == "double":
            return with_floats(x, FLOATS[self.bigdl_type])
        return in_type_of((parameter for *_, parameter in self.holders(Parameter)), x)

    def _say_where(self, error: Exception) -> None:
        """Let an error say which layer it comes from, which its text need not, and what that layer got."""
        if not self.children():
            error.add_note(f"{self.label()}: got input {describe(self._input)}")  # type: ignore[arg-type]
            return
        try:
            self.output_shape(shape_of(self._input))
        except ShapeError as found:
            error.add_note(str(found))
        except Exception as found:  # what a layer raises while it is asked for its shape must not hide the error
            error.add_note(f"{self.label()}: the layer is not known: {found}")

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
        grad_x = pullback(as_activity(grad_y, None if self.output is None else float_type(self.output)))
        for parameter in self.named_parameters().values():
            parameter.penalise()
        return grad_x

    def outline(self, x: Any) -> Any:
        """An array, or a table, of the shape of the output for `x`, whose values do not count. Layers that are slow say
        it without computing: `x` holds ones and takes no memory."""
        return self.apply(x)[0]

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        """The shape of the output for an input of `input_shape`: a tuple, or for a table a list of shapes.

        Sizes that are None, such as that of a batch, are unknown; so are the sizes of the output that depend on them.
        Neither the module nor the generator change.

        Raises:
            ShapeError: a layer cannot take such an input; the message says which, by its path, and what it got.
        """
        return traced_shape(self, input_shape)

    def __call__(self, *previous: Any) -> Node:
        """A graph node that applies this module to the outputs of `previous`: Nodes or lists of Nodes, two of which
        make a table."""
        return Node.of(self, *previous)

    # --- structure --------------------------------------------------------------------------------------------------

    def children(self) -> list[tuple[str, Module]]:
        """(path component, module) of the modules held directly: a set name, else the attribute or the position."""
        found: list[tuple[str, Module]] = []
        for name, value in vars(self).items():
            if name in self._unsaved:
                continue
            if isinstance(value, Module):
                found.append((value._name or name, value))
            elif isinstance(value, list) and value and all(isinstance(part, Module) for part in value):
                found.extend((part._name or str(position), part) for position, part in enumerate(value))
        return found

    def named_modules(self, path: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted path, module) of this module (path "") and all inside it, each module once."""
        seen: set[int] = set()
        yield from self._walk(path, seen)

    def _walk(self, path: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield path, self
        for name, child in self.children():
            yield from child._walk(f"{path}.{name}" if path else name, seen)

    def find(self, name: str) -> Module:
        """The module inside this one whose dotted path is `name`, else the one whose name it is.

        Raises:
            KeyError: there is none, or several have this name.
        """
        paths = {path: module for path, module in self.named_modules() if name in (module._name, path)}
        if name in paths or len(paths) == 1:
            return paths.get(name) or next(iter(paths.values()))
        known = list(paths) or [path for path, _ in self.named_modules() if path]
        many = f", which {len(paths)} layers have" if paths else ""
        raise KeyError(f"{self.label()}: got name {name!r}{many}, expected one of: {', '.join(known)}")

    def set_name(self, name: str) -> Self:
        """Name this module: in paths, messages, `find` and `freeze`.

        Raises:
            ValueError: the name is empty.
        """
        if not name:
            raise ValueError("got an empty layer name, expected some text")
        self._name = name
        return self

    def name(self) -> str:
        """The set name, else the class's name."""
        return self._name or type(self).__name__

    def label(self) -> str:
        """For messages: `SpatialConvolution 'conv1'`."""
        return self.type_name() if self._name is None else f"{self.type_name()} {self._name!r}"

    def type_name(self) -> str:
        """What it is called where models are shown."""
        return type(self).__name__

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, without `bigdl_type`."""
        if type(self).__dataclass_fields__ is Typed.__dataclass_fields__:
            raise TypeError(f"{self.label()}: got a class that is no dataclass; decorate it with @dataclass(eq=False)")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init and f.name != "bigdl_type"}

    def clone(self) -> Self:
        """A deep copy with its own parameters, in memory of its own."""
        return copy.deepcopy(self)

    def sharing_weights(self) -> Self:
        """A copy with the same parameters and buffers, but a mode of its own and hidden states that only begin as
        these."""
        modules = [module for _, module in self.named_modules()]
        held = [
            value for module in modules for value in vars(module).values() if isinstance(value, (Parameter, Buffer))
        ]
        copied = copy.deepcopy(self, {id(holder): holder for holder in held})
        for (_, own), module in zip(copied.named_modules(), modules, strict=True):
            for name in module._hidden_names():
                setattr(own, name, copy.deepcopy(getattr(module, name)))
        return copied

    # --- parameters -------------------------------------------------------------------------------------------------

    def holders(self, kind: type[Holder]) -> Iterator[tuple[str, Module, str, Holder]]:
        """(dotted path, module, attribute, holder) of each layer; a tied one comes again with each layer that holds
        it."""
        paths: set[str] = set()
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind):
                    key = f"{path}.{name}" if path else name
                    if key in paths:
                        raise ValueError(f"{self.label()}: two layers are called {path!r}; give each its own set_name")
                    paths.add(key)
                    yield key, module, name, value

    def _collect(self, kind: type[Holder]) -> dict[str, Holder]:
        first: dict[int, tuple[str, Holder]] = {}
        for path, _, _, holder in self.holders(kind):
            first.setdefault(id(holder), (path, holder))
        return dict(first.values())

    def named_parameters(self) -> dict[str, Parameter]:
        """Dotted path -> Parameter, in the order of the layers; a shared layer, or a tied parameter, is listed once."""
        return self._collect(Parameter)

    def buffers(self) -> dict[str, Buffer]:
        """Dotted path -> Buffer: saved with the model, not learned."""
        return self._collect(Buffer)

    def exported(self, name: str, value: Array) -> Array:
        """The parameter `name` in BigDL's shape; `value` may also be its gradient."""
        return value

    def imported(self, name: str, value: Array) -> Array:
        """The inverse of `exported`."""
        return value

    def learns(self) -> bool:
        """Whether a parameter in it is not frozen."""
        return any(not parameter.frozen for _, _, _, parameter in self.holders(Parameter))

    # --- modes ------------------------------------------------------------------------------------------------------

    def training(self, is_training: bool = True) -> Self:
        """Training mode (dropout drops, batch normalisation measures) or, with False, evaluation."""
        for _, module in self.named_modules():
            module._training = is_training
        return self

    def evaluate(self, *data: Any, **options: Any) -> Any:
        """Evaluation mode; or, with `evaluate(dataset, batch_size, val_methods)`, the score of each method: see
        `prediction.scores`."""
        return attached("test")(self, *data, **options) if data or options else self.training(False)

    @staticmethod
    def load(path: Any, bigdl_type: str = "float") -> Module:
        """The module that `save` wrote to the folder `path`: see `native.load_module`."""
        loaded: Module = attached("load")(path)
        return loaded

    from_path = load
    """BigDL 0.1's name of `load`."""

    @staticmethod
    def loadModel(modelPath: Any, weightPath: Any = None, bigdl_type: str = "float") -> Module:
        """The module that `saveModel` wrote: see `apart.load_apart`."""
        loaded: Module = attached("loadModel")(modelPath, weightPath)
        return loaded

    def is_training(self) -> bool:
        """The mode."""
        return self._training

    def keeps_states(self) -> bool:
        """Whether this module, or one inside it, has hidden states."""
        return any(module._hidden_names() for _, module in self.named_modules())

    def reset_states(self) -> Self:
        """Forget the hidden states of this module and all inside it."""
        for _, module in self.named_modules():
            for name in module._hidden_names():
                setattr(module, name, None)
        return self

    def _hidden_names(self) -> tuple[str, ...]:
        return self._unsaved[len(_TRANSIENT) :]
