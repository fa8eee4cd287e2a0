"""The results of validation methods over a set of records."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore.activity import Activity
from dlcore.nn.module import Module
from dlcore.optim.metric import EvaluatedResult, Tally, ValidationMethod
from dlcore.optim.source import BatchRequest, FiniteSource, prepared


def evaluate(model: Module, source: Any, methods: list[ValidationMethod]) -> list[EvaluatedResult]:
    """The result of each method over all records of `source`, with `model` in the mode it is in."""
    if brought := getattr(source, "tallies", None):
        return [tally.result() for tally in brought(model, methods)]
    return [tally.result() for tally in tallies_of(model, source, methods)]


def tallies_of(
    model: Module,
    source: FiniteSource,
    methods: list[ValidationMethod],
    forward: Callable[[Activity], Activity] | None = None,
) -> list[Tally]:
    """What each method has counted over all records of `source`. forward: what computes the outputs, the model itself without."""
    tallies: list[Tally] = []
    kind = np.result_type(np.float32, *{parameter.value.dtype for parameter in model.named_parameters().values()})
    for iteration in range(math.ceil(source.records / source.batch_size)):
        x, target = prepared(*source(BatchRequest(0, 0, 1, iteration, source.batch_size)), kind)
        y = model.apply(x)[0] if forward is None else forward(x)
        found = [method(y, target) for method in methods]
        tallies = [a + b for a, b in zip(tallies, found, strict=True)] if tallies else found
    return tallies
