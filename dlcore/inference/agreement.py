"""How far the results of one plan are from another's, such as int8 from fp32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore.activity import Array, leaves
from dlcore.inference.plan import Plan


@dataclass(frozen=True)
class Agreement:
    """The agreement of one array of the results.

    largest_error, mean_error: of a value, as shares of the largest size of a value. cosine: between both, rows
    averaged.
    same_choice: the share of rows whose largest value is in the same place.
    """

    largest_error: float
    mean_error: float
    cosine: float
    same_choice: float


def agreement(exact: Plan, plan: Plan, samples: Any) -> list[Agreement]:
    """How far `plan` is from `exact` on `samples`, (N, ...) or a list of such arrays: for each array of the results.

    Example:
        >>> from dlcore.inference import calibrate, compile
        >>> from dlcore.nn.layer import Linear
        >>> x, model = np.eye(8, dtype=np.float32), Linear(8, 4)
        >>> small = compile(model, x.shape, "int8", calibration=calibrate(model, x))
        >>> agreement(compile(model, x.shape), small, x)[0].cosine > 0.999
        True
    """
    pairs = zip(leaves(exact.predict(samples)), leaves(plan.predict(samples)), strict=True)
    return [_agreement(wanted.reshape(len(wanted), -1), got.reshape(len(got), -1)) for wanted, got in pairs]


def _agreement(wanted: Array, got: Array) -> Agreement:
    errors, largest = np.abs(wanted - got), max(float(np.abs(wanted).max()), 1e-30)
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
    cosines = (wanted * got).sum(axis=1) / np.maximum(lengths, 1e-30)
    same = wanted.argmax(axis=1) == got.argmax(axis=1)
    return Agreement(
        float(errors.max()) / largest, float(errors.mean()) / largest, float(cosines.mean()), float(same.mean())
    )
