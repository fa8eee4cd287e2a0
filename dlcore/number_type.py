"""Arguments that all of a kind take: `bigdl_type`, the type of numbers that a layer or criterion computes in, and other
spellings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

FLOATS: dict[str, np.dtype[Any]] = {"float": np.dtype(np.float32), "double": np.dtype(np.float64)}
"""What each `bigdl_type` means."""

Kind = TypeVar("Kind", bound=type)
_made: ContextVar[str] = ContextVar("number_type", default="float")


def made_type() -> np.dtype[Any]:
    """The type of the parameters and buffers that are being made: that of the layer whose constructor runs."""
    return FLOATS[_made.get()]


@contextmanager
def making(kind: DTypeLike) -> Iterator[None]:
    """Within this context new parameters and buffers are of type `kind`, float32 or float64."""
    token = _made.set(type_name(kind))
    try:
        yield
    finally:
        _made.reset(token)


def type_name(kind: DTypeLike) -> str:
    """The `bigdl_type` that means `kind`.

    Raises:
        ValueError: none does.
    """
    for name, dtype in FLOATS.items():
        if dtype == kind:
            return name
    raise ValueError(f"got numbers of type {np.dtype(kind)}, expected float32 or float64")


def also_spelled(**names: str) -> Callable[[Kind], Kind]:
    """Let the constructor of a class take arguments under other names too, which published programs have."""

    def decorated(kind: Kind) -> Kind:
        construct: Callable[..., None] = vars(kind)["__init__"]

        @wraps(construct)
        def __init__(self: Any, *arguments: Any, **options: Any) -> None:
            construct(self, *arguments, **{names.get(name, name): value for name, value in options.items()})

        kind.__init__ = __init__  # type: ignore[misc]
        return kind

    return decorated


@dataclass(eq=False)
class Typed:
    """What takes `bigdl_type`: "float" computes in float32, "double" in float64, by the reference kernels.

    What a constructor makes inside is of the same type. The argument comes last and is given by its name.

    Raises:
        ValueError: another type.
    """

    bigdl_type: str = field(default="float", kw_only=True, repr=False)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__post_init__" in vars(cls):
            cls.__post_init__ = _within_type(cls.__post_init__)  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        with _type_of(self):
            pass


def _within_type(post_init: Callable[..., None]) -> Callable[..., None]:
    @wraps(post_init)
    def typed(self: Typed, *initial: Any) -> None:
        with _type_of(self):
            post_init(self, *initial)

    return typed


@contextmanager
def _type_of(made: Typed) -> Iterator[None]:
    """The type of `made`; inside what is made of doubles that is theirs."""
    if made.bigdl_type not in FLOATS:
        names = " or ".join(map(repr, FLOATS))
        raise ValueError(f"{type(made).__name__}: got bigdl_type {made.bigdl_type!r}, expected {names}")
    if _made.get() == "double":
        made.bigdl_type = "double"
    with making(FLOATS[made.bigdl_type]):
        yield
