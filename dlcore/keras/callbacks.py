"""Callbacks that watch the epochs of a training: the history, and early stopping."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from dlcore.activity import Array


@dataclass
class Callback:
    """Is told of each epoch's end; sets `model.stop_training` to end the training. Source: Keras's Callback."""

    model: Any = field(default=None, init=False, repr=False)

    def on_train_begin(self) -> None:
        """Training begins."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Epoch `epoch`, 0-based, has ended with these losses and metrics."""

    def on_train_end(self) -> None:
        """Training has ended; the model may be changed."""


@dataclass
class History(Callback):
    """The losses and metrics of all epochs: `history["val_loss"][i]` is that of epoch `epoch[i]`. Source: Keras's
    History."""

    epoch: list[int] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


@dataclass
class EarlyStopping(Callback):
    """End the training when `monitor` has not become better by more than `min_delta` for `patience` epochs.

    mode: "min" or "max" is better, or "auto": max for accuracies. restore_best_weights: give the model those of its
    best epoch.
    Source: Keras's EarlyStopping.

    Raises:
        ValueError: another mode.
    """

    monitor: str = "val_loss"
    min_delta: float = 0.0
    patience: int = 0
    mode: str = "auto"
    restore_best_weights: bool = False
    stopped_epoch: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "min", "max"):
            raise ValueError(f"EarlyStopping: got mode {self.mode!r}, expected 'auto', 'min' or 'max'")
        is_higher_better = self.mode == "max" or (self.mode == "auto" and "acc" in self.monitor.lower())
        self._sign = -1.0 if is_higher_better else 1.0

    def on_train_begin(self) -> None:
        self._best, self._waited = math.inf, 0
        self._kept: list[Array] | None = None
        self.stopped_epoch = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """See Callback; ValueError if nothing is called `monitor`."""
        if self.monitor not in logs:
            raise ValueError(
                f"EarlyStopping: got monitor {self.monitor!r}, expected one of {', '.join(logs)}; validation wants "
                "validation_data or validation_split"
            )
        value = self._sign * logs[self.monitor]
        if value < self._best - self.min_delta:
            self._best, self._waited = value, 0
            self._kept = [holder.value.copy() for holder in self._holders()] if self.restore_best_weights else None
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def on_train_end(self) -> None:
        if self._kept is not None:
            for holder, value in zip(self._holders(), self._kept, strict=True):
                holder.value[...] = value

    def _holders(self) -> list[Any]:
        """What the model has learned and measured, such as running means."""
        return [*self.model.named_parameters().values(), *self.model.buffers().values()]
