"""The one seeded generator: BigDL's streams, number for number.

BigDL's `RandomGenerator` is Torch's MT19937 with one 32-bit draw per number. NumPy's bit generator gives the same
raw draws when seeded the old way; NumPy's own doubles would use two draws each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dlcore.activity import Array

_BLOCK = 1 << 20
Size = int | Sequence[int]


class RandomGenerator:
    """MT19937 as BigDL uses it: `u = raw * 2**-32`, normals by Box-Muller with both values used.

    Example:
        >>> [f"{number:.6f}" for number in RandomGenerator(100).uniform(0.0, 1.0, 2)]
        ['0.543405', '0.671156']
    """

    def __init__(self, seed: int = 1) -> None:
        self._bits = np.random.MT19937()
        self.set_seed(seed)

    def set_seed(self, seed: int) -> None:
        """Restart the stream; `seed` is taken modulo 2**32."""
        self._bits._legacy_seeding(seed & 0xFFFFFFFF)
        self._spare: float | None = None
        self._rows: list[RandomGenerator] = []

    def draws(self, count: int) -> NDArray[np.float64]:
        """`count` numbers of [0, 1), one 32-bit draw each."""
        uniform: NDArray[np.float64] = self._bits.random_raw(count) * np.float64(2.0**-32)
        return uniform

    def uniform(self, low: float, high: float, size: Size, kind: DTypeLike = np.float32) -> Array:
        """Numbers of [low, high), row by row, of shape `size`; of one stream whatever their type."""
        if rows := self.streams(size):
            return np.concatenate([row.uniform(low, high, shape, kind) for row, shape in rows])
        flat = np.empty(int(np.prod(size)), kind)
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            block[:] = self.draws(block.size) * (high - low) + low
        return flat.reshape(size)

    def normal(self, mean: float, standard_deviation: float, size: Size, kind: DTypeLike = np.float32) -> Array:
        """Normal numbers; each pair (x, y) of draws gives rho cos(2 pi x) and rho sin(2 pi x), rho = sqrt(-2
        ln(1-y))."""
        if rows := self.streams(size):
            return np.concatenate([row.normal(mean, standard_deviation, shape, kind) for row, shape in rows])
        count = int(np.prod(size))
        values = np.empty(0) if self._spare is None else np.array([self._spare])
        missing = max(count - values.size, 0)
        x, y = self.draws(2 * ((missing + 1) // 2)).reshape(-1, 2).T
        rho = np.sqrt(-2.0 * np.log(1.0 - y))
        pairs = np.stack([rho * np.cos(2 * np.pi * x), rho * np.sin(2 * np.pi * x)], axis=1).reshape(-1)
        values = np.concatenate([values, pairs])
        self._spare = float(values[count]) if values.size > count else None
        scaled = values[:count] * standard_deviation + mean
        return scaled.astype(kind).reshape(size)

    def bernoulli(self, probability: float, size: Size) -> NDArray[np.bool_]:
        """True with `probability`."""
        if rows := self.streams(size):
            return np.concatenate([row.bernoulli(probability, shape) for row, shape in rows])
        return (self.draws(int(np.prod(size))) < probability).reshape(size)

    def permutation(self, count: int) -> NDArray[np.intp]:
        """A random order of `range(count)`."""
        return np.argsort(self.draws(count), kind="stable")

    def state(self) -> dict[str, Any]:
        """The stream's position, for `restore`; values are JSON types and one uint32 array (624,)."""
        state = self._bits.state["state"]
        return {"key": np.array(state["key"], np.uint32), "position": int(state["pos"]), "spare": self._spare}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        key = np.asarray(state["key"], np.uint32)
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": int(state["position"])}}
        self._spare = state["spare"]

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Within this context the stream is that of `seed`; after it, it goes on where it stood."""
        state = self.state()
        self.set_seed(seed)
        try:
            yield
        finally:
            self.restore(state)

    @contextmanager
    def by_row(self, seeds: Sequence[int]) -> Iterator[None]:
        """Within this context what is drawn for as many rows as there are seeds, or for a multiple of them, comes row
        by row from their own streams: a record gets the same numbers in any batch. The rest comes from the stream as
        ever."""
        self._rows = [RandomGenerator(seed) for seed in seeds]
        try:
            yield
        finally:
            self._rows = []

    def streams(self, size: Size) -> list[tuple[RandomGenerator, tuple[int, ...]]]:
        """Each row's generator and the shape that it draws, if rows have generators and `size` is one of rows; else
        none."""
        shape = np.atleast_1d(size).tolist()
        if not self._rows or shape[0] % len(self._rows):
            return []
        return [(row, (shape[0] // len(self._rows), *shape[1:])) for row in self._rows]


RNG = RandomGenerator()
"""The generator of this process: layers draw their weights and their dropout masks from it."""
