"""Every example in a docstring of the jobs, the contracts and the plugins is true."""

from __future__ import annotations

import doctest
import importlib

import pytest

from spark_jobs.settings import REPOSITORY

PLUGINS = REPOSITORY / "plugins"
MODULES = sorted(
    ".".join(path.relative_to(root).with_suffix("").parts)
    for root, folder in ((REPOSITORY, "spark_jobs"), (REPOSITORY, "data_contracts"), (PLUGINS, "dlcore_airflow"))
    for path in (root / folder).rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0
