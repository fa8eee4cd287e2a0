"""Predict each record and score a model: BigDL's predict, predict_class and evaluate of every layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np

from dlcore.activity import Activity, SparseMatrix, as_activity, as_given, describe, leaves, map_leaves
from dlcore.data.dataset import data_set_of
from dlcore.data.distributed import elsewhere
from dlcore.nn.module import Module
from dlcore.nn.parameter import Parameter, in_type_of
from dlcore.optim.metric import EvaluatedResult, ValidationMethod
from dlcore.optim.named import metrics_of
from dlcore.optim.scoring import evaluate
from dlcore.optim.source import finite_source
from dlcore.surface import attached

BATCH_SIZE = 32
"""Records that are computed at once, unless a caller says how many."""
_ON_SPARK = "dlcore.spark.predict"
"""It stands above, and is named as a string."""


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """Evaluation mode within."""
    was_training = module.is_training()
    module.training(False)
    try:
        yield
    finally:
        module.training(was_training)


def predict(module: Module, features: Any, batch_size: int = -1) -> Any:
    """The outputs for all records of `features`, in evaluation mode: an array, or a list of arrays for several outputs.

    features: an array, or a list of arrays for several inputs, with the records along the first dimension; or a
    DataSet, a list of Samples or an ImageFrame. Of an RDD of Samples, or of a DataFrame, an RDD comes, of the outputs
    record by record, which Spark's workers compute.
    batch_size: the records that are computed at once, 32 with -1; the outputs do not depend on it.

    Raises:
        TypeError: one record, or what is no data.
        ValueError: no records, inputs of different lengths, or what the model cannot take.
    """
    size = BATCH_SIZE if batch_size < 1 else batch_size
    if (rdd := elsewhere(features, is_labelled=False)) is not None:
        return import_module(_ON_SPARK).predicted(module, rdd, size)
    held = [parameter for *_, parameter in module.holders(Parameter)]
    with evaluating(module):
        parts = [module.apply(in_type_of(held, as_activity(batch)))[0] for batch in _batches(features, size)]
    return joined(parts)


def predict_class(module: Module, features: Any, batch_size: int = -1) -> Any:
    """(N, ...) the 1-based class of the largest output of each record, along the second dimension of the outputs (N, C,
    ...)."""
    if (rdd := elsewhere(features, is_labelled=False)) is not None:
        size = BATCH_SIZE if batch_size < 1 else batch_size
        return import_module(_ON_SPARK).predicted(module, rdd, size, classes_of)
    return classes_of(predict(module, features, batch_size))


def classes_of(outputs: Any) -> Any:
    """(N, ...) the 1-based class of the largest of the outputs (N, C, ...).

    Raises:
        ValueError: they are no scores of classes.
    """
    if isinstance(outputs, list) or outputs.ndim < 2:
        raise ValueError(f"predict_class: got outputs {describe(outputs)}, expected scores (N, C) of classes")
    return outputs.argmax(axis=1) + 1


def predict_image(
    module: Module,
    image_frame: Any,
    output_layer: str | None = None,
    share_buffer: bool = False,
    batch_per_partition: int = 4,
    predict_key: str = "predict",
) -> Any:
    """The frame, with what the model gives for each picture's sample under `predict_key`; pictures that are not valid
    have nothing.

    output_layer: the name of the layer whose output counts, the last one without. batch_per_partition: the pictures
    that are computed at once. `share_buffer` is taken because BigDL takes it: predictions share no memory.

    Raises:
        KeyError: there is no such layer.
        ValueError: a picture has no sample; transform the frame with ImageFrameToSample.
    """
    model = module if output_layer is None else attached("to_graph")(module).new_graph(output_layer)
    if image_frame.is_distributed():
        pictures = import_module(_ON_SPARK).predicted_pictures
        image_frame.rdd = pictures(model, image_frame.rdd, batch_per_partition, predict_key)
        return image_frame
    for _ in _predicted_pictures(model, batch_per_partition, predict_key, image_frame.features):
        pass
    return image_frame


def _predicted_pictures(module: Module, size: int, key: str, features: Iterable[Any]) -> Iterator[Any]:
    """The pictures, with what the model gives for the sample of each that is valid."""
    waiting = iter(features)
    while some := list(islice(waiting, size)):
        valid = [feature for feature in some if feature.is_valid]
        outputs = predict(module, [feature.get_sample() for feature in valid], size) if valid else []
        rows = zip(*outputs, strict=True) if isinstance(outputs, list) else outputs
        for feature, row in zip(valid, rows, strict=True):
            feature[key] = list(row) if isinstance(row, tuple) else row
        yield from some


def scores(
    module: Module, dataset: Any, batch_size: int = BATCH_SIZE, val_methods: Sequence[ValidationMethod | str] = ()
) -> list[EvaluatedResult]:
    """The result of each validation method over all records of `dataset`, of any form that the Optimizer takes, in
    evaluation mode.

    Raises:
        TypeError: a batch size that is no whole number, such as targets given apart.
        ValueError: there are no methods, or one has an unknown name.
    """
    if not isinstance(batch_size, Integral):
        raise TypeError(
            f"{module.label()}: got batch_size of type {type(batch_size).__name__}, expected a whole number; inputs "
            f"and targets are "
            "one pair: evaluate((inputs, targets), 32, [Top1Accuracy()])"
        )
    methods = metrics_of(val_methods)
    if not methods:
        raise ValueError(f"{module.label()}: got no val_methods, expected at least one, such as Top1Accuracy()")
    source = finite_source(dataset, batch_size)
    with evaluating(module):
        return evaluate(module, source, methods)


def _batches(features: Any, size: int) -> Iterator[Activity]:
    if (data := data_set_of(features)) is not None:
        yield from (batch.input for batch in data.batches(size))
        return
    given = as_given(features)
    if any(np.ndim(leaf) == 0 for leaf in leaves(given) if not isinstance(leaf, SparseMatrix)):
        raise TypeError(
            f"predict: got {type(features).__name__}, expected an array with the records along its first dimension, "
            f"or a list of Samples"
        )
    lengths = {len(leaf) for leaf in leaves(given)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"predict: got inputs of lengths {sorted(lengths)}, expected one length above 0")
    for start in range(0, lengths.pop(), size):
        rows = slice(start, start + size)
        yield map_leaves(lambda leaf, rows=rows: leaf[rows], given)  # type: ignore[misc]


def joined(parts: list[Any]) -> Any:
    """The outputs of batches below one another."""
    if isinstance(parts[0], list):
        return [joined(list(each)) for each in zip(*parts, strict=True)]
    return np.concatenate(parts)
