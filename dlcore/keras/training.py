"""Training in Keras's style: compile, fit, evaluate, predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, SparseMatrix, as_activity, as_given, leaves
from dlcore.data.dataset import data_set_of, is_data_set
from dlcore.data.distributed import is_rdd
from dlcore.keras.callbacks import Callback, History
from dlcore.keras.construction import connect
from dlcore.keras.objectives import Weighted, loss_of, method_of, metrics_of, rows_of
from dlcore.keras.summary import layer_table
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.nn.node import Node
from dlcore.nn.parameter import Parameter, in_type_of
from dlcore.nn.shapes import ActivityShape
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import OptimMethod
from dlcore.optim.metric import EvaluatedResult, Loss, ValidationMethod
from dlcore.optim.prediction import evaluating, joined, predict
from dlcore.optim.scoring import evaluate
from dlcore.optim.source import FiniteSource, finite_source
from dlcore.optim.trigger import MaxEpoch, TrainingState, Trigger


@dataclass
class Compiled:
    """The arguments of `compile`: how a model is trained and scored."""

    optimizer: OptimMethod
    loss: Criterion
    metrics: dict[str, ValidationMethod]

    def score(self, model: Module, source: FiniteSource) -> dict[str, EvaluatedResult]:
        """The loss, then each metric, by name, over all records of `source`."""
        methods = {"loss": Loss(self.loss), **self.metrics}
        results = evaluate(model, source, list(methods.values()))
        return {
            name: EvaluatedResult(found.result, found.total_num, name)
            for name, found in zip(methods, results, strict=True)
        }


class KerasModel(Module):
    """A model that is compiled, fitted, evaluated and asked. What it was compiled with is not saved: compile it again.

    Source: BigDL's KerasModel; Keras's Model.

    Example:
        >>> from dlcore.keras.layer import Dense
        >>> from dlcore.keras.topology import Sequential
        >>> model = Sequential().add(Dense(8, activation="tanh", input_shape=(2,))).add(Dense(2, activation="softmax"))
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> x, labels = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
        >>> history = model.fit(x, labels, batch_size=4, nb_epoch=3)
        >>> len(history.history["loss"]), model.predict_classes(x).shape
        (3, (4,))
    """

    compiled: Compiled | None = None
    stop_training: bool = False
    epochs_done: int = 0

    def compile(self, optimizer: str | OptimMethod, loss: Any, metrics: Any = None) -> None:
        """Say how to train and score: by names as in Keras, or by objects as in BigDL.

        loss: a name, a criterion, or for several outputs a list of one for each; one name is that of each. metrics: a
        list of names and validation methods; a name stands for one of each output then, "<layer>_<metric>". Losses and
        metrics called by name take 0-based labels; BigDL's criterions and validation methods take 1-based ones.

        Raises:
            ValueError: an unknown name, or another number of losses than outputs.
        """
        shape = self.get_output_shape()
        criterion = loss_of(loss, len(shape) if isinstance(shape, list) else 1)
        metrics = metrics_of(metrics, criterion, self._outputs_by_name())
        self.compiled = Compiled(method_of(optimizer), criterion, metrics)

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        nb_epoch: int = 10,
        validation_data: Any = None,
        distributed: bool = True,
        *,
        epochs: int | None = None,
        validation_split: float = 0.0,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        callbacks: Sequence[Callback] = (),
        seed: int = 1,
        workers: int = 1,
        is_quiet: bool = False,
        configure: Callable[[Optimizer], object] | None = None,
    ) -> History:
        """Train for `nb_epoch` epochs (or `epochs`, Keras's later name); gives the history of losses and metrics.

        x, y: arrays, or lists of arrays for several inputs or outputs, of one length; for an output (N, 1) targets may
        be (N,). Or x alone: a DataSet, a list of Samples or an ImageFrame; validation_data may be one too.
        validation_split: the last part of the records, scored after each epoch as validation_data (x, y) is.
        class_weight: label -> weight of its records in the loss; sample_weight: (N,) a weight for each. The records'
        order depends on `seed` and on how many epochs the model has been fitted for. `distributed` is taken because
        BigDL takes it: `workers` processes of this machine compute.
        configure: is given the Optimizer before it runs, to set its checkpoints, summaries or clipping.
        history["loss"] is the mean of the epoch's steps; metrics are computed on validation data alone, as
        "val_<name>".

        Raises:
            RuntimeError: the model is not compiled.
            ValueError: no targets, arrays of different lengths, no validation records, both kinds of weights, or
                weights or a split for data that are not arrays.
        """
        compiled = self._compiled()
        weighting = validation_split, class_weight, sample_weight
        training, criterion, held_out = self._to_train_on(x, y, compiled.loss, *weighting)
        scored = self._source(validation_data if held_out is None else held_out, batch_size)
        history = History()
        epoch = _Epoch(self, compiled, scored, [history, *callbacks])
        optimizer = Optimizer(
            self,
            training,
            criterion,
            _End(nb_epoch if epochs is None else epochs, self),
            batch_size,
            compiled.optimizer,
            workers=workers,
            seed=seed + self.epochs_done,
            is_quiet=is_quiet,
        )
        if configure is not None:
            configure(optimizer)
        epoch.begin()
        optimizer.set_evaluation(epoch, epoch.end).optimize()
        epoch.finish()
        return history

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int = 32) -> Any:
        """[loss, each metric] over the records of `x` and `y`, or of a DataSet, Samples or an ImageFrame `x` alone;
        without arguments the model goes into evaluation mode.

        Raises:
            RuntimeError: the model is not compiled.
        """
        if x is None:
            return super().evaluate()
        compiled, source = self._compiled(), self._source(x if y is None else (x, y), batch_size)
        with evaluating(self):
            return list(compiled.score(self, source).values()) if source else []

    def predict(self, x: Any, distributed: bool = True, *, batch_size: int = 32) -> Any:
        """The outputs for all records of `x`, in evaluation mode: an array, or a list of arrays for several outputs. x
        may also be a DataSet, a list of Samples or an ImageFrame."""
        if is_rdd(x) or data_set_of(x) is not None:
            return predict(self, x, batch_size)
        given = _as_taken(x, self.get_input_shape())
        lengths = {len(leaf) for leaf in leaves(given)}
        if len(lengths) != 1:
            raise ValueError(f"{self.label()}: got inputs of lengths {sorted(lengths)}, expected one length")
        parts = []
        with evaluating(self):
            for start in range(0, max(lengths.pop(), 1), batch_size):
                rows = slice(start, start + batch_size)
                batch = in_type_of((each for *_, each in self.holders(Parameter)), as_activity(rows_of(given, rows)))
                parts.append(self.apply(batch)[0])
        return joined(parts)

    def predict_classes(self, x: Any, distributed: bool = True, *, batch_size: int = 32) -> Array:
        """(N, ...) the 0-based class of the largest output of each record; of a single output whether it is above
        0.5."""
        output = self.predict(x, distributed, batch_size=batch_size)
        found: Array = (output > 0.5)[..., 0].astype(np.int64) if output.shape[-1] == 1 else output.argmax(axis=-1)
        return found

    def get_input_shape(self) -> ActivityShape:
        """The input's shape, None for the batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_input_shape")

    def get_output_shape(self) -> ActivityShape:
        """The output's shape, None for the batch."""
        return self.output_shape(self.get_input_shape())

    def summary(self) -> None:
        """Print a row per layer: its name and type, output shape, number of parameters and what it is connected to."""
        print(self)

    def __str__(self) -> str:
        return layer_table(self)

    def __call__(self, *previous: Any) -> Node:
        """A graph node that applies this model to the outputs of `previous`."""
        return connect(self, *previous)

    def _outputs_by_name(self) -> dict[str, ActivityShape]:
        """The shape of each output, by the name of its layer, else its place; "" for the only one."""
        shape = self.get_output_shape()
        if not isinstance(shape, list):
            return {"": shape}
        names = [node.module._name for node in getattr(self, "outputs", [])] or [None] * len(shape)
        return {
            f"{name or f'output_{place}'}_": each
            for place, (name, each) in enumerate(zip(names, shape, strict=True), 1)
        }

    def _to_train_on(
        self, x: Any, y: Any, loss: Criterion, validation_split: float, class_weight: Any, sample_weight: Any
    ) -> tuple[Any, Criterion, Any]:
        """What the Optimizer trains on, its criterion, and (x, y) of the records that `validation_split` holds out,
        else None."""
        if y is None:
            if not is_data_set(x):
                raise ValueError(f"{self.label()}: got no y, expected the targets of x; pass fit(x, y)")
            if validation_split or class_weight is not None or sample_weight is not None:
                raise ValueError(
                    f"{self.label()}: got a validation_split or weights for {type(x).__name__}, expected arrays x and "
                    f"y for them"
                )
            return x, loss, None
        inputs, targets = self._prepared(x, y)
        weights = _weights(targets, self.get_output_shape(), class_weight, sample_weight)
        held_out = None
        if validation_split:
            inputs, targets, weights, held_out = _split(inputs, targets, weights, validation_split)
        if weights is None:
            return (inputs, targets), loss, held_out
        return (inputs, [targets, weights]), Weighted(loss), held_out

    def _source(self, data: Any, batch_size: int) -> FiniteSource | None:
        """Batches of (x, y), or of a DataSet, Samples or an ImageFrame; None of None."""
        if data is None:
            return None
        return finite_source(data if is_data_set(data) else self._prepared(*data), batch_size)

    def _prepared(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Inputs and targets in the nesting of the model's inputs and outputs."""
        shape = self.get_output_shape()
        return _as_taken(x, self.get_input_shape()), _as_columns(_as_taken(y, shape), shape)

    def _compiled(self) -> Compiled:
        if self.compiled is None:
            raise RuntimeError(f"{self.label()}: got no loss, expected one; call compile(optimizer, loss) first")
        return self.compiled


class _End(MaxEpoch):
    """After so many epochs, or when a callback says so."""

    def __init__(self, max_epoch: int, model: KerasModel) -> None:
        super().__init__(max_epoch)
        self._model = model

    def __call__(self, state: TrainingState) -> bool:
        return super().__call__(state) or self._model.stop_training


class _Epoch(Trigger):
    """Adds up an epoch's losses; at its end scores the validation records and tells the callbacks."""

    def __init__(
        self,
        model: KerasModel,
        compiled: Compiled,
        validation: FiniteSource | None,
        callbacks: Sequence[Callback],
    ) -> None:
        self._model, self._compiled, self._validation, self._callbacks = model, compiled, validation, callbacks
        self._first, self._records, self._seen, self._total = model.epochs_done, 0, 0, 0.0

    def __call__(self, state: TrainingState) -> bool:
        records, self._records = state.records - self._records, state.records
        self._seen, self._total = self._seen + records, self._total + records * (state.loss or 0.0)
        return state.is_epoch_end

    def begin(self) -> None:
        """Training begins."""
        self._model.stop_training = False
        for callback in self._callbacks:
            callback.model = self._model
            callback.on_train_begin()

    def end(self, model: Module) -> dict[str, float]:
        """The epoch's numbers by name; those of the validation first."""
        logs = {"loss": self._total / max(self._seen, 1)}
        self._seen, self._total = 0, 0.0
        if self._validation is not None:
            scores = self._compiled.score(model, self._validation)
            logs |= {f"val_{name}": score.result for name, score in scores.items()}
        for callback in self._callbacks:
            callback.on_epoch_end(self._model.epochs_done - self._first, logs)
        self._model.epochs_done += 1
        return dict(reversed(logs.items()))

    def finish(self) -> None:
        """Training has ended."""
        for callback in self._callbacks:
            callback.on_train_end()


def _as_taken(given: Any, shape: ActivityShape) -> Any:
    """`given`, which for a single array may be that array in a list, or its numbers in lists."""
    if isinstance(shape, list) or not isinstance(given, (list, tuple)):
        return as_given(given)
    is_alone = len(given) == 1 and isinstance(given[0], (np.ndarray, SparseMatrix))
    return as_given(given[0]) if is_alone else np.asarray(given)


def _as_columns(targets: Any, shape: Any) -> Any:
    """`targets`, those (N,) of an output (N, 1) as (N, 1)."""
    if isinstance(targets, list):
        return (
            [_as_columns(*each) for each in zip(targets, shape, strict=True)] if len(targets) == len(shape) else targets
        )
    return targets[:, None] if targets.ndim == 1 and len(shape) == 2 and shape[1] == 1 else targets


def _weights(targets: Any, shape: ActivityShape, by_class: dict[int, float] | None, by_record: Any) -> Array | None:
    """(N,) the weight of each record, None if all count alike; `shape` is that of the model's output."""
    if by_class is None:
        return None if by_record is None else np.asarray(by_record, np.float32).reshape(-1)
    if by_record is not None or isinstance(targets, list):
        raise ValueError(
            "fit: got class_weight with sample_weight or several outputs, expected it alone and one output"
        )
    is_one_hot = targets.ndim == 2 and len(shape) == 2 and targets.shape[1] > 1
    labels = np.asarray(targets.argmax(axis=1) if is_one_hot else targets).reshape(-1).astype(np.int64)
    if len(labels) != len(targets):
        raise ValueError(f"fit: got class_weight with targets {targets.shape}, expected one label for each record")
    missing = sorted({*labels.tolist()} - by_class.keys())
    if missing:
        raise ValueError(f"fit: got no class_weight for the labels {missing}, expected one for each")
    return np.array([by_class[label] for label in labels.tolist()], np.float32)


def _split(x: Activity, y: Activity, weights: Array | None, share: float) -> tuple[Any, Any, Any, tuple[Any, Any]]:
    """(x, y, weights) of the first records, and (x, y) of the last `share` of them."""
    count = len(next(leaves(x)))
    kept = int(count * (1.0 - share))
    if not 0 < kept < count:
        raise ValueError(f"fit: got validation_split {share} of {count} records, expected some in both parts")

    first, last = slice(kept), slice(kept, None)
    validation = rows_of(x, last), rows_of(y, last)
    return rows_of(x, first), rows_of(y, first), None if weights is None else weights[first], validation
