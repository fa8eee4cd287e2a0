"""The results of validation methods over a set of records."""

from __future__ import annotations

import math

import numpy as np

from dlcore.nn.module import Module
from dlcore.optim.metric import EvaluatedResult, Tally, ValidationMethod
from dlcore.optim.source import ArraySource, BatchRequest, DataSetSource, prepared


def evaluate(
    model: Module, source: ArraySource | DataSetSource, methods: list[ValidationMethod]
) -> list[EvaluatedResult]:
    """The result of each method over all records of `source`, with `model` in the mode it is in."""
    tallies: list[Tally] = []
    kind = np.result_type(np.float32, *{parameter.value.dtype for parameter in model.named_parameters().values()})
    for iteration in range(math.ceil(source.records / source.batch_size)):
        x, target = prepared(*source(BatchRequest(0, 0, 1, iteration, source.batch_size)), kind)
        y, _ = model.apply(x)
        found = [method(y, target) for method in methods]
        tallies = [a + b for a, b in zip(tallies, found, strict=True)] if tallies else found
    return [tally.result() for tally in tallies]
