"""Training: methods, schedules, triggers, metrics and the loop: `from dlcore.optim import Optimizer, Adam,
MaxEpoch`."""

from __future__ import annotations

from dlcore.surface import offered

__getattr__, __dir__ = offered(__name__, ("dlcore.optim.optimizer",))
