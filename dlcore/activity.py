"""What flows between layers: an array, or a table (a list) of activities."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Activity: TypeAlias = Array | list["Activity"]
Pullback: TypeAlias = Callable[[Any], Any]
"""Maps the gradient of an output to the gradient of the input, and adds up parameter gradients on its way."""


def as_activity(x: Any) -> Activity:
    """`x` with every leaf a float32 array; lists and tuples become tables, unless they hold plain numbers.

    Copies only where the type differs.
    """
    if isinstance(x, (list, tuple)) and not (x and all(isinstance(part, (int, float, np.generic)) for part in x)):
        return [as_activity(part) for part in x]
    return np.asarray(x, dtype=np.float32)


def leaves(x: Activity) -> Iterator[Array]:
    """The arrays of `x`, depth first."""
    if isinstance(x, list):
        for part in x:
            yield from leaves(part)
    else:
        yield x


def map_leaves(function: Callable[[Array], Array], x: Activity) -> Activity:
    """`function` of every array of `x`, in the same nesting."""
    if isinstance(x, list):
        return [map_leaves(function, part) for part in x]
    return function(x)


def add(first: Activity, second: Activity) -> Activity:
    """The sum of two activities of the same nesting, as new arrays.

    Raises:
        ValueError: the nestings differ.
    """
    if isinstance(first, list) and isinstance(second, list):
        if len(first) != len(second):
            raise ValueError(f"got tables of {len(first)} and {len(second)} entries, expected equal lengths")
        return [add(a, b) for a, b in zip(first, second, strict=True)]
    if isinstance(first, list) or isinstance(second, list):
        raise ValueError("got a table and an array, expected two of the same nesting")
    return first + second


def zeros_like(x: Activity) -> Activity:
    """Zeros in the nesting of `x`: read-only views of one zero, which cost no memory."""
    return map_leaves(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), x)


def describe(x: Activity) -> str:
    """The shapes of `x`, for messages: `(8, 3, 32, 32)` or `[(8, 3), (8,)]`."""
    if isinstance(x, (list, tuple)):
        return "[" + ", ".join(describe(part) for part in x) + "]"
    return str(tuple(np.shape(x)))
