"""Matrix products by Intel's MKL, the BLAS that BigDL used; on AMD it is slower than oneDNN."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any

from dlcore.errors import DlcoreError
from dlcore.kernels import cpu
from dlcore.kernels.matrix_products import MatrixProducts, Operand

NAMES = ("libmkl_rt.so.3", "libmkl_rt.so.2")
_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112  # of cblas.h
_GNU_THREADS = 3  # MKL_THREADING_GNU of mkl_service.h
_Int, _Float, _Pointer = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
_SGEMM: list[Any] = [_Int] * 6 + [_Float, _Pointer, _Int, _Pointer, _Int, _Float, _Pointer, _Int]


class MklError(DlcoreError, RuntimeError):
    """MKL is not installed."""


@cache
def library() -> ctypes.CDLL:
    """The loaded library; it runs on the threads of GNU OpenMP, as oneDNN does.

    Raises:
        MklError: it is missing.
    """
    folder = Path(sys.prefix, "lib")
    for name in (*(str(folder / name) for name in NAMES), *NAMES):
        try:
            loaded = ctypes.CDLL(name)
        except OSError:
            continue
        loaded.MKL_Set_Threading_Layer(_GNU_THREADS)
        loaded.cblas_sgemm.argtypes, loaded.cblas_sgemm.restype = _SGEMM, None
        return loaded
    raise MklError(f"got no {NAMES[0]} in {folder} nor on the library path; install the package mkl")


def _sgemm(a: Operand, b: Operand, sizes: tuple[int, int, int], start: float, y: Operand) -> None:
    orders = (_TRANSPOSED if operand.is_transposed else _PLAIN for operand in (a, b))
    operands = (a.address, a.step, b.address, b.step)
    cpu.ask_openmp()
    library().cblas_sgemm(_ROW_MAJOR, *orders, *sizes, 1.0, *operands, start, y.address, y.step)


_products = MatrixProducts(_sgemm)
linear, linear_backward, matmul = _products.linear, _products.linear_backward, _products.matmul
