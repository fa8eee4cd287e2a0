"""Settings of the engine, from the environment."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KERNEL_SETS = ("auto", "onednn", "mkl", "native", "reference")


@dataclass(frozen=True)
class Settings:
    """The engine's settings; see `from_environment` for the variables."""

    kernels: str = "auto"
    cache: Path = Path("~/.cache/dlcore")
    max_model_bytes: int = 8 << 30

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read `DLCORE_KERNELS` (one of KERNEL_SETS), `DLCORE_CACHE` (a folder), `DLCORE_MAX_MODEL_BYTES`.

        Raises:
            ValueError: a variable has a value that does not exist.
        """
        kernels = os.environ.get("DLCORE_KERNELS", cls.kernels)
        if kernels not in KERNEL_SETS:
            raise ValueError(f"DLCORE_KERNELS: got {kernels!r}, expected one of {', '.join(KERNEL_SETS)}")
        limit = os.environ.get("DLCORE_MAX_MODEL_BYTES", str(cls.max_model_bytes))
        if not limit.isdigit():
            raise ValueError(f"DLCORE_MAX_MODEL_BYTES: got {limit!r}, expected a number of bytes")
        cache_folder = Path(os.environ.get("DLCORE_CACHE", str(cls.cache))).expanduser()
        return cls(kernels, cache_folder, int(limit))


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings.from_environment()
