"""The parameters of the stages of Spark ML, under BigDL's names."""

from __future__ import annotations

from typing import Any, Self

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasFeaturesCol, HasLabelCol, HasPredictionCol


class HasBatchSize(Params):
    """How many records are computed in a step, of all partitions together."""

    batchSize: Any = Param(Params._dummy(), "batchSize", "records in a step", TypeConverters.toInt)

    def setBatchSize(self, val: int) -> Self:
        """Set how many records are in a step."""
        self._set(batchSize=val)
        return self

    def getBatchSize(self) -> int:
        """How many records are in a step."""
        return int(self.getOrDefault(self.batchSize))


class HasFeatureSize(Params):
    """The shape of a record's features."""

    featureSize: Any = Param(Params._dummy(), "featureSize", "shape of the features", TypeConverters.toListInt)

    def setFeatureSize(self, val: list[int]) -> Self:
        """Set the shape of a record's features."""
        self._set(featureSize=val)
        return self

    def getFeatureSize(self) -> list[int] | None:
        """The shape of a record's features, None if a cell's own shape counts."""
        return list(self.getOrDefault(self.featureSize)) if self.isDefined(self.featureSize) else None


class HasTraining(HasBatchSize):
    """How long and how fast is trained."""

    maxEpoch: Any = Param(Params._dummy(), "maxEpoch", "epochs", TypeConverters.toInt)
    learningRate: Any = Param(Params._dummy(), "learningRate", "learning rate", TypeConverters.toFloat)
    learningRateDecay: Any = Param(Params._dummy(), "learningRateDecay", "its decay a step", TypeConverters.toFloat)

    def setMaxEpoch(self, val: int) -> Self:
        """Set the epochs."""
        self._set(maxEpoch=val)
        return self

    def getMaxEpoch(self) -> int:
        """The epochs."""
        return int(self.getOrDefault(self.maxEpoch))

    def setLearningRate(self, val: float) -> Self:
        """Set the learning rate."""
        self._set(learningRate=val)
        return self

    def getLearningRate(self) -> float:
        """The learning rate."""
        return float(self.getOrDefault(self.learningRate))

    def setLearningRateDecay(self, val: float) -> Self:
        """Set by how much the rate becomes smaller with each step."""
        self._set(learningRateDecay=val)
        return self

    def getLearningRateDecay(self) -> float:
        """How much the rate decreases with each step."""
        return float(self.getOrDefault(self.learningRateDecay))


class HasColumns(HasFeaturesCol, HasLabelCol, HasPredictionCol):
    """The names of the columns."""

    def setFeaturesCol(self, val: str) -> Self:
        """Set the column of the features."""
        self._set(featuresCol=val)
        return self

    def setLabelCol(self, val: str) -> Self:
        """Set the column of the labels."""
        self._set(labelCol=val)
        return self

    def setPredictionCol(self, val: str) -> Self:
        """Set the column of the predictions."""
        self._set(predictionCol=val)
        return self
