"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import dlcore

MODULES = [
    found.name
    for found in pkgutil.walk_packages(dlcore.__path__, "dlcore.")
    if found.name.startswith(
        (
            "dlcore.nn.",
            "dlcore.keras.",
            "dlcore.optim.",
            "dlcore.data.",
            "dlcore.bigdl.",
            "dlcore.rng",
            "dlcore.activity",
        )
    )
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"np": importlib.import_module("numpy")})
    assert result.failed == 0
