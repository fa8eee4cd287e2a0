"""A table of what a plan does and how long each step takes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from dlcore.inference.steps import Step

_WIDTHS = (24, 26, 44, 12, 10, 9)
_TEXTS = 4


def explained(program: Sequence[Step], seconds: Sequence[Sequence[float]]) -> str:
    """The table of `program`, each step with the median of its `seconds`, one list a run."""
    medians = [median(times) for times in zip(*seconds, strict=True)]
    rows = [("step", "result", "kernel", "precision", "ms", "GFLOP/s")]
    rows += [
        (step.name, step.shape, step.kernel, step.precision, *_measured(step.work, s))
        for step, s in zip(program, medians, strict=True)
    ]
    rows.append(("whole plan", "", "", "", *_measured(sum(step.work for step in program), sum(medians))))
    return "\n".join(_line(row) for row in rows)


def _measured(work: float, seconds: float) -> tuple[str, str]:
    return f"{seconds * 1e3:.3f}", f"{work / seconds / 1e9:.0f}" if work and seconds else ""


def _line(row: Sequence[str]) -> str:
    texts, numbers = row[:_TEXTS], row[_TEXTS:]
    left = [text.ljust(width) for text, width in zip(texts, _WIDTHS, strict=False)]
    right = [number.rjust(width) for number, width in zip(numbers, _WIDTHS[_TEXTS:], strict=True)]
    return " ".join([*left, *right]).rstrip()
