"""Shape inference: the shape of a layer's output from that of its input, without data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dlcore.activity import Activity
from dlcore.rng import RNG

if TYPE_CHECKING:
    from dlcore.nn.module import Module

ActivityShape: TypeAlias = tuple[int | None, ...] | list["ActivityShape"]
"""The shape of an array, None where a size is unknown, or the table of the shapes of a table."""

_PROBES = ((2, 64), (3, 96))
"""What takes the place of unknown sizes, (of the batch, of another dimension), in two runs whose differences tell."""

_path: ContextVar[str] = ContextVar("path", default="")
_found: ContextVar[dict[str, ActivityShape] | None] = ContextVar("found", default=None)


class ShapeError(ValueError):
    """A layer cannot take an input of the shape that it would get."""


def shape_error(module: Module, message: str) -> ShapeError:
    """The error of `module`, which says where it stands in the model."""
    path = _path.get()
    return ShapeError(f"{module.label()}{f' at {path!r}' if path else ''}: {message}")


def shape_of(x: Any) -> ActivityShape:
    """The shape of an activity."""
    if isinstance(x, (list, tuple)):
        return [shape_of(part) for part in x]
    return tuple(np.shape(x))


def blank(shape: tuple[int, ...]) -> Any:
    """An array of ones of `shape` that takes no memory: all its elements are one number, which cannot be written."""
    return np.broadcast_to(np.float32(1), shape)


def shape_within(name: str, module: Module, input_shape: ActivityShape) -> ActivityShape:
    """`module.output_shape(input_shape)` of a module held as `name`: errors name it, and `output_shapes` lists it."""
    path = _path.get()
    token = _path.set(f"{path}.{name}" if path else name)
    try:
        shape = module.output_shape(input_shape)
        found = _found.get()
        if found is not None:
            found[_path.get()] = shape
        return shape
    finally:
        _path.reset(token)


def output_shapes(module: Module, input_shape: ActivityShape) -> dict[str, ActivityShape]:
    """Dotted path -> output shape of `module` (path "") and of the modules inside whose containers pass shapes on.

    Raises:
        ShapeError: a layer cannot take what it would get.
    """
    found: dict[str, ActivityShape] = {}
    tokens = _path.set(""), _found.set(found)
    try:
        found[""] = module.output_shape(input_shape)
    finally:
        _path.reset(tokens[0])
        _found.reset(tokens[1])
    return found


def traced_shape(module: Module, input_shape: ActivityShape) -> ActivityShape:
    """What `module.outline` gives for ones; with unknown sizes twice, for two sizes each: what differs is unknown too.

    Runs in evaluation mode, and leaves the module and the generator as they were.

    Raises:
        ShapeError: the module cannot take such an input.
    """
    probes = _PROBES if _has_unknown(input_shape) else _PROBES[:1]
    try:
        with undisturbed(module), np.errstate(all="ignore"):
            shapes = [shape_of(module.reset_states().outline(_probe(input_shape, *sizes))) for sizes in probes]
        return _merged(shapes[0], shapes[-1])
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise shape_error(
            module, f"got input shape {input_shape}, expected one that it can take; it says: {error}"
        ) from error


def _has_unknown(shape: ActivityShape) -> bool:
    return any(map(_has_unknown, shape)) if isinstance(shape, list) else None in shape


def _probe(shape: ActivityShape, batch: int, other: int) -> Activity:
    if isinstance(shape, list):
        return [_probe(part, batch, other) for part in shape]
    sizes = ((other if axis else batch) if size is None else size for axis, size in enumerate(shape))
    array: Activity = blank(tuple(sizes))
    return array


def _merged(first: ActivityShape, second: ActivityShape) -> ActivityShape:
    if len(first) != len(second) or isinstance(first, list) is not isinstance(second, list):
        raise ValueError(f"the output's form depends on unknown sizes: {first} or {second}")
    if isinstance(first, list):
        return [_merged(a, b) for a, b in zip(first, second, strict=True)]  # type: ignore[arg-type]
    return tuple(a if a == b else None for a, b in zip(first, second, strict=True))


@contextmanager
def undisturbed(module: Module) -> Iterator[None]:
    """Evaluation mode; afterwards all attributes and the generator are as before."""
    parts = [part for _, part in module.named_modules()]
    kept, state = [dict(vars(part)) for part in parts], RNG.state()
    try:
        module.evaluate()
        yield
    finally:
        RNG.restore(state)
        for part, attributes in zip(parts, kept, strict=True):
            vars(part).clear()
            vars(part).update(attributes)
