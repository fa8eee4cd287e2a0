"""Plan: a model prepared for one input shape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Activity, Array, describe, leaves, map_leaves, require_exact
from dlcore.inference import steps
from dlcore.inference.calibration import Calibration, calibrated
from dlcore.inference.explanation import explained
from dlcore.inference.fuse import Weighted, fuse
from dlcore.inference.lowering import Lowering, Shapes
from dlcore.inference.precision import PRECISIONS, PRODUCT_WEIGHTS, Precision, Storage
from dlcore.inference.rules import rule_for
from dlcore.inference.trace import Layer, Network, trace
from dlcore.inference.trace import leaves as ops_of
from dlcore.kernels import cpu
from dlcore.kernels.prepared import shelf
from dlcore.nn.module import Module
from dlcore.nn.shapes import shape_of, undisturbed

MOST_THREADS = 1024
"""The most threads that the native kernels use."""


@dataclass(frozen=True)
class Recipe:
    """The arguments of `compile` besides the model. shape: that of the input, as lists or tuples."""

    shape: Any
    precision: str
    product_weights: str
    force: bool
    calibration: Calibration | None
    threads: int


class Plan:
    """A model lowered to a flat list of steps on fixed memory. Not for several threads at once.

    Equal inputs give bit-identical results on one machine, whatever the rest of the batch holds.

    model: what was compiled, in evaluation mode, sharing its weights. input_shape: the shape of the input, or a list of
    shapes for a table. recipe: how it was compiled. prepared: the weights that are packed for kernels. steps: the names
    of what is computed.
    work: the floating-point operations of its convolutions and products, as if all were computed directly.
    """

    def __init__(self, lowering: Lowering, model: Module, recipe: Recipe, prepared: Sequence[Array]) -> None:
        network = lowering.network
        self.model, self.recipe, self.prepared = model, recipe, list(prepared)
        self._x = steps.current(lowering.values[network.input])
        self._output = lowering.operand(network.output)
        self._program = lowering.program
        self._steps = [step.run for step in lowering.program]
        self._is_dynamic = not lowering.dynamic.isdisjoint(ops_of(network.output))
        self._keepers = [op.module for op in network.ops if isinstance(op, Layer) and op.module.keeps_states()]
        self.input_shape: Any = shape_of(self._x)
        self.steps: list[str] = [step.name for step in lowering.program]
        self.work: float = sum(step.work for step in lowering.program)
        self.buffer_bytes: int = lowering.arena.size * 4

    def __call__(self, x: Any) -> Activity:
        """The model's output for a batch, or a table, of exactly the planned shape, as new arrays.

        Raises:
            ValueError: `x` has another shape, or holds integers that float32 does not.
        """
        self._take(x)
        for step in self._steps:
            step()
        return map_leaves(lambda leaf: leaf.copy(order="K"), steps.current(self._output))

    def _take(self, x: Any) -> None:
        """Copy the input in, before the steps run in this thread."""
        if (given := describe(x)) != describe(self._x):
            raise ValueError(
                f"plan: got input {given}, expected {describe(self._x)}; predict(x) takes any number of rows"
            )
        for array, part in zip(leaves(self._x), _arrays(x), strict=True):
            require_exact(part)
            steps.copy(part, array).run()
        cpu.ask_openmp()

    def predict(self, x: Any) -> Activity:
        """The output for any number of rows: batch by batch, the last one filled up with ones that are cut off again.

        Raises:
            ValueError: the rows have another shape than the planned ones, the arrays of a table different numbers of
            rows, or
                the output has no row for each row of the input; or rows for a plan of none.
        """
        inputs = _arrays(x) if _rows(x) == _rows(self._x) else []
        size, counts = len(next(leaves(self._x))), {len(array) for array in inputs}
        if len(counts) != 1:
            raise ValueError(f"plan: got {describe(x)}, expected rows as of {describe(self._x)}, as many in each array")
        self._require_rows(size)
        count = counts.pop()
        if count and not size:
            raise ValueError(
                f"plan: got {count} rows for a plan of none, expected none; compile(model, (1, ...)) takes any number"
            )
        return _stack([self._padded(inputs, start, size) for start in range(0, max(count, 1), max(size, 1))])

    def explain(self, x: Any = None, repeats: int = 5) -> str:
        """A table of the steps: what each gives, which kernel computes it, its median milliseconds in `repeats` runs,
        its GFLOP/s.

        x: the input to run on, as the plan takes it; ones unless given. GFLOP/s count convolutions as computed
        directly.

        Raises:
            ValueError: `x` is not what the plan takes, or there is no run.
        """
        if repeats < 1:
            raise ValueError(f"plan: got {repeats} repeats, expected at least one")
        given = map_leaves(lambda leaf: np.ones(leaf.shape, np.float32), self._x) if x is None else x
        return explained(self._program, [self._timed(given) for _ in range(repeats + 1)][1:])

    def _timed(self, x: Any) -> list[float]:
        """Seconds of each step in one run."""
        self._take(x)
        moments = [time.perf_counter()]
        for step in self._steps:
            step()
            moments.append(time.perf_counter())
        return [after - before for before, after in pairwise(moments)]

    def save(self, path: str | Path) -> Path:
        """Write it, with the weights as the model has them now, to a file that `dlcore.interop.plan_file.load_plan`
        maps, so that processes share them.

        Raises:
            ModelFormatError: a layer has an argument that cannot be written.
        """
        written: Path = import_module("dlcore.interop.plan_file").save_plan(self, path)
        return written

    def reset_states(self) -> Plan:
        """Forget the hidden states, which are the plan's own."""
        for module in self._keepers:
            module.reset_states()
        return self

    def require_rows(self) -> None:
        """Refuse a plan whose output has not a row for each row of the input.

        Raises:
            ValueError: it has not; `predict` cannot put batches together.
        """
        self._require_rows(len(next(leaves(self._x))))

    def _require_rows(self, size: int) -> None:
        batches = {len(array) if array.ndim else -1 for array in leaves(self._x)}
        if self._is_dynamic or batches != {size} or any(leaf.shape[:1] != (size,) for leaf in self._results()):
            raise ValueError(
                f"plan: got an output whose rows are not those of the input, expected {size} rows in each array; "
                "call the plan itself, with whole batches"
            )

    def _results(self) -> Iterator[Array]:
        return leaves(steps.current(self._output))

    def _padded(self, inputs: list[Array], start: int, size: int) -> Activity:
        given = [array[start : start + size] for array in inputs]
        count = len(given[0])
        if count < size:
            given = [np.concatenate([rows, np.ones((size - count, *rows.shape[1:]), rows.dtype)]) for rows in given]
        arrays = iter(given)
        y = self(map_leaves(lambda _: next(arrays), self._x))
        return y if count == size else map_leaves(lambda leaf: leaf[:count], y)


def _arrays(x: Any) -> list[Array]:
    if isinstance(x, (list, tuple)):
        return [array for part in x for array in _arrays(part)]
    return [np.asarray(x)]


def _rows(x: Any) -> Any:
    """The shapes of `x` without the number of rows, in the nesting of `x`; of what is no array itself, or has no rows,
    the name."""
    if isinstance(x, (list, tuple)):
        return [_rows(part) for part in x]
    return x.shape[1:] if isinstance(x, np.ndarray) and x.ndim else describe(x)


def _stack(results: list[Any]) -> Activity:
    first = results[0]
    if isinstance(first, list):
        return [_stack([result[i] for result in results]) for i in range(len(first))]
    return np.concatenate(results) if len(results) > 1 else first


def as_shapes(shape: Any) -> Shapes:
    """Tuples of sizes, in lists for tables; `shape` may spell either as a list or a tuple."""
    if not isinstance(shape, (list, tuple)):
        raise ValueError(f"compile: got {shape!r} in the input shape, expected (N, ...) or a list of such shapes")
    if all(isinstance(size, (int, np.integer)) for size in shape):
        return tuple(int(size) for size in shape)
    return [as_shapes(part) for part in shape]


def compile(
    model: Module,
    input_shape: Sequence[Any],
    precision: str = "fp32",
    threads: int | None = None,
    *,
    calibration: Calibration | None = None,
    product_weights: str = "fp32",
    force: bool = False,
) -> Plan:
    """Lower `model` for inputs of `input_shape` (N, ...), or, where the model takes a table, of a list of such shapes.

    Batch normalisation is folded into weights; bias, residual sums, ReLU and pooling are computed with their
    convolution; weights are packed or copied once, so that a later change of the model's weights has no effect; layers
    without a faster step run as they are, with the weights that they have then, in evaluation mode for good. The model
    is put into it too; its hidden states are where the plan's own begin. What a layer with `is_dynamic` gives, and what
    depends on it, is computed layer by layer, in whatever size it comes. Inputs may be arrays of integers, such as the
    places in a LookupTable.

    precision: "bf16" computes convolutions and linear layers in bf16 where that is faster on this CPU, adding up in
    fp32; "int8" computes them in whole numbers of eight bits, each plane of weights with a scale of its own, the
    results between them with those of `calibration` (see `calibrate`). All else stays fp32.
    product_weights: "bf16" stores the weights of linear layers so, in a plan that is fp32 otherwise. force: bf16
    wherever there is a kernel for it, faster or not.
    threads: for the native kernels; by default OMP_NUM_THREADS, else all CPUs; one in a forked process.

    Raises:
        ValueError: an unknown precision, int8 without a calibration or with another model's, layers of double, no
        number of threads,
            what is no shape, or an input shape the model refuses.

    Example:
        >>> from dlcore.nn.layer import Linear
        >>> compile(Linear(3, 2), (4, 3))(np.ones((4, 3), np.float32)).shape
        (4, 2)
        >>> from dlcore.nn.layer import CAddTable
        >>> compile(CAddTable(), [(4, 3), (4, 3)])([np.ones((4, 3)), np.ones((4, 3))]).sum()
        np.float32(24.0)
    """
    count = cpu.threads() if threads is None else threads
    return compiled(model, Recipe(as_shapes(input_shape), precision, product_weights, force, calibration, count))


def compiled(model: Module, recipe: Recipe, prepared: Sequence[Array] | None = None) -> Plan:
    """See `compile`; prepared: the packed weights of a plan that was compiled alike, used in place of packing them
    anew.

    Raises:
        PreparedMismatchError: they are another plan's.
    """
    _check(recipe)
    shapes = as_shapes(recipe.shape)
    rows = shapes[0] if shapes and isinstance(shapes[0], int) else 0
    wanted = Precision(recipe.precision, recipe.product_weights, recipe.force, rows)
    network, own = _fused(model, wanted.of)
    calibration = recipe.calibration if wanted.is_in_integers() else None
    given = {} if calibration is None else calibration.integers(network)
    with shelf(prepared) as found:
        lowering = _lowered(own, network, shapes, Storage(network, given), recipe.threads)
    return Plan(lowering, own, recipe, found.arrays)


def _check(recipe: Recipe) -> None:
    if recipe.precision not in PRECISIONS or recipe.product_weights not in PRODUCT_WEIGHTS:
        raise ValueError(
            f"compile: got precision {recipe.precision!r} and product_weights {recipe.product_weights!r}, expected "
            f"one of "
            f"{PRECISIONS} and of {PRODUCT_WEIGHTS}"
        )
    if type(recipe.threads) is not int or not 1 <= recipe.threads <= MOST_THREADS:
        raise ValueError(f"compile: got threads {recipe.threads!r}, expected a whole number from 1 to {MOST_THREADS}")
    if recipe.precision == "int8" and recipe.calibration is None:
        raise ValueError("compile: got int8 without a calibration; give calibration=calibrate(model, samples)")


def calibrate(model: Module | Plan, samples: Any, method: str = "percentile") -> Calibration:
    """The ranges in which the results of `model` (or of a plan's) lie for `samples`, for `compile(..., "int8",
    calibration=...)`.

    samples: (N, ...), or, where the model takes a table, a list of such arrays; a hundred rows like those of later use
    suffice.
    method: "min_max" stores the whole range, "percentile" 99.99 % of the values, "kl" what keeps most of their
    distribution.

    Raises:
        ValueError: an unknown method, no samples, or values that are no numbers.

    Example:
        >>> from dlcore.nn.layer import Linear
        >>> x, model = np.eye(3, dtype=np.float32), Linear(3, 2)
        >>> plan = compile(model, (3, 3), "int8", calibration=calibrate(model, x))
        >>> bool(np.abs(plan(x) - model.forward(x)).max() < 0.02)
        True
    """
    network, own = _fused(model.model if isinstance(model, Plan) else model, lambda op: "int8")
    for op in network.ops:
        if isinstance(op, Weighted):
            op.precision = "fp32"
    arrays = _arrays(samples)
    shapes = [(1, *array.shape[1:]) for array in arrays]
    one = shapes if isinstance(samples, (list, tuple)) else shapes[0]
    return calibrated(_lowered(own, network, one, Storage(network), cpu.threads()), arrays, method)  # type: ignore[arg-type]


def _fused(model: Module, precision_of: Callable[[Weighted], str]) -> tuple[Network, Module]:
    """The network of `model`, and the module of its own that it is traced from."""
    for path, part in model.named_modules():
        if part.bigdl_type == "double":
            raise ValueError(
                f"compile: got {part.label()} at {path!r} of double, expected float: plans compute in float32; call "
                f"forward, "
                "or cast(model, np.float32) first"
            )
    own = model.evaluate().sharing_weights()
    return fuse(trace(own), precision_of), own


def _lowered(own: Module, network: Network, shapes: Shapes, storage: Storage, threads: int) -> Lowering:
    lowering = Lowering(network, threads, rule_for, storage)
    with undisturbed(own):
        own.reset_states()
        lowering.run(shapes)
    return lowering
