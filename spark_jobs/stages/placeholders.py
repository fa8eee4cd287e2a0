"""Read the list of placeholder pictures, which a catalogue shows where it has none; they are known by their bytes, not
by their look."""

from __future__ import annotations

import re

import fsspec

MAX_BYTES = 16 << 20
_SHA256 = re.compile("[0-9a-f]{64}")


def read_placeholders(uri: str) -> frozenset[str]:
    """Read a list of SHA-256 values, the first word of each line, as `sha256sum` writes them; none for an empty URI.

    Empty lines and lines that begin with `#` are skipped.

    Raises:
        ValueError: a line begins with no SHA-256, or the list is longer than 16 MB.
        OSError: the list cannot be read.
    """
    if not uri:
        return frozenset()
    with fsspec.open(uri, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{uri}: got more than {MAX_BYTES} bytes, expected a list of SHA-256 values, one per line")
    lines = enumerate(content.decode("utf-8", "replace").splitlines(), 1)
    return frozenset(
        _checked(line, f"{uri}, line {number}")
        for number, line in lines
        if line.strip() and not line.lstrip().startswith("#")
    )


def _checked(line: str, place: str) -> str:
    word = line.split(maxsplit=1)[0].lower()
    if not _SHA256.fullmatch(word):
        raise ValueError(
            f"{place}: got {word[:80]!r}, expected a SHA-256 of 64 hexadecimal digits, as sha256sum writes it"
        )
    return word
