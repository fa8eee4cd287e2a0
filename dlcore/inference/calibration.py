"""Calibration: in which range the results of a model lie for samples, from which an int8 plan takes its scales."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array, leaves
from dlcore.errors import ModelFormatError
from dlcore.inference import steps
from dlcore.inference.forms import Form, integers
from dlcore.inference.fuse import Weighted
from dlcore.inference.lowering import Lowering
from dlcore.inference.ranges import METHODS, Observed, chosen
from dlcore.inference.trace import Layer, Network, Op

FORMAT = "dlcore calibration 1"
_MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Calibration:
    """The ranges of a model's results, in the order in which they are computed: its input, then (name, low, high) of
    each.

    Results whose range no plan asks for have one from 0 to 0. It holds for any batch size, and for the weights that it
    was made with.
    """

    method: str
    samples: int
    ranges: tuple[tuple[str, float, float], ...]

    def integers(self, network: Network) -> dict[Op, Form]:
        """Each result of `network` in eight bits.

        Raises:
            ValueError: it is another model's.
        """
        ops = [network.input, *network.ops]
        names, expected = [name for name, _, _ in self.ranges], [_name(op) for op in ops]
        if names != expected:
            other = next((pair for pair in zip(names, expected, strict=False) if pair[0] != pair[1]), None)
            raise ValueError(
                f"compile: got a calibration of {len(names)} results for a model of {len(expected)}"
                f"{f', {other[0]!r} in place of {other[1]!r}' if other else ''}; calibrate this model anew"
            )
        found = {}
        for op, (_, low, high) in zip(ops, self.ranges, strict=True):
            is_signed = op is network.input or (
                isinstance(op, Weighted) and not op.relu
            )  # also where no sample says so
            found[op] = integers(min(low, -high) if is_signed else low, high)
        return found

    def save(self, path: str | Path) -> None:
        """Write it to `path`, as JSON."""
        found = {"format": FORMAT, "method": self.method, "samples": self.samples, "ranges": self.ranges}
        Path(path).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", "utf-8")


def load_calibration(path: str | Path) -> Calibration:
    """The calibration that `Calibration.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFormatError: it is damaged, too large, or something else.
    """
    source = Path(path)
    if source.stat().st_size > _MAX_BYTES:
        raise ModelFormatError(
            f"{source}: got {source.stat().st_size} bytes, expected a calibration of at most {_MAX_BYTES}"
        )
    try:
        return calibration_of(json.loads(source.read_text("utf-8")))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{source}: got {error}, expected what Calibration.save wrote") from error


def calibration_of(found: Any) -> Calibration:
    """A calibration from its JSON.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("ranges"), list):
        raise ValueError("another kind of file")
    method, samples = found.get("method"), found.get("samples")
    if not isinstance(method, str) or method not in METHODS or type(samples) is not int or samples < 1:
        raise ValueError(f"the method {method!r:.80} with {samples!r:.80} samples")
    ranges = []
    for each in found["ranges"]:
        is_range = isinstance(each, list) and [type(part) for part in each] == [str, float, float]
        if not is_range or not (-math.inf < each[1] <= each[2] < math.inf):
            raise ValueError(f"the range {each!r:.80}")
        ranges.append((each[0], each[1], each[2]))
    return Calibration(method, samples, tuple(ranges))


def _name(op: Op) -> str:
    if isinstance(op, Weighted):
        return op.label
    return op.module.label() if isinstance(op, Layer) else type(op).__name__


def calibrated(lowering: Lowering, samples: list[Array], method: str) -> Calibration:
    """What `plan.calibrate` gives; lowering: of one sample, in fp32, of a network fused for int8.

    samples: for each array of the input, any number of rows.
    """
    if method not in METHODS:
        raise ValueError(f"calibrate: got method {method!r}, expected one of {', '.join(METHODS)}")
    counts = {len(rows) for rows in samples}
    if len(counts) != 1 or not (count := counts.pop()):
        raise ValueError(f"calibrate: got {sorted(counts)} rows, expected at least one, as many in each array")
    watched = {op: Observed() for op in _watched(lowering.network)}
    _observe(lowering, samples, watched, Observed.widen)
    if method != "min_max":
        _observe(lowering, samples, watched, Observed.count)
    ops = [lowering.network.input, *lowering.network.ops]
    found = {op: chosen(observed, method) for op, observed in watched.items()}
    return Calibration(method, count, tuple((_name(op), *found.get(op, (0.0, 0.0))) for op in ops))


def _watched(network: Network) -> Iterator[Op]:
    """The inputs and outputs of convolutions and products."""
    for op in network.ops:
        if isinstance(op, Weighted):
            yield from (*op.sources, op)


def _observe(
    lowering: Lowering, samples: list[Array], watched: Mapping[Op, Observed], see: Callable[[Observed, Array], None]
) -> None:
    """Run all samples, one after the other, and show each result before its memory is used again."""
    given = list(leaves(steps.current(lowering.values[lowering.network.input])))
    for row in range(len(samples[0])):
        for target, rows in zip(given, samples, strict=True):
            np.copyto(target, rows[row : row + 1])
        start = 0
        for op in [lowering.network.input, *lowering.network.ops]:
            end = lowering.ends.get(op, 0)
            for step in lowering.program[start:end]:
                step.run()
            start = end
            if op in watched:
                for leaf in leaves(steps.current(lowering.values[op])):
                    see(watched[op], leaf)
