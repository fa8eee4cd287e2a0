"""The vector instructions of this CPU, and how many of its threads to use."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dlcore.settings import INSTRUCTION_SETS, settings

_AVX512 = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"})
_AVX2 = frozenset({"avx2", "fma"})
_OPENMP = "libgomp.so.1"
_PAUSE_HARD = 2  # omp_pause_hard of omp.h


@cache
def flags() -> frozenset[str]:
    """The feature flags that Linux reports for the first CPU; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), frozenset())


def model() -> str:
    """The CPU's name for itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def instruction_set() -> str:
    """'avx512' (with BW, DQ and VL), 'avx2' (with FMA), or the name of the architecture; at most what DLCORE_ISA
    allows.

    Part of what makes results bit-identical: libraries choose their code by it.
    """
    allowed = INSTRUCTION_SETS.index(settings().instruction_set)
    if allowed >= INSTRUCTION_SETS.index("avx512") and flags() >= _AVX512:
        return "avx512"
    return "avx2" if allowed >= INSTRUCTION_SETS.index("avx2") and flags() >= _AVX2 else platform.machine()


@cache
def vendor() -> str:
    """The CPU's maker, such as 'AuthenticAMD'; empty except on Linux on x86."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def has_tiles() -> bool:
    """Whether the CPU multiplies tiles (AMX), and Linux says so; oneDNN asks for the permission itself."""
    return instruction_set() == "avx512" and flags() >= {"amx_tile", "amx_bf16", "amx_int8"}


def is_fast_in_bf16() -> bool:
    """Whether products of bf16 take less time than those of fp32: with tiles, or on AMD's CPUs.

    Intel's cores without tiles have one unit for them but two for fp32: measured, convolutions take 1.1 to 1.6 times as
    long.
    """
    return has_tiles() or (instruction_set() == "avx512" and "avx512_bf16" in flags() and vendor() == "AuthenticAMD")


def multiplies_bytes() -> bool:
    """Whether sums of products of eight bits go straight into 32 bits (VNNI); two go into sixteen bits elsewhere, which
    overflow."""
    return instruction_set() == "avx512" and "avx512_vnni" in flags()


@dataclass
class _Threads:
    count: int | None = None
    is_forked: bool = False


class _Asked(threading.local):
    number: int | None = None


_threads, _asked = _Threads(), _Asked()


def threads() -> int:
    """Threads for one operation: DLCORE_THREADS, else OMP_NUM_THREADS, else the CPUs of this process; 1 in a forked
    child."""
    if _threads.count is None:
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        given = int(wanted) if wanted.isdigit() and int(wanted) else len(os.sched_getaffinity(0))
        _threads.count = settings().threads or given
    return _threads.count


def ask_openmp() -> None:
    """Let OpenMP use `threads()` threads for the calling thread, if it does not already: it keeps a number for each
    thread."""
    if _asked.number != threads():
        if settings().threads or _threads.is_forked:
            ctypes.CDLL(_OPENMP).omp_set_num_threads(threads())
        _asked.number = threads()


def _end_openmp_threads() -> None:
    """Let libgomp end its threads, if it is loaded; the next operation starts them anew.

    They do not survive a fork: a child would wait forever for them in anything made for several threads, such as a
        plan.
    """
    try:
        ctypes.CDLL(_OPENMP, mode=os.RTLD_NOLOAD).omp_pause_resource_all(_PAUSE_HARD)
    except (OSError, AttributeError):
        return


def _run_alone() -> None:
    _threads.count, _threads.is_forked = 1, True


os.register_at_fork(before=_end_openmp_threads, after_in_child=_run_alone)
