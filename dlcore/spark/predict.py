"""Prediction by Spark's workers: the model is broadcast once, and lowered to a plan once a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from dlcore.activity import Activity, SparseMatrix, as_activity, leaves, map_leaves
from dlcore.data.batch import batch_of
from dlcore.data.dataset import sample_of
from dlcore.inference import Plan, compile
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter, in_type_of
from dlcore.spark.shared import Shared

PLANS = 4
"""Plans that a worker keeps of a model, each with memory of its own."""


@dataclass
class Predictor:
    """A model in a worker: plans of `size` records, for the latest shapes of inputs; what no plan computes, the layers
    do."""

    module: Module
    size: int
    _plans: dict[Any, Plan | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.module.evaluate()
        self._held = [parameter for *_, parameter in self.module.holders(Parameter)]

    def __call__(self, x: Activity) -> Activity:
        """The outputs for a batch of at most `size` records, in evaluation mode."""
        given = in_type_of(self._held, as_activity(x))
        plan = self._plan(given)
        return self.module.apply(given)[0] if plan is None else plan.predict(given)

    def of_samples(self, records: Iterable[Any]) -> Iterator[Activity]:
        """The outputs for records that are samples or hold one, batch by batch."""
        waiting = iter(records)
        while some := list(islice(waiting, self.size)):
            yield self(batch_of([sample_of(record) for record in some]).input)

    def _plan(self, x: Activity) -> Plan | None:
        if any(isinstance(leaf, SparseMatrix) for leaf in leaves(x)):
            return None
        shape: Any = map_leaves(lambda leaf: (self.size, *leaf.shape[1:]), x)
        key = repr(shape)
        self._plans[key] = self._plans.pop(key) if key in self._plans else _planned(self.module, shape)
        if len(self._plans) > PLANS:
            del self._plans[next(iter(self._plans))]
        return self._plans[key]


def _planned(module: Module, shape: Any) -> Plan | None:
    """A plan that gives a row for each row, None where there can be none."""
    try:
        plan = compile(module, shape)
        plan.require_rows()
    except ValueError:
        return None
    return plan


def predicted(module: Module, rdd: Any, size: int, of_batch: Callable[[Activity], Activity] | None = None) -> Any:
    """An RDD of what `module` gives for each record, in evaluation mode; of_batch: what is made of a batch's
    outputs."""
    shared = Shared.of(rdd.ctx, Predictor(module.sharing_weights(), size))
    return rdd.mapPartitions(partial(_outputs, shared, of_batch))


def _outputs(shared: Shared, of_batch: Callable[[Activity], Activity] | None, records: Iterable[Any]) -> Iterator[Any]:
    predictor: Predictor = shared.value()
    for outputs in predictor.of_samples(records):
        yield from rows_of(outputs if of_batch is None else of_batch(outputs))


def rows_of(outputs: Activity) -> Iterator[Any]:
    """What belongs to each record: a row, or of several outputs a list of rows."""
    if isinstance(outputs, list):
        return (list(row) for row in zip(*(rows_of(output) for output in outputs), strict=True))
    return iter(outputs)  # type: ignore[arg-type]


def predicted_pictures(module: Module, rdd: Any, size: int, key: str) -> Any:
    """An RDD of the pictures, with what `module` gives for the sample of each that is valid."""
    return rdd.mapPartitions(partial(_pictures, Shared.of(rdd.ctx, Predictor(module.sharing_weights(), size)), key))


def _pictures(shared: Shared, key: str, features: Iterable[Any]) -> Iterator[Any]:
    predictor: Predictor = shared.value()
    waiting = iter(features)
    while some := list(islice(waiting, predictor.size)):
        valid = [feature for feature in some if feature.is_valid]
        outputs = (row for batch in predictor.of_samples(valid) for row in rows_of(batch))
        for feature, row in zip(valid, outputs, strict=True):
            feature[key] = row
        yield from some
