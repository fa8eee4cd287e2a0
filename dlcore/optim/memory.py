"""The memory that workers share: weights, a row of gradients and a row of buffers for each."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.nn.module import Module
from dlcore.nn.parameter import Buffer, Parameter, stretches


@dataclass
class Memory:
    """The learned weights (P,), a row of gradients (P,) and of buffers (B,) for each worker, in the weights' type."""

    parameters: Sequence[Parameter]
    held: Sequence[Buffer]
    weights: Array
    grads: Array
    buffers: Array

    @classmethod
    def of(cls, model: Module, parameters: Sequence[Parameter], workers: int) -> Memory:
        """Memory that forked processes share, with `parameters`, in this order, moved into it."""
        held = list(model.buffers().values())
        size, kept = (sum(holder.value.size for holder in holders) for holders in (parameters, held))
        kind = np.result_type(np.float32, *{parameter.value.dtype for parameter in parameters})
        memory = cls(
            parameters,
            held,
            _shared((size,), kind),
            _shared((workers, size), kind),
            _shared((workers, kept), kind),
        )
        for parameter, place in stretches(parameters):
            parameter.move_into(memory.weights[place], memory.grads[0, place])
        for buffer, place in stretches(held):
            memory.buffers[:, place] = buffer.value.reshape(-1)
        return memory

    def seat(self, rank: int) -> None:
        """Let this process's gradients and buffers be those of worker `rank`."""
        for parameter, place in stretches(self.parameters):
            parameter.share_grad(self.grads[rank, place])
        for buffer, place in stretches(self.held):
            buffer.value = self.buffers[rank, place].reshape(buffer.value.shape)

    def average_buffers(self) -> None:
        """Set the model's buffers to the mean over the workers, in memory of their own."""
        mean = self.buffers.mean(axis=0, dtype=np.float64).astype(self.buffers.dtype)
        for buffer, place in stretches(self.held):
            buffer.value = mean[place].reshape(buffer.value.shape).copy()

    def release(self) -> None:
        """Give the model weights of its own again, and the workers' mean buffers."""
        for parameter in self.parameters:
            parameter.value = parameter.value.copy()
            parameter.forget_grad()
        self.average_buffers()


def _shared(shape: tuple[int, ...], kind: np.dtype[np.generic]) -> Array:
    count = math.prod(shape)
    area = mmap.mmap(-1, max(kind.itemsize * count, 1))
    array: Array = np.frombuffer(area, kind, count).reshape(shape)
    return array
