"""Analytics Zoo's stages of Spark ML: networks trained on columns of a DataFrame, through steps of preprocessing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from pyspark.ml import Estimator, Model
from pyspark.ml.param import Param, Params, TypeConverters

from dlcore.activity import Array
from dlcore.data.sample import Sample
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD, OptimMethod
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import MaxEpoch, Trigger
from dlcore.spark.estimator import as_classes, as_lists, whole_partitions, with_predictions
from dlcore.spark.params import HasColumns, HasTraining
from dlcore.spark.pictures import NNImageReader
from dlcore.spark.preprocessing import SeqToTensor, TensorOf, steps_of
from dlcore.spark.saving import NetworkStage

__all__ = ["NNClassifier", "NNClassifierModel", "NNEstimator", "NNImageReader", "NNModel"]
_AT_ONCE = 32


class NNModel(Model, NetworkStage, HasColumns, HasTraining):
    """What `model` gives for each row, as a list of numbers in the column of predictions.

    feature_preprocessing: steps from a cell to a tensor, or its shape. Source: Analytics Zoo's NNModel.
    """

    is_class = False

    def __init__(
        self, model: Module, feature_preprocessing: Any = None, jvalue: Any = None, bigdl_type: str = "float"
    ) -> None:
        super().__init__()
        self.model, self.preprocessing = model, steps_of(feature_preprocessing)
        self._setDefault(batchSize=_AT_ONCE)
        self._unknown_steps = ""

    def setSamplePreprocessing(self, val: Any) -> Self:
        """Set the steps from a cell to a tensor, which a loaded model is to be told again if they are more than a
        shape."""
        self.preprocessing, self._unknown_steps = steps_of(val), ""
        return self

    def facts(self) -> dict[str, Any]:
        if isinstance(self.preprocessing, SeqToTensor):
            return {"feature_preprocessing": [int(size) for size in self.preprocessing.size]}
        return {"unknown_steps": type(self.preprocessing).__name__}

    @classmethod
    def remade(cls, model: Module, facts: dict[str, Any]) -> Any:
        stage = cls(model, facts.get("feature_preprocessing"))
        stage._unknown_steps = facts.get("unknown_steps", "")
        return stage

    def _finished(self) -> Any:
        return as_classes if self.is_class else as_lists

    def _transform(self, dataset: Any) -> Any:
        if self._unknown_steps:
            raise ValueError(
                f"{self.uid}: got a loaded model without its steps of preprocessing ({self._unknown_steps}), which "
                f"are not saved; "
                "call setSamplePreprocessing with them first"
            )
        columns, convert = (self.getFeaturesCol(), self.getPredictionCol()), TensorOf(self.preprocessing)
        return with_predictions(
            dataset, *columns, self.model, convert, self.is_class, self._finished(), self.getBatchSize()
        )


class _OverThreshold:
    """1 where the only output of a record is above the threshold, else 0; of several outputs the 1-based class."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, outputs: Array) -> list[Any]:
        rows = outputs.reshape(len(outputs), -1)
        return [float(row[0] > self.threshold) for row in rows] if rows.shape[1] == 1 else as_classes(outputs)


class NNClassifierModel(NNModel):
    """The 1-based class of each row, a number; of a network with one output whether it is above the threshold.

    Source: Analytics Zoo's NNClassifierModel.
    """

    is_class = True
    threshold: Any = Param(Params._dummy(), "threshold", "what an only output is compared with", TypeConverters.toFloat)

    def __init__(
        self, model: Module, feature_preprocessing: Any = None, jvalue: Any = None, bigdl_type: str = "float"
    ) -> None:
        super().__init__(model, feature_preprocessing, jvalue, bigdl_type)
        self._setDefault(threshold=0.5)

    def setThreshold(self, val: float) -> Self:
        """Set the threshold."""
        self._set(threshold=val)
        return self

    def getThreshold(self) -> float:
        """The threshold, 0.5 unless it is set."""
        return float(self.getOrDefault(self.threshold))

    def _finished(self) -> Any:
        return _OverThreshold(self.getThreshold())


class NNEstimator(Estimator, HasColumns, HasTraining):
    """Trains a copy of `model` on two columns of a DataFrame; gives an NNModel.

    feature_preprocessing, label_preprocessing: steps from a cell to a tensor, or its shape. What is random in them is
    drawn once for each record. 50 epochs of SGD at rate 0.001 in batches of one record, unless it is set otherwise.
    Source: Analytics Zoo's NNEstimator.
    """

    kind: type[NNModel] = NNModel

    def __init__(
        self,
        model: Module,
        criterion: Criterion,
        feature_preprocessing: Any = None,
        label_preprocessing: Any = None,
        jvalue: Any = None,
        bigdl_type: str = "float",
    ) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        self.preprocessing, self.label_preprocessing = steps_of(feature_preprocessing), steps_of(label_preprocessing)
        self._setDefault(batchSize=1, maxEpoch=50, learningRate=1e-3, learningRateDecay=0.0)
        self.end_when: Trigger | None = None
        self.method: OptimMethod | None = None
        self._settings: dict[str, tuple[str, tuple[Any, ...]]] = {}
        self._validation: tuple[Trigger, Any, Any, int] | None = None

    def setSamplePreprocessing(self, val: Any) -> Self:
        """Set the steps from a cell to a tensor."""
        self.preprocessing = steps_of(val)
        return self

    def setEndWhen(self, trigger: Trigger) -> Self:
        """When to end, in place of the epochs."""
        self.end_when = trigger
        return self

    def setOptimMethod(self, val: OptimMethod) -> Self:
        """Train by a copy of this method, whose rate counts."""
        self.method = val
        return self

    def setCachingSample(self, val: bool) -> Self:
        """Nothing: samples always lie in files of their executors, not in Spark's memory."""
        return self

    def setTrainSummary(self, val: TrainSummary) -> Self:
        """Write the steps' scalars there."""
        return self._later("train", "set_train_summary", val)

    def setValidationSummary(self, val: ValidationSummary) -> Self:
        """Write the validations' scalars there."""
        return self._later("score", "set_val_summary", val)

    def setValidation(self, trigger: Trigger, val_df: Any, val_method: Any, batch_size: int) -> Self:
        """Score the model on a DataFrame of the same columns."""
        self._validation = trigger, val_df, val_method, batch_size
        return self

    def setCheckpoint(self, path: str, trigger: Trigger, isOverWrite: bool = True) -> Self:
        """Save the training's state to a folder."""
        return self._later("checkpoint", "set_checkpoint", trigger, path, isOverWrite)

    def setConstantGradientClipping(self, min: float, max: float) -> Self:
        """Clip each gradient to [min, max]."""
        return self._later("clip", "set_gradclip_const", min, max)

    def setGradientClippingByL2Norm(self, clip_norm: float) -> Self:
        """Scale the gradient down to this L2 norm."""
        return self._later("norm", "set_gradclip_l2norm", clip_norm)

    def clearGradientClipping(self) -> Self:
        """Clip nothing."""
        self._settings = {name: call for name, call in self._settings.items() if name not in ("clip", "norm")}
        return self

    def _later(self, name: str, call: str, *arguments: Any) -> Self:
        self._settings[name] = call, arguments
        return self

    def _samples(self, frame: Any) -> Any:
        made = _Sampled(TensorOf(self.preprocessing), TensorOf(self.label_preprocessing))
        return frame.select(self.getFeaturesCol(), self.getLabelCol()).rdd.map(made)

    def _fit(self, dataset: Any) -> Any:
        model = copy.deepcopy(self.model)
        method = copy.deepcopy(self.method) or SGD(self.getLearningRate(), self.getLearningRateDecay())
        size, end = self.getBatchSize(), self.end_when or MaxEpoch(self.getMaxEpoch())
        samples = whole_partitions(self._samples(dataset), size)
        optimizer = Optimizer(model, samples, self.criterion, end, size, method, is_quiet=True)
        for call, arguments in self._settings.values():
            getattr(optimizer, call)(*arguments)
        if self._validation is not None:
            trigger, frame, methods, batch_size = self._validation
            optimizer.set_validation(batch_size, self._samples(frame), trigger, methods)
        optimizer.optimize()
        found = self.kind(model, self.preprocessing)
        return found._set(featuresCol=self.getFeaturesCol(), predictionCol=self.getPredictionCol())


class NNClassifier(NNEstimator):
    """Trains a copy of `model` on 1-based classes; gives an NNClassifierModel. Source: Analytics Zoo's NNClassifier."""

    kind = NNClassifierModel

    def __init__(
        self,
        model: Module,
        criterion: Criterion,
        feature_preprocessing: Any = None,
        jvalue: Any = None,
        bigdl_type: str = "float",
    ) -> None:
        super().__init__(model, criterion, feature_preprocessing, None, jvalue, bigdl_type)


class _Sampled:
    """Makes a Sample of a row (feature, label)."""

    def __init__(self, feature: TensorOf, label: TensorOf) -> None:
        self.feature, self.label = feature, label

    def __call__(self, row: Sequence[Any]) -> Sample:
        return Sample.from_ndarray(self.feature(row[0]), np.asarray(self.label(row[1])))
