"""Which records make up each batch, whatever the number of partitions they lie in.

A batch of B takes one record of each of B stretches of the records, in another order in each epoch. So a batch is the
same for any number of partitions, every partition has about its share of each batch, exactly if they are of one size
and B divides, and no record moves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.intp]

_DRAWS_AT_ONCE = 4
"""Numbers that Philox draws for one count of its counter."""


@dataclass
class EpochOrder:
    """The order of `records` records in batches of `batch_size`, of those in [start, stop)."""

    records: int
    batch_size: int
    seed: int
    start: int
    stop: int
    _latest: tuple[int, Places, Places] = field(init=False, default=(-1, np.empty(0, np.intp), np.empty(0, np.intp)))

    def places(self, iteration: int) -> tuple[int, Places]:
        """The 0-based epoch of step `iteration`, and the places in [start, stop) of its batch, among all records."""
        steps = -(-self.records // self.batch_size)
        epoch, step = divmod(iteration, steps)
        if self._latest[0] != epoch:
            self._latest = epoch, *self._drawn(epoch, steps)
        _, order, ends = self._latest
        return epoch, order[ends[step] : ends[step + 1]]

    def _drawn(self, epoch: int, steps: int) -> tuple[Places, Places]:
        """The places in the order of the steps, and where each step's begin."""
        if self.start == self.stop:
            return np.empty(0, np.intp), np.zeros(steps + 1, np.intp)
        bounds = np.arange(self.batch_size + 1) * self.records // self.batch_size
        low = int(bounds[np.searchsorted(bounds, self.start, "right") - 1])
        high = int(bounds[np.searchsorted(bounds, self.stop, "left")])
        places = np.arange(low, high)
        stretch = np.searchsorted(bounds, places, "right") - 1
        order = np.lexsort((self._keys(epoch, low, high), stretch)) + low
        turn = places - bounds[stretch]  # of the record that stands at this place in `order`
        is_mine = (order >= self.start) & (order < self.stop)
        order, turn = order[is_mine], turn[is_mine]
        by_step = np.argsort(turn, kind="stable")
        return order[by_step], np.searchsorted(turn[by_step], np.arange(steps + 1))

    def _keys(self, epoch: int, low: int, high: int) -> NDArray[np.uint64]:
        """Numbers [low, high) of the epoch's stream: any stretch of it is drawn alone."""
        bits = np.random.Philox(key=np.array([self.seed, epoch], np.uint64))
        bits.advance(low // _DRAWS_AT_ONCE)
        skipped = low % _DRAWS_AT_ONCE
        keys: NDArray[np.uint64] = bits.random_raw(high - low + skipped)[skipped:]
        return keys
