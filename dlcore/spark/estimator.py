"""BigDL's stages of Spark ML: a network that is trained on columns of a DataFrame, and what it then gives for
others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from pyspark.ml import Estimator, Model

from dlcore.activity import Array
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.trigger import MaxEpoch
from dlcore.spark.frames import array_of, samples_of
from dlcore.spark.params import HasColumns, HasFeatureSize, HasTraining
from dlcore.spark.predict import Predictor
from dlcore.spark.saving import NetworkStage
from dlcore.spark.shared import Shared

_AT_ONCE = 32
Convert = Callable[[Any], Array]
"""What makes the network's input of a cell."""


def with_predictions(
    frame: Any, column: str, into: str, module: Module, convert: Convert, is_class: bool, finish: Any, size: int
) -> Any:
    """`frame` with a column `into` of what `module` gives for each cell of `column`; a stream of rows will do.

    convert: makes the input of a cell; finish: makes the column of a batch's outputs (N, ...): numbers for a class,
    else lists.
    """
    from pyspark.ml.functions import vector_to_array
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql import functions, types

    cells = functions.col(column)
    if isinstance(frame.schema[column].dataType, VectorUDT):
        cells = vector_to_array(cells)
    kind = types.DoubleType() if is_class else types.ArrayType(types.DoubleType())
    shared = Shared.of(frame.sparkSession.sparkContext, (Predictor(module.sharing_weights(), size), convert, finish))
    return frame.withColumn(into, functions.pandas_udf(_column(shared), kind)(cells))


def _column(shared: Shared) -> Any:
    import pandas as pd

    def predicted(parts: Any) -> Any:
        predictor, convert, finish = shared.value()
        for part in parts:
            cells = part.to_dict("records") if isinstance(part, pd.DataFrame) else part
            found: list[Any] = []
            waiting = iter(cells)
            while some := list(islice(waiting, predictor.size)):
                found.extend(finish(predictor(np.stack([convert(cell) for cell in some]))))
            yield pd.Series(found, dtype=object if not found or isinstance(found[0], list) else np.float64)

    predicted.__annotations__ = {"parts": Iterator[pd.Series], "return": Iterator[pd.Series]}  # pandas_udf reads them
    return predicted


def as_lists(outputs: Array) -> list[Any]:
    """Each record's outputs as a list of numbers."""
    rows: list[Any] = outputs.reshape(len(outputs), -1).astype(np.float64).tolist()
    return rows


def as_classes(outputs: Array) -> list[Any]:
    """Each record's 1-based class: the place of its largest output."""
    rows: list[Any] = (outputs.reshape(len(outputs), -1).argmax(axis=1) + 1.0).tolist()
    return rows


class Shaped:
    """Makes an array of a shape of a cell; shape None: of the cell's own."""

    def __init__(self, size: Sequence[int] | None) -> None:
        self.size = None if size is None else tuple(size)

    def __call__(self, cell: Any) -> Array:
        """The array of a cell of numbers."""
        array = array_of(cell).astype(np.float32)
        return array if self.size is None else array.reshape(self.size)


class DLModel(Model, NetworkStage, HasColumns, HasFeatureSize, HasTraining):
    """What `model` gives for each row, as a list of numbers in the column of predictions.

    featureSize: the shape of a record, which its vector or list of numbers is brought to. Source: BigDL's DLModel.
    """

    is_class = False

    def __init__(
        self, model: Module, featureSize: Sequence[int] | None = None, jvalue: Any = None, bigdl_type: str = "float"
    ) -> None:
        super().__init__()
        self.model = model
        self._setDefault(batchSize=_AT_ONCE)
        if featureSize is not None:
            self.setFeatureSize(list(featureSize))

    def _transform(self, dataset: Any) -> Any:
        finish = as_classes if self.is_class else as_lists
        convert = Shaped(self.getFeatureSize())
        columns = self.getFeaturesCol(), self.getPredictionCol()
        return with_predictions(dataset, *columns, self.model, convert, self.is_class, finish, self.getBatchSize())


class DLClassifierModel(DLModel):
    """The 1-based class of each row, a number. Source: BigDL's DLClassifierModel."""

    is_class = True


class DLEstimator(Estimator, HasColumns, HasFeatureSize, HasTraining):
    """Trains a copy of `model` on two columns of a DataFrame; gives a DLModel.

    feature_size, label_size: the shapes of a record's features and label, which vectors or lists of numbers are brought
    to.
    50 epochs at rate 0.001 in batches of one record, unless it is set otherwise. Source: BigDL's DLEstimator.
    """

    kind: type[DLModel] = DLModel

    def __init__(
        self,
        model: Module,
        criterion: Criterion,
        feature_size: Sequence[int],
        label_size: Sequence[int],
        jvalue: Any = None,
        bigdl_type: str = "float",
    ) -> None:
        super().__init__()
        self.model, self.criterion, self.label_size = model, criterion, list(label_size)
        self._setDefault(batchSize=1, maxEpoch=50, learningRate=1e-3, learningRateDecay=0.0)
        self.setFeatureSize(list(feature_size))

    def _fit(self, dataset: Any) -> Any:
        columns = self.getFeaturesCol(), self.getLabelCol()
        samples = samples_of(dataset, *columns, self.getFeatureSize(), self.label_size)
        model = copy.deepcopy(self.model)
        method = SGD(self.getLearningRate(), self.getLearningRateDecay())
        end = MaxEpoch(self.getMaxEpoch())
        whole = whole_partitions(samples, self.getBatchSize())
        Optimizer(model, whole, self.criterion, end, self.getBatchSize(), method, is_quiet=True).optimize()
        found = self.kind(model, self.getFeatureSize())
        return found._set(featuresCol=columns[0], predictionCol=self.getPredictionCol())


class DLClassifier(DLEstimator):
    """Trains a copy of `model` on 1-based classes; gives a DLClassifierModel. Source: BigDL's DLClassifier."""

    kind = DLClassifierModel

    def __init__(
        self,
        model: Module,
        criterion: Criterion,
        feature_size: Sequence[int],
        jvalue: Any = None,
        bigdl_type: str = "float",
    ) -> None:
        super().__init__(model, criterion, feature_size, [1], jvalue, bigdl_type)


def whole_partitions(rdd: Any, batch_size: int) -> Any:
    """`rdd` in as many partitions as divide a batch, which an estimator's user has not chosen: at most as many as it
    has."""
    count = rdd.getNumPartitions()
    fitting = next(number for number in range(min(count, batch_size), 0, -1) if batch_size % number == 0)
    return rdd if fitting == count else rdd.coalesce(fitting)
