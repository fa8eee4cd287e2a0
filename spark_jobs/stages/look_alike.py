"""Spark SQL for what simple methods take for the same picture: near codes, near perceptual hashes, equal titles.

Arguments are names of columns; hashes and codes are byte strings of multiples of 8 bytes.
"""

from __future__ import annotations

PHASH_BITS = 40
"""The distance, of 256 bits, within which users of pHash take two pictures for the same; it corresponds to 10 of 64."""


def bits_apart(first: str, second: str) -> str:
    """How many bits of two byte strings differ; null if one is null.

    >>> bits_apart("a", "b").startswith("aggregate(")
    True
    """
    words = (f"CAST(conv(hex(substring({name}, 8 * i + 1, 8)), 16, -10) AS bigint)" for name in (first, second))
    word = " ^ ".join(words)
    return f"aggregate(sequence(0, CAST(octet_length({first}) / 8 AS int) - 1), 0, (sum, i) -> sum + bit_count({word}))"


def is_near(first: str, second: str) -> str:
    """Whether two pHashes of 256 bits are within PHASH_BITS."""
    return f"{bits_apart(first, second)} <= {PHASH_BITS}"


def is_same_title(first: str, second: str) -> str:
    """Whether two titles have the same letters and digits in order, whatever their case and what separates the
    words."""
    return f"{_plain(first)} = {_plain(second)} AND {_plain(first)} <> ''"


def _plain(title: str) -> str:
    return f"lower(trim(regexp_replace({title}, '[^\\\\p{{L}}\\\\p{{N}}]+', ' ')))"
