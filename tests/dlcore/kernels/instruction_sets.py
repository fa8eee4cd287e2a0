"""Running a test with fewer instructions than this CPU has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dlcore.kernels import native


def limited_to(name: str) -> Iterator[str]:
    """Use these instructions until the generator goes on; skip the test where this CPU has not got them."""
    best = native.instruction_set()
    if native.limit_instruction_set(name) != name:
        native.limit_instruction_set(best)
        pytest.skip(f"this CPU has no {name}")
    yield name
    native.limit_instruction_set(best)
