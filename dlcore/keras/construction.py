"""How a Keras layer is built: from its arguments, once the shape of its input is known."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

from dlcore.nn.composed import Composed
from dlcore.nn.module import Module
from dlcore.nn.node import Node
from dlcore.nn.shapes import ActivityShape
from dlcore.number_type import FLOATS, making

Kind = TypeVar("Kind", bound="KerasLayer")


def as_shape(given: Any) -> ActivityShape:
    """A tuple of sizes, None where one is unknown, or for several inputs the list of their shapes; of any lists and
    tuples."""
    sizes = [given] if isinstance(given, int) else list(given)
    if any(isinstance(size, (list, tuple)) for size in sizes):
        return [as_shape(size) for size in sizes]
    return tuple(None if size is None else int(size) for size in sizes)


def batched(shape: ActivityShape) -> ActivityShape:
    """The shapes with a batch of unknown size before each."""
    return [batched(part) for part in shape] if isinstance(shape, list) else (None, *shape)


def unbatched(shape: ActivityShape) -> ActivityShape:
    """The inverse of `batched`."""
    return [unbatched(part) for part in shape] if isinstance(shape, list) else shape[1:]


@dataclass(eq=False)
class KerasLayer(Composed):
    """A layer that puts its body together when it learns what it takes: `input_shape`, without the batch.

    Its constructor's arguments are BigDL's, in BigDL's order. `input_shape` is wanted of a model's first layer only;
    the others learn it when they are added, or called on a node. Keras's options `name`, `trainable` and
    `batch_input_shape` are taken too.
    """

    rank: ClassVar[int | None] = None
    """The dimensions that an input must have, without the batch; None where any will do."""
    trainable: ClassVar[bool] = True
    renamed: ClassVar[dict[str, str]] = {}
    """Field -> the constructor's argument, where a method has the argument's name."""
    input_shape: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        given = self.declared_shape() if self.input_shape is None else self.input_shape
        if given is not None:
            self.build(as_shape(given))

    def declared_shape(self) -> Any:
        """The input's shape as other arguments than `input_shape` say it, or None."""
        size = getattr(self, "input_dim", None)
        return None if size is None else (size,)

    def compose(self, shape: tuple[int | None, ...]) -> Module:
        """The body for inputs of `shape`, without the batch. Each layer defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define compose")

    def build(self, shape: ActivityShape) -> Self:
        """Make the weights for inputs of `shape`, without the batch; a layer that is built stays as it is.

        Raises:
            ValueError: the layer cannot take such inputs.
        """
        if self.body is None:
            if self.rank is not None and (isinstance(shape, list) or len(shape) != self.rank):
                raise ValueError(
                    f"{self.label()}: got input shape {shape}, expected {self.rank} dimensions, without the batch"
                )
            self.input_shape = shape
            with making(FLOATS[self.bigdl_type]):
                self.body = self.compose(shape)  # type: ignore[arg-type]
            if not self.trainable:
                self.freeze()
        return self

    def built(self) -> Module:
        if self.body is None:
            raise ValueError(
                f"{self.label()}: got no input shape, expected one; pass input_shape=(...), without the batch, or add "
                f"the layer "
                "to a model that knows it"
            )
        return self.body

    def config(self) -> dict[str, Any]:
        return {self.renamed.get(name, name): value for name, value in super().config().items()}

    def get_input_shape(self) -> ActivityShape:
        """The input's shape, None for the batch."""
        self.built()
        return batched(self.input_shape)

    def get_output_shape(self) -> ActivityShape:
        """The output's shape, None for the batch."""
        return self.output_shape(self.get_input_shape())

    def __call__(self, *previous: Any) -> Node:
        """A graph node that applies this layer to the outputs of `previous`, whose shapes build it."""
        return connect(self, *previous)


@dataclass(eq=False, repr=False)
class KerasNode(Node):
    """A node that knows the shape of its output, batch included."""

    shape: ActivityShape = ()


def node_shape(node: Node) -> ActivityShape:
    """The shape of the output of `node`, batch included."""
    if isinstance(node, KerasNode):
        return node.shape
    shapes = [node_shape(previous) for previous in node.previous]
    return node.module.output_shape(shapes[0] if len(shapes) == 1 else shapes)


def connect(module: Module, *previous: Any) -> KerasNode:
    """A node of `module`, which is built for it, after `previous`: nodes, or lists of nodes."""
    nodes = Node.of(module, *previous).previous
    shapes = [node_shape(node) for node in nodes]
    taken = shapes[0] if len(shapes) == 1 else shapes
    if isinstance(module, KerasLayer):
        module.build(unbatched(taken))
    return KerasNode(module, nodes, module.output_shape(taken))


@dataclass_transform(eq_default=False)
def keras_layer(kind: type[Kind]) -> type[Kind]:
    """A dataclass of the declared arguments, whose constructor takes `input_shape` behind them and Keras's options by
    name."""
    made = dataclass(eq=False)(kind)
    declared = [each for each in fields(made) if each.init and not each.kw_only]
    construct: Callable[..., None] = made.__init__
    own = {argument: name for name, argument in made.renamed.items()}

    def __init__(self: KerasLayer, *arguments: Any, **options: Any) -> None:
        made.__signature__.bind(*arguments, **options)  # type: ignore[attr-defined]  # names what is missing
        if len(arguments) == len(declared) + 1:
            options["input_shape"] = arguments[-1]
            arguments = arguments[:-1]
        if "batch_input_shape" in options:
            options["input_shape"] = tuple(options.pop("batch_input_shape"))[1:]
        _take_lengths(options, [each.name for each in declared])
        if (name := options.pop("name", None)) is not None:
            self.set_name(name)
        if not options.pop("trainable", True):
            vars(self)["trainable"] = False  # of this layer, not of its class
        construct(self, *arguments, **{own.get(name, name): value for name, value in options.items()})

    made.__init__ = __init__  # type: ignore[method-assign]
    made.__signature__ = _signature(kind, [each.name for each in declared])  # type: ignore[attr-defined]
    return made


def _take_lengths(options: dict[str, Any], declared: list[str]) -> None:
    """Let `input_length` and `input_dim`, where the layer does not declare them, say the input's shape: (length,
    dim)."""
    given = {
        name: options.pop(name) for name in ("input_length", "input_dim") if name in options and name not in declared
    }
    if given:
        length, size = given.get("input_length"), given.get("input_dim")
        options["input_shape"] = (length,) if "input_dim" in declared else (length, size)


def _signature(kind: type[KerasLayer], declared: list[str]) -> inspect.Signature:
    """(declared arguments, input_shape=None, **kwargs), as BigDL has it."""
    known = {each.name: each for each in fields(kind)}
    found = []
    for name in [*declared, "input_shape"]:
        default = known[name].default
        empty = inspect.Parameter.empty if default is MISSING else default
        found.append(
            inspect.Parameter(kind.renamed.get(name, name), inspect.Parameter.POSITIONAL_OR_KEYWORD, default=empty)
        )
    return inspect.Signature([*found, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])
