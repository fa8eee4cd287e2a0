"""Filters of a search as people write them: `shop=north`, `price=10..20`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray


def where_of(texts: Iterable[str]) -> dict[str, list[str]]:
    """Filters in the form that `Index.search` takes; several with one name are alternatives.

    >>> where_of(["shop=north", "shop=market", "price=10..20"])
    {'shop': ['north', 'market'], 'price': ['10..20']}

    Raises:
        ValueError: one is not `name=value`.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ValueError(f"got filter {text!r}, expected name=value, for example shop=north or price=10..20")
        found.setdefault(name, []).append(value)
    return found


def in_ranges(values: NDArray[np.float64], ranges: Collection[str]) -> NDArray[np.bool_]:
    """Which values (N,) are in one of the ranges: `10..20`, `10..`, `..20` (ends included) or a single number. NaN is
    in none.

    Raises:
        ValueError: a range has another form.
    """
    passes = np.zeros(len(values), bool)
    for text in ranges:
        low, high = _ends(text)
        passes |= (values >= low) & (values <= high)
    return passes


def _ends(text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        ends = float(low or -math.inf), float(high or math.inf) if dots else float(low)
    except ValueError:
        ends = math.nan, math.nan
    if any(map(math.isnan, ends)) or not (low or high):
        raise ValueError(f"got range {text!r}, expected low..high, low.., ..high or a number, for example 10..20")
    return ends
