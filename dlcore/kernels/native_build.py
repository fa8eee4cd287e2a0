"""Compile the native kernels once per machine and source version, into a cache folder.

This is safe with many processes at once: one compiles under a file lock, and the library appears by an atomic rename.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlcore.errors import DlcoreError
from dlcore.settings import settings

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parent / "native"
CARRIED = Path(__file__).parent / "carried"
"""The folder of libraries that an archive of dlcore brings along (`dlcore.spark.archive`); elsewhere there is none."""
OPENMP = "libgomp.so.1"
TIMEOUT_S = 300
_COMMON = ("-O3", "-std=gnu++17", "-fPIC", "-fopenmp", "-ffp-contract=fast")
_EXACT = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")  # rounds as numpy does, on every CPU
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-mtune=znver3")
# Flags per file: only these files may hold instructions that not every x86-64 has; entry.cpp chooses among them.
FLAGS: dict[str, tuple[str, ...]] = {
    "entry.cpp": (),
    "lookup.cpp": (),
    "nms.cpp": (),
    "hamming_best.cpp": (),
    "hamming_portable.cpp": (),
    "hamming_avx512.cpp": (*_AVX512, "-mavx512vpopcntdq"),
    "hamming_scan_portable.cpp": (),
    "hamming_scan_avx2.cpp": ("-mavx2", "-mfma", "-mtune=znver3"),
    "hamming_scan_avx512.cpp": (*_AVX512, "-mavx512vpopcntdq"),
    "peak_avx2.cpp": ("-mavx2", "-mfma"),
    "peak_avx512.cpp": _AVX512,
    "depthwise_avx2.cpp": ("-mavx2", "-mfma"),
    "depthwise_avx512.cpp": _AVX512,
    "recurrence_avx2.cpp": ("-mavx2", "-mfma"),
    "recurrence_avx512.cpp": _AVX512,
    "separable_avx2.cpp": ("-mavx2", "-mfma"),
    "separable_avx512.cpp": _AVX512,
    "training.cpp": (),
    "training_portable.cpp": _EXACT,
    "training_avx2.cpp": ("-mavx2", "-mfma", *_EXACT),
    "training_avx512.cpp": (*_AVX512, *_EXACT),
    "winograd_avx2.cpp": ("-mavx2", "-mfma"),
    "winograd_avx512.cpp": _AVX512,
}


class NativeUnavailableError(DlcoreError, RuntimeError):
    """The native kernels cannot be built or loaded here; the other backends do their work."""


def compiler() -> str:
    """The C++ compiler: `CXX` from the environment, else g++.

    Raises:
        NativeUnavailableError: there is none.
    """
    name = os.environ.get("CXX", "g++")
    found = shutil.which(name)
    if found is None:
        raise NativeUnavailableError(f"got no C++ compiler {name!r}, expected one on PATH; install g++ or set CXX")
    return found


def library_path() -> Path:
    """Where the library of these sources, flags and processor family is carried, or else belongs."""
    digest = hashlib.sha256(f"{platform.machine()} {_COMMON} {FLAGS}".encode())
    for source in sorted(SOURCES.iterdir()):
        if source.suffix in (".cpp", ".h"):
            digest.update(source.name.encode() + source.read_bytes())
    name = f"libdlcore-{digest.hexdigest()[:16]}.so"
    return CARRIED / name if (CARRIED / name).exists() else settings().cache / "native" / name


def load_openmp() -> None:
    """Load the carried OpenMP, which carried libraries need, where the system has none."""
    if not (CARRIED / OPENMP).exists():
        return
    try:
        ctypes.CDLL(OPENMP)
    except OSError:
        ctypes.CDLL(str(CARRIED / OPENMP))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise NativeUnavailableError(f"{' '.join(command)}: not done after {TIMEOUT_S} s") from error
    if done.returncode:
        raise NativeUnavailableError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")


def _compile(target: Path) -> None:
    cxx = compiler()
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        objects = []
        for name, flags in FLAGS.items():
            objects.append(str(Path(folder, name).with_suffix(".o")))
            _run([cxx, *_COMMON, *flags, "-c", str(SOURCES / name), "-o", objects[-1]])
        linked = Path(folder, "linked.so")
        _run([cxx, "-shared", "-fopenmp", *objects, "-o", str(linked)])
        ctypes.CDLL(str(linked))
        os.replace(linked, target)


def build() -> Path:
    """The library's path; it is compiled (some seconds) unless it exists.

    Raises:
        NativeUnavailableError: no compiler, a compiler's error (quoted), or a cache folder that cannot be written.
    """
    target = library_path()
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_suffix(".lock")):
            if not target.exists():
                logger.info("compiling the native kernels into %s", target)
                _compile(target)
    except OSError as error:
        raise NativeUnavailableError(
            f"cannot build in {target.parent}: {error}; set DLCORE_CACHE to a folder of yours"
        ) from error
    return target
