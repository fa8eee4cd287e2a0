"""Every example in a docstring of the jobs and the contracts is true."""

from __future__ import annotations

import doctest
import importlib

import pytest

from spark_jobs.settings import REPOSITORY

MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for folder in ("spark_jobs", "data_contracts")
    for path in (REPOSITORY / folder).rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
