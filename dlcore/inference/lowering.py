"""Lower a fused network to steps bound to memory, keeping track of what has been computed and where it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from dlcore.activity import Activity, Array, describe, leaves
from dlcore.inference import steps
from dlcore.inference.arena import Arena, Buffer
from dlcore.inference.forms import FP32, TYPES, Form, Stored
from dlcore.inference.precision import Storage
from dlcore.inference.trace import Layer, Network, Op, Value
from dlcore.inference.trace import leaves as ops_of
from dlcore.kernels import native
from dlcore.kernels.memory import channels_first, channels_to_end, empty, is_channels_last

Shapes: TypeAlias = "tuple[int, ...] | list[Shapes]"
"""The shape of an array, or the shapes of a table's entries."""
Rule: TypeAlias = "Callable[[Lowering, Any], steps.Operand]"


@dataclass
class Lowering:
    """The state of one lowering: what has been computed so far, and where it lies.

    values: operation -> its arrays, of logical shape (N, C, ...), or what holds its dynamic result. Images and volumes
    lie channels-last unless they are views; sequences lie as the layer that gives them likes it.
    dynamic: the operations whose results, or operands, have sizes that depend on data.
    flattened: operation -> (C, H, W) where its rows are in the order (H, W, C) instead of (C, H, W).
    forms: operation -> how its result is stored, where not as fp32. ends: operation -> the number of steps until it is
    computed.
    """

    network: Network
    threads: int
    rule_of: Callable[[Lowering, Op], Rule]
    storage: Storage
    arena: Arena = field(default_factory=Arena)
    program: list[steps.Step] = field(default_factory=list)
    values: dict[Op, steps.Operand] = field(default_factory=dict)
    flattened: dict[Op, tuple[int, ...]] = field(default_factory=dict)
    forms: dict[Op, Form] = field(default_factory=dict)
    ends: dict[Op, int] = field(default_factory=dict)
    _converted: dict[tuple[Op, Form], Stored] = field(default_factory=dict)
    _buffers: dict[Op, list[Buffer]] = field(default_factory=dict)
    _readers: dict[Op, int] = field(default_factory=dict)

    def run(self, input_shape: Shapes) -> None:
        """Lower every operation, in order, for an input of this shape or table of shapes."""
        self.users = self.network.users()
        self.dynamic = self.network.dynamic()
        self._readers = {op: len(users) for op, users in self.users.items()}
        for op in ops_of(self.network.output):
            self._readers[op] += 1
        self.values[self.network.input] = self._input(input_shape)
        for op in self.network.ops:
            self._lower(op)
            for source in op.sources:
                self._read(source)
        self._share_workspace()

    def _input(self, shape: Shapes) -> steps.Operand:
        if isinstance(shape, list):
            return [self._input(part) for part in shape]
        return self.new(self.network.input, shape)

    def _lower(self, op: Op) -> None:
        before = len(self.program)
        kind = type(op.module) if isinstance(op, Layer) else type(op)
        self.values[op] = self.rule_of(self, op)(self, op)
        shape = "dynamic" if op in self.dynamic else str(describe(steps.current(self.values[op])))
        for step in self.program[before:]:
            step.name, step.shape = kind.__name__, shape
        self.ends[op] = len(self.program)

    def _read(self, op: Op) -> None:
        self._readers[op] -= 1
        if not self._readers[op]:
            self._release(op)

    def _release(self, op: Op) -> None:
        for buffer in self._buffers.get(op, ()):
            buffer.results -= 1
            if not buffer.results:
                self.arena.give_back(buffer)

    def within(self, op: Op, parts: Sequence[Op]) -> Activity:
        """The result of `op` by lowering its parts, each of which only the next one reads."""
        for before, part in zip([None, *parts], parts, strict=False):
            self.values[part] = self.rule_of(self, part)(self, part)
            if before is not None:
                self._release(before)
        self._buffers[op] = self._buffers.pop(parts[-1])
        return steps.current(self.values[parts[-1]])

    def _share_workspace(self) -> None:
        convolutions = [step.run for step in self.program if isinstance(step.run, native.WinogradConvolution)]
        if convolutions:
            # Not from the arena: its free buffers are in use at other times.
            workspace = empty((max(step.workspace_size for step in convolutions),))
            for step in convolutions:
                step.use_workspace(workspace)

    def new(self, op: Op, shape: tuple[int, ...], is_image: bool | None = None) -> Array:
        """Memory for a result of `op`; channels-last if `is_image`, by default if it has four or five dimensions."""
        y: Array = self._reserved(op, shape, is_image, FP32)
        return y

    def _reserved(self, op: Op, shape: tuple[int, ...], is_image: bool | None, form: Form) -> Any:
        size, kind = int(np.prod(shape)), np.dtype(TYPES[form.number])
        buffer = self.arena.take(-(-size * kind.itemsize // 4))
        buffer.results += 1
        self._buffers.setdefault(op, []).append(buffer)
        flat = buffer.memory.view(kind)[:size]
        if not (len(shape) in (4, 5) if is_image is None else is_image):
            return flat.reshape(shape)
        n, c, *spatial = shape
        return channels_first(flat.reshape(n, *spatial, c))

    def result(self, op: Op, shape: tuple[int, ...], form: Form) -> Stored:
        """Memory for the result of `op`, which is stored as `form`."""
        if form != FP32:
            self.forms[op] = form
        y: Stored = self._reserved(op, shape, None, form)
        return y

    def stored(self, op: Op) -> tuple[Any, Form]:
        """The value of `op` as it is stored."""
        return self.values[op], self.forms.get(op, FP32)

    def passed(self, op: Op) -> tuple[Stored, Form]:
        """The single array that `op` takes, as it is stored if that is all the same to it, else in fp32."""
        source = op.sources[0] if op.sources else op
        form = self.forms.get(source, FP32)
        if form != FP32 and op.taken is source and self.storage.passes(op, form.precision):
            return self.values[source], form  # type: ignore[return-value]
        return self.array(op), FP32

    def in_form(self, op: Op, form: Form) -> Any:
        """The value of `op`, which is not dynamic, stored as `form`: itself, or a copy that each run makes once."""
        x, given = self.stored(op)
        if given == form:
            return x
        if FP32 not in (given, form):
            x, given = self.in_form(op, FP32), FP32
        if (op, form) not in self._converted:
            is_image = is_channels_last(x) if x.ndim == 3 else x.ndim in (4, 5)
            y = self._reserved(op, x.shape, is_image, form)
            if [each // x.itemsize for each in x.strides] != [each // y.itemsize for each in y.strides]:
                x = self._copied(op, x, is_image)
            self.program.append(steps.conversion(x, given, y, form))
            self._converted[op, form] = y
        return self._converted[op, form]

    def like(self, op: Op, result: Array) -> Array:
        """Memory for a result of `op` with the shape of `result`, in three dimensions also with its order."""
        return self.new(op, result.shape, is_channels_last(result) if result.ndim == 3 else None)

    def image(self, op: Op, x: Array) -> Array:
        """`x` (N, C, ...), which `op` takes, in channels-last memory: itself, or a copy that each run makes."""
        return x if channels_to_end(x).flags.c_contiguous else self._copied(op, x, True)

    def rows(self, op: Op, x: Array) -> Array:
        """`x`, which `op` takes, in row-major memory: itself, or a copy that each run makes."""
        return x if x.flags.c_contiguous else self._copied(op, x, False)

    def _copied(self, op: Op, x: Array, is_image: bool) -> Array:
        y: Array = self._reserved(op, x.shape, is_image, _form_of(x))
        self.program.append(steps.copy(x, y))
        return y

    def view(self, op: Op, result: Activity) -> Activity:
        """`result` lies in the memory of what `op` takes."""
        for source in op.sources:
            for buffer in self._buffers[source]:
                buffer.results += 1
                self._buffers.setdefault(op, []).append(buffer)
        return result

    def operand(self, value: Value) -> steps.Operand:
        """The input of an operation, in fp32."""
        if isinstance(value, list):
            return [self.operand(part) for part in value]
        found: steps.Operand = self.in_form(value, FP32) if value in self.forms else self.values[value]
        return found

    def taken(self, op: Op) -> Activity:
        """The arrays that `op` takes; it is not dynamic."""
        return steps.current(self.operand(op.taken))

    def arrays(self, op: Op) -> list[Array]:
        """The arrays that `op` takes, those of tables in order."""
        return list(leaves(self.taken(op)))

    def array(self, op: Op) -> Array:
        """The single array that `op` takes.

        Raises:
            ValueError: it takes a table.
        """
        if not isinstance(found := self.taken(op), np.ndarray):
            raise ValueError(f"plan: got {describe(found)} as the input of {type(op).__name__}, expected one array")
        return found


def _form_of(x: Stored) -> Form:
    """A form with the type of `x`."""
    return Form(next(number for number, kind in TYPES.items() if kind == x.dtype.type))
