"""Errors that callers may want to tell apart. Wrong arguments are plain ValueError and TypeError."""

from __future__ import annotations


class DlcoreError(Exception):
    """Any error of this package that is not a wrong argument."""


class ModelFormatError(DlcoreError, ValueError):
    """A saved model is damaged, too large, of an unknown version or names an unknown layer."""


class CheckpointError(DlcoreError, ValueError):
    """A training checkpoint is damaged or belongs to another model or method."""


class WorkerError(DlcoreError, RuntimeError):
    """A training worker process died or raised; the message holds its traceback or its exit code."""


class TrainingDivergedError(DlcoreError, ArithmeticError):
    """The loss, the weights or the learning rate became infinite, not a number, or so large that they mean nothing."""
