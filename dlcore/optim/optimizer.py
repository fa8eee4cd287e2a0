"""Methods, schedules, triggers, scores, penalties and the Optimizer under one name, as `bigdl.optim.optimizer` has
them.

What is called like a layer is not in `__all__`, so that both modules may be imported whole: ActivityRegularization, and
our own schedule Cosine.
"""

from __future__ import annotations

from dlcore.nn.regularizer import (
    ActivityRegularization,  # noqa: F401  (not in __all__: it would hide the layer of this name)
    L1L2Regularizer,
    L1Regularizer,
    L2Regularizer,
)
from dlcore.optim.adaptive import (
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    LarsSGD,
    ParallelAdam,
    RMSprop,
)
from dlcore.optim.detection_metric import MeanAveragePrecisionObjectDetection
from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.loop import LocalOptimizer, Optimizer
from dlcore.optim.method import DOUBLEMAX, SGD, OptimMethod
from dlcore.optim.metric import (
    AUC,
    MAE,
    NDCG,
    EvaluatedResult,
    HitRatio,
    Loss,
    MeanAveragePrecision,
    Top1Accuracy,
    Top5Accuracy,
    TreeNNAccuracy,
    ValidationMethod,
)
from dlcore.optim.schedule import (
    Default,
    Exponential,
    MultiStep,
    NaturalExp,
    Plateau,
    Poly,
    SequentialSchedule,
    Step,
    Warmup,
)
from dlcore.optim.summary import TrainSummary, ValidationSummary
from dlcore.optim.trigger import (
    EveryEpoch,
    MaxEpoch,
    MaxIteration,
    MaxScore,
    MinLoss,
    SeveralIteration,
    Trigger,
    TriggerAnd,
    TriggerOr,
)

__all__ = [
    "AUC",
    "DOUBLEMAX",
    "LBFGS",
    "MAE",
    "NDCG",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Default",
    "EvaluatedResult",
    "EveryEpoch",
    "Exponential",
    "Ftrl",
    "HitRatio",
    "L1L2Regularizer",
    "L1Regularizer",
    "L2Regularizer",
    "Lamb",
    "LarsSGD",
    "LocalOptimizer",
    "Loss",
    "MaxEpoch",
    "MaxIteration",
    "MaxScore",
    "MeanAveragePrecision",
    "MeanAveragePrecisionObjectDetection",
    "MinLoss",
    "MultiStep",
    "NaturalExp",
    "OptimMethod",
    "Optimizer",
    "ParallelAdam",
    "Plateau",
    "Poly",
    "RMSprop",
    "SequentialSchedule",
    "SeveralIteration",
    "Step",
    "Top1Accuracy",
    "Top5Accuracy",
    "TrainSummary",
    "TreeNNAccuracy",
    "Trigger",
    "TriggerAnd",
    "TriggerOr",
    "ValidationMethod",
    "ValidationSummary",
    "Warmup",
]
