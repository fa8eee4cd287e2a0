"""The results of validation methods over a set of records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from dlcore.activity import Activity
from dlcore.nn.module import Module
from dlcore.optim.metric import EvaluatedResult, Tally, ValidationMethod
from dlcore.optim.source import BatchRequest, prepared


def evaluate(model: Module, source: Any, methods: list[ValidationMethod]) -> list[EvaluatedResult]:
    """The result of each method over all records of `source`, with `model` in the mode it is in."""
    if brought := getattr(source, "tallies", None):
        return [tally.result() for tally in brought(model, methods)]
    steps = range(math.ceil(source.records / source.batch_size))
    batches = (source(BatchRequest(0, 0, 1, step, source.batch_size)) for step in steps)
    return [tally.result() for tally in tallies_of(model, batches, methods)]


def tallies_of(
    model: Module,
    batches: Iterable[tuple[Any, Any]],
    methods: list[ValidationMethod],
    forward: Callable[[Activity], Activity] | None = None,
) -> list[Tally]:
    """The tallies of each method over batches (input, target); empty if there are none. forward: what computes the
    outputs, the model itself without."""
    tallies: list[Tally] = []
    kind = np.result_type(np.float32, *{parameter.value.dtype for parameter in model.named_parameters().values()})
    for batch in batches:
        x, target = prepared(*batch, kind)
        y = model.apply(x)[0] if forward is None else forward(x)
        found = [method(y, target) for method in methods]
        tallies = [a + b for a, b in zip(tallies, found, strict=True)] if tallies else found
    return tallies
