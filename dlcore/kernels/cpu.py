"""Which vector instructions this CPU has."""

import platform
from functools import cache
from pathlib import Path

_AVX512 = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"})
_AVX2 = frozenset({"avx2", "fma"})


@cache
def flags() -> frozenset[str]:
    """The feature flags that Linux reports for the first CPU; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), frozenset())


def instruction_set() -> str:
    """'avx512' (with BW, DQ and VL), 'avx2' (with FMA), or the name of the architecture.

    Part of what makes results bit-identical: libraries choose their code by it.
    """
    if flags() >= _AVX512:
        return "avx512"
    return "avx2" if flags() >= _AVX2 else platform.machine()
