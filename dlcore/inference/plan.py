"""Plan: a model prepared for one input shape."""

from collections.abc import Sequence

import numpy as np

from dlcore.activity import Activity, Array, leaves, map_leaves
from dlcore.inference.fuse import fuse
from dlcore.inference.lowering import Lowering
from dlcore.inference.trace import trace
from dlcore.kernels import cpu
from dlcore.nn.module import Module

PRECISIONS = ("fp32",)


class Plan:
    """A model lowered to a flat list of steps on fixed memory. Not for several threads at once.

    Equal images give bit-identical results on one machine, whatever the rest of the batch holds.
    """

    def __init__(self, lowering: Lowering, output: Activity, x: Array) -> None:
        self._x, self._output = x, output
        self._steps = lowering.program
        self.input_shape: tuple[int, ...] = x.shape
        self.steps: list[str] = lowering.names
        self.buffer_bytes: int = lowering.arena.size * 4

    def __call__(self, x: Array) -> Activity:
        """The model's output for a batch of exactly the planned shape, as new arrays.

        Raises:
            ValueError: `x` has another shape.
        """
        if x.shape != self.input_shape:
            raise ValueError(
                f"plan: got input {x.shape}, expected {self.input_shape}; predict(x) takes any number of rows"
            )
        np.copyto(self._x, x)
        for step in self._steps:
            step()
        return map_leaves(lambda leaf: leaf.copy(order="K"), self._output)

    def predict(self, x: Array) -> Activity:
        """The output for any number of rows: batch by batch, the last one filled up with zeros that are cut off again.

        Raises:
            ValueError: the rows have another shape than the planned ones.
        """
        size = self.input_shape[0]
        if x.shape[1:] != self.input_shape[1:]:
            raise ValueError(f"plan: got rows of shape {x.shape[1:]}, expected {self.input_shape[1:]}")
        results = [self._padded(x[start : start + size]) for start in range(0, max(len(x), 1), size)]
        return _stack(results)

    def _padded(self, rows: Array) -> Activity:
        missing = self.input_shape[0] - len(rows)
        if not missing:
            return self(rows)
        full = np.zeros(self.input_shape, np.float32)
        full[: len(rows)] = rows
        return map_leaves(lambda leaf: leaf[: len(rows)], self(full))


def _stack(results: list[Activity]) -> Activity:
    first = results[0]
    if isinstance(first, list):
        return [_stack([result[i] for result in results]) for i in range(len(first))]
    return np.concatenate(results) if len(results) > 1 else first


def compile(model: Module, input_shape: Sequence[int], precision: str = "fp32", threads: int | None = None) -> Plan:
    """Lower `model` for inputs of `input_shape` (N, ...).

    Batch normalisation is folded into weights; bias, residual sums, ReLU and pooling are computed with their convolution;
    weights are packed once, so that a later change of the model's weights has no effect; layers without a faster step run as
    they are. The model is put into evaluation mode.

    threads: for the native kernels; by default OMP_NUM_THREADS, else all CPUs; one in a forked process.

    Raises:
        ValueError: an unknown precision, or an input shape the model refuses.

    Example:
        >>> from dlcore.nn.layer import Linear
        >>> compile(Linear(3, 2), (4, 3))(np.ones((4, 3), np.float32)).shape
        (4, 2)
    """
    if precision not in PRECISIONS:
        raise ValueError(f"compile: got precision {precision!r}, expected one of {PRECISIONS}")
    network = fuse(trace(model.evaluate()))
    lowering = Lowering(network, cpu.threads() if threads is None else threads)
    lowering.run(tuple(input_shape))
    x = lowering.values[network.input]
    return Plan(lowering, lowering.taken(network.output), next(leaves(x)))
