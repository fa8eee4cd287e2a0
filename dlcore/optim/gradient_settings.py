"""What becomes of the workers' gradients on their way into the weights: the settings of an Optimizer about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from dlcore.optim.exchange import Dropping, Exchange, WireFormat
from dlcore.optim.update import Clipping


class GradientSettings:
    """Clipping, and on Spark the exchange."""

    _clipping = Clipping()
    _exchange = Exchange()

    def set_gradclip_const(self, min_value: float, max_value: float) -> Self:
        """Clip each gradient to [min_value, max_value]; before the norm, if that is limited too.

        Raises:
            ValueError: min_value is above max_value.
        """
        if not min_value <= max_value:
            raise ValueError(f"set_gradclip_const: got {min_value} to {max_value}, expected the smaller number first")
        self._clipping = replace(self._clipping, values=(min_value, max_value))
        return self

    def set_gradclip_l2norm(self, clip_norm: float) -> Self:
        """Scale the gradient down to this L2 norm.

        Raises:
            ValueError: it is not above 0.
        """
        if not clip_norm > 0:
            raise ValueError(f"set_gradclip_l2norm: got {clip_norm}, expected a norm above 0")
        self._clipping = replace(self._clipping, norm=clip_norm)
        return self

    def disable_gradclip(self) -> Self:
        """Clip nothing."""
        self._clipping = Clipping()
        return self

    def set_wire_format(self, wire: WireFormat) -> Self:
        """How many bits the numbers have that Spark's tasks exchange: "fp32", or BigDL's "fp16", half the bytes.

        "fp16" rounds the gradients, and the weights at which they are computed, to the upper 16 bits of fp32. The
        weights that are changed, and that the trained model has, stay fp32.

        Raises:
            ValueError: another format; from `optimize`, the records are not on Spark or the model is not fp32.
        """
        self._exchange = replace(self._exchange, wire=wire)
        return self

    def set_drop_module_property(
        self, drop_percentage: float, max_drop_percentage: float, batchsize: int = 100, warmup_iteration: int = 200
    ) -> Self:
        """Let a step on Spark go on without the tasks that compute for too long: BigDL's `setDropModuleProperty`.

        drop_percentage: fraction of all tasks that may be given up. From the times of the latest `batchsize` steps a
        limit is drawn that so many exceed, every `batchsize` steps, first after more than `warmup_iteration`.
        max_drop_percentage: a step that would lose a larger fraction is computed again without the limit. The result
        then depends on the tasks' speed; with drop_percentage 0 nothing is given up.

        Raises:
            ValueError: not 0 <= drop_percentage <= max_drop_percentage < 1; from `optimize`, the records are not on
                Spark.
        """
        dropping = Dropping(drop_percentage, max_drop_percentage, batchsize, warmup_iteration)
        self._exchange = replace(self._exchange, dropping=dropping if drop_percentage else None)
        return self

    def set_gang(self, gang: bool = True) -> Self:
        """Let Spark's tasks stay from step to step, as one barrier stage: for steps of tens of milliseconds, of which
        starting tasks would take most.

        The arithmetic, and so the result, is that of steps which are jobs of their own. While it trains, every
        partition takes a slot of Spark's; validations and checkpoints give them back for their time.

        Raises:
            ValueError: from `optimize`, the records are not on Spark, or it has fewer slots than they have partitions.
        """
        self._exchange = replace(self._exchange, gang=gang)
        return self
