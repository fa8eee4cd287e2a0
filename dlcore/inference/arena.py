"""Memory of a plan: buffers that are given back when their last reader is done, and used again."""

from __future__ import annotations

from dataclasses import dataclass, field

from dlcore.activity import Array
from dlcore.kernels.memory import empty

LINE = 16  # floats in a cache line


@dataclass(eq=False)
class Buffer:
    """A stretch of memory, and how many results lie in it."""

    memory: Array
    results: int = 0


@dataclass
class Arena:
    """Hands out buffers; a free one of the closest sufficient size is used again."""

    free: list[Buffer] = field(default_factory=list)
    size: int = 0

    def take(self, size: int) -> Buffer:
        """A buffer of at least `size` floats, of undefined content."""
        fitting = [buffer for buffer in self.free if size <= buffer.memory.size <= 2 * size + LINE]
        if fitting:
            best = min(fitting, key=lambda buffer: buffer.memory.size)
            self.free.remove(best)
            return best
        self.size += size
        return Buffer(empty((size,)))

    def give_back(self, buffer: Buffer) -> None:
        """Let `buffer` be handed out again."""
        self.free.append(buffer)
