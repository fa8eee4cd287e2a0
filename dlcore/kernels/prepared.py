"""Weights in the orders that kernels need: prepared when a plan is compiled, or taken from an earlier compilation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from dlcore.activity import Array


class PreparedMismatchError(ValueError):
    """The weights of an earlier compilation do not fit this one."""


@dataclass
class Shelf:
    """Prepared weights, flat, in the order in which they are asked for. given: those of an earlier compilation, or None
    to make them."""

    given: Sequence[Array] | None = None
    arrays: list[Array] = field(default_factory=list)

    def next(self, size: int, make: Callable[[], Array]) -> Array:
        if self.given is None:
            self.arrays.append(make())
        else:
            self.arrays.append(self._taken(size))
        return self.arrays[-1]

    def _taken(self, size: int) -> Array:
        place, given = len(self.arrays), self.given or ()
        if place >= len(given) or given[place].size != size:
            found = given[place].size if place < len(given) else "nothing"
            raise PreparedMismatchError(f"got prepared weights of {found} floats at {place}, expected {size}")
        return given[place]


_shelf: ContextVar[Shelf | None] = ContextVar("shelf", default=None)


@contextmanager
def shelf(given: Sequence[Array] | None = None) -> Iterator[Shelf]:
    """Collect what is prepared inside this block; or hand out `given` in its place.

    Raises:
        PreparedMismatchError: `given` is not what is asked for.
    """
    found = Shelf(given)
    token = _shelf.set(found)
    try:
        yield found
    finally:
        _shelf.reset(token)
    if given is not None and len(found.arrays) != len(given):
        raise PreparedMismatchError(f"got {len(given)} prepared weights, expected {len(found.arrays)}")


def prepared(size: int, make: Callable[[], Array]) -> Array:
    """The result of `make()`, which gives `size` floats in any shape; or the flat weights of an earlier compilation, if
    there are any."""
    current = _shelf.get()
    return make() if current is None else current.next(size, make)
