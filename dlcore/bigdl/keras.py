"""BigDL's models in Keras's style: labels of classes count from 1 there, where Keras's and Analytics Zoo's count from
0."""

from __future__ import annotations

from typing import Any

from dlcore.keras import topology
from dlcore.keras.training import KerasModel
from dlcore.nn.criterion.classification import ClassNLLCriterion

__all__ = ["Model", "Sequential"]


class _OneBased(KerasModel, namespace="bigdl"):
    def compile(self, optimizer: Any, loss: Any, metrics: Any = None) -> None:
        """See KerasModel.compile; "sparse_categorical_crossentropy", and "accuracy" with it, take 1-based labels."""
        each = [_of_labels(one) for one in loss] if isinstance(loss, (list, tuple)) else _of_labels(loss)
        super().compile(optimizer, each, metrics)


class Sequential(_OneBased, topology.Sequential, namespace="bigdl"):
    """See `dlcore.keras.topology.Sequential`. Source: BigDL's Sequential of nn.keras.topology."""


class Model(_OneBased, topology.Model, namespace="bigdl"):
    """See `dlcore.keras.topology.Model`. Source: BigDL's Model of nn.keras.topology."""


def _of_labels(loss: Any) -> Any:
    is_sparse = isinstance(loss, str) and loss.lower() == "sparse_categorical_crossentropy"
    return ClassNLLCriterion(logProbAsInput=False) if is_sparse else loss
