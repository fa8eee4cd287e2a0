"""Models lowered once for a fixed input shape, then run many times: `plan = compile(model, (4, 3, 300, 300));
plan(x)`."""

from __future__ import annotations

from dlcore.inference.agreement import Agreement, agreement
from dlcore.inference.calibration import Calibration, load_calibration
from dlcore.inference.plan import Plan, calibrate, compile

__all__ = ["Agreement", "Calibration", "Plan", "agreement", "calibrate", "compile", "load_calibration"]
