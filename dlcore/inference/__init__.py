"""Models lowered once for a fixed input shape, then run many times: `plan = compile(model, (4, 3, 300, 300)); plan(x)`."""

from __future__ import annotations

from dlcore.inference.plan import Plan, compile

__all__ = ["Plan", "compile"]
