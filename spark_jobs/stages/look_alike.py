"""What simple methods take for the same picture, in Spark SQL: near codes and perceptual hashes, equal titles.

The names are those of columns; hashes and codes are byte strings of whole multiples of 8 bytes.
"""

from __future__ import annotations

PHASH_BITS = 40
"""Of 256, as 10 of 64: what users of pHash take for the same picture."""


def bits_apart(first: str, second: str) -> str:
    """How many bits of two byte strings differ; null when one is null.

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
    """Whether two titles have the same letters and digits in order, but for case and what stands between words."""
    return f"{_plain(first)} = {_plain(second)} AND {_plain(first)} <> ''"


def _plain(title: str) -> str:
    return f"lower(trim(regexp_replace({title}, '[^\\\\p{{L}}\\\\p{{N}}]+', ' ')))"
