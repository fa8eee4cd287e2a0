"""How often each bit of a day's codes is one: near one half in a healthy code, and moving when the images change.

A bit that is nearly always the same no longer tells pictures apart. Shares that move from one day to the next mean that
other pictures come in, or that a model or a decoder has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Balance = dict[str, Any]
"""count: codes; ones: how often each bit is one; lowest_share and highest_share of ones among the bits; drift,
reference_day."""


def bit_sums(bits: int) -> dict[str, str]:
    """SQL over the column `code` whose sums are the number of codes and the number of ones in each bit, the lowest bit
    of a byte first."""
    byte = "getbit(cast(conv(hex(substr(code, {}, 1)), 16, 10) as int), {})"
    each = {f"bit_{number}": byte.format(number // 8 + 1, number % 8) for number in range(bits)}
    return {"count": "cast(code is not null as int)"} | each


def balance(sums: Mapping[str, int | None]) -> Balance:
    """The balance of a day from the sums of `bit_sums`; without any code it has no shares."""
    count, ones = sums["count"] or 0, [sums[f"bit_{number}"] or 0 for number in range(len(sums) - 1)]
    shares = (
        {"lowest_share": round(min(ones) / count, 4), "highest_share": round(max(ones) / count, 4)} if count else {}
    )
    return {"count": count, "ones": ones, **shares}


def drift(found: Balance, reference: Balance) -> float | None:
    """Mean difference of the bits' shares of ones, from 0 to 1; None if a day has no codes.

    Two days of n images each, of the same kind, differ by about 0.56 / sqrt(n) by chance.
    """
    if not found["count"] or not reference["count"]:
        return None
    pairs = zip(found["ones"], reference["ones"], strict=True)
    moved = [abs(a / found["count"] - b / reference["count"]) for a, b in pairs]
    return round(float(sum(moved)) / len(moved), 4)
