"""Settings of the engine, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KERNEL_SETS = ("auto", "onednn", "mkl", "native", "reference")
INSTRUCTION_SETS = ("portable", "avx2", "avx512")
"""The instruction sets, from the smallest to the largest."""
LIMITS = ("max_model_bytes", "max_data_bytes", "max_image_pixels")


@dataclass(frozen=True)
class Settings:
    """The engine's settings; see `from_environment` for the variables."""

    kernels: str = "auto"
    cache: Path = Path("~/.cache/dlcore")
    max_model_bytes: int = 8 << 30
    max_data_bytes: int = 4 << 30
    max_image_pixels: int = 100_000_000
    instruction_set: str = INSTRUCTION_SETS[-1]
    threads: int | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        """Read `DLCORE_KERNELS` (one of KERNEL_SETS), `DLCORE_CACHE` (a folder) and the limits of what comes from
        files:
        `DLCORE_MAX_MODEL_BYTES`, `DLCORE_MAX_DATA_BYTES` (a data file's content), `DLCORE_MAX_IMAGE_PIXELS`.

        DLCORE_ISA: the largest of INSTRUCTION_SETS that oneDNN and the native kernels may use, so that machines of two
        kinds compute alike. DLCORE_THREADS: threads for one operation, in place of OMP_NUM_THREADS.

        Raises:
            ValueError: a variable has a value that does not exist.
        """
        kernels = os.environ.get("DLCORE_KERNELS", cls.kernels)
        if kernels not in KERNEL_SETS:
            raise ValueError(f"DLCORE_KERNELS: got {kernels!r}, expected one of {', '.join(KERNEL_SETS)}")
        cache_folder = Path(os.environ.get("DLCORE_CACHE", str(cls.cache))).expanduser()
        limits = {name: _number(f"DLCORE_{name.upper()}", getattr(cls, name)) for name in LIMITS}
        largest = os.environ.get("DLCORE_ISA", cls.instruction_set)
        if largest not in INSTRUCTION_SETS:
            raise ValueError(f"DLCORE_ISA: got {largest!r}, expected one of {', '.join(INSTRUCTION_SETS)}")
        threads = _number("DLCORE_THREADS", 0) if "DLCORE_THREADS" in os.environ else None
        if threads == 0:
            raise ValueError("DLCORE_THREADS: got '0', expected 1 or more")
        return cls(kernels, cache_folder, **limits, instruction_set=largest, threads=threads)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdigit():
        raise ValueError(f"{variable}: got {text!r}, expected a whole number")
    return int(text)


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings.from_environment()
