"""Which vector instructions this CPU has, and how many threads to use of it."""

import os
import platform
from dataclasses import dataclass
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


@dataclass
class _Threads:
    count: int | None = None


_threads = _Threads()


def threads() -> int:
    """Threads for one operation: OMP_NUM_THREADS, else as many as this process has CPUs; 1 in a forked child.

    The OpenMP library's threads do not survive a fork, so a child that asked for them would wait for ever.
    """
    if _threads.count is None:
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        _threads.count = int(wanted) if wanted.isdigit() and int(wanted) else len(os.sched_getaffinity(0))
    return _threads.count


def _run_alone() -> None:
    _threads.count = 1


os.register_at_fork(after_in_child=_run_alone)
