"""Pullbacks that can leave out the gradient of their input, which nobody needs before a network's first learning
layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dlcore.activity import Pullback


@dataclass(frozen=True, eq=False)
class SelectivePullback:
    """A pullback `pull(grad_y, needs_x)`: without needs_x it only adds up parameter gradients, and may give anything.

    A layer whose input gradient costs much gives one in place of a function; all others need not know of it.
    """

    pull: Callable[[Any, bool], Any]

    def __call__(self, grad: Any) -> Any:
        return self.pull(grad, True)


def pulled(pullback: Pullback, grad: Any, needs_x: bool) -> Any:
    """`pullback(grad)`, whose result nobody looks at without `needs_x`."""
    return pullback.pull(grad, needs_x) if isinstance(pullback, SelectivePullback) else pullback(grad)
