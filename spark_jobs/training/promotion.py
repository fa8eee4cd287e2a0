"""What both trainings share: where a model is promoted to, what its training cost, and the command that repeats it."""

from __future__ import annotations

import resource
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any


def local_folder(uri: str) -> Path:
    """The folder of a `file://` URI.

    Raises:
        ValueError: the URI is of another kind.
    """
    scheme, _, path = uri.rpartition("://")
    if scheme not in ("", "file"):
        raise ValueError(
            f"got models at {uri!r}, expected file://; train with PIPELINE_MODELS=file:///folder, then bring the "
            f"version from there: "
            "python -m spark_jobs.promote_model NAME --source file:///folder/NAME"
        )
    return Path(path)


def cpu_seconds() -> float:
    """User and system seconds of this process and its finished workers."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def command_of(stage: str, options: Any) -> str:
    """The command line that repeats a training; it names only the options that differ from their defaults."""
    usual = asdict(type(options)())
    changed = {name: value for name, value in asdict(options).items() if value != usual[name]}
    flags = "".join(f" {_flag(name.replace('_', '-'), value)}" for name, value in changed.items())
    return f"python -m spark_jobs.{stage} --run manual --attempt 1{flags}"


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"
