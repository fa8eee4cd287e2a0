"""The library of the native kernels: its functions' types, loading it, and the instructions it uses.

It is built at first use (see `native_build`); if that fails, `is_available()` is False and other backends serve.
"""

from __future__ import annotations

import ctypes
import logging
from functools import cache

from dlcore.kernels.native_build import NativeUnavailableError, build, load_openmp
from dlcore.settings import INSTRUCTION_SETS, settings

logger = logging.getLogger(__name__)

_Int, _Pointer, _Float = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "dlcore_isa": (_Int, []),
    "dlcore_limit_isa": (_Int, [_Int]),
    "dlcore_multiply_adds": (_Int, [_Int]),
    "dlcore_winograd_weights_size": (_Int, [_Int, _Int]),
    "dlcore_winograd_workspace_size": (_Int, [_Pointer]),
    "dlcore_winograd_prepare": (None, [_Pointer, _Pointer, _Int, _Int]),
    "dlcore_winograd_forward": (None, [_Pointer, _Pointer]),
    "dlcore_winograd_gradient_workspace_size": (_Int, [_Pointer]),
    "dlcore_winograd_weight_gradient": (None, [_Pointer, _Pointer, _Pointer]),
    "dlcore_lanes": (_Int, []),
    "dlcore_separable_workspace_size": (_Int, [_Pointer]),
    "dlcore_separable_forward": (None, [_Pointer, _Pointer]),
    "dlcore_lookup": (_Int, [_Pointer, _Int, _Int, _Pointer, _Int, _Int, _Pointer, _Int]),
    "dlcore_lstm_workspace_size": (_Int, [_Pointer]),
    "dlcore_lstm_forward": (None, [_Pointer, _Pointer]),
    "dlcore_depthwise_gradient": (None, [_Pointer, _Pointer, _Pointer, _Pointer]),
    "dlcore_nms": (_Int, [_Pointer, _Pointer, _Int, _Float, _Pointer]),
    "dlcore_sgd": (None, [_Pointer] * 4),
    "dlcore_adam": (None, [_Pointer] * 5),
    "dlcore_rmsprop": (None, [_Pointer] * 4),
    "dlcore_draws_below": (_Int, [_Pointer, _Int, ctypes.c_uint64, _Int, _Pointer]),
    "dlcore_masked": (None, [_Pointer, _Pointer, _Float, _Pointer, _Int, _Int]),
    "dlcore_relu": (None, [_Pointer, _Pointer, _Int, _Int]),
    "dlcore_relu_backward": (None, [_Pointer, _Pointer, _Pointer, _Int, _Int]),
    "dlcore_softmax": (None, [_Pointer, _Pointer, _Pointer, _Int]),
    "dlcore_softmax_backward": (None, [_Pointer, _Pointer, _Pointer, _Pointer, _Int]),
    "dlcore_layer_norm": (None, [*[_Pointer] * 4, _Float, *[_Pointer] * 3]),
    "dlcore_layer_norm_backward": (None, [*[_Pointer] * 8, _Int]),
    "dlcore_lrn": (None, [_Pointer] * 4),
    "dlcore_lrn_backward": (None, [_Pointer] * 5),
    "dlcore_add_rows": (None, [_Pointer, _Pointer, _Int, _Pointer, _Pointer]),
    "dlcore_hamming": (None, [_Pointer, _Pointer, _Pointer, _Int, _Int, _Int]),
    "dlcore_hamming_scratch": (_Int, [_Int]),
    "dlcore_hamming_top_k": (None, [_Pointer, _Int, _Int, _Pointer, _Int, _Int, _Pointer, _Pointer]),
    "dlcore_hamming_within": (
        _Int,
        [_Pointer, _Int, _Pointer, _Int, _Int, _Int, _Pointer, _Pointer, _Int, _Pointer],
    ),
    "dlcore_hamming_in_buckets": (_Int, [_Pointer, _Pointer, _Pointer, _Int, _Pointer]),
}


@cache
def library() -> ctypes.CDLL:
    """The loaded library, built if need be.

    Raises:
        NativeUnavailableError: it cannot be built or loaded.
    """
    try:
        load_openmp()
        loaded = ctypes.CDLL(str(build()))
    except OSError as error:
        raise NativeUnavailableError(f"cannot load the native kernels: {error}") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    loaded.dlcore_limit_isa(INSTRUCTION_SETS.index(settings().instruction_set))
    return loaded


@cache
def is_available() -> bool:
    """Whether the library can be used here; the reason is logged once if not."""
    try:
        library()
    except NativeUnavailableError as error:
        logger.warning("native kernels are off: %s", error)
        return False
    return True


def instruction_set() -> str:
    """The one in use: "avx512", "avx2" or "portable"."""
    return INSTRUCTION_SETS[library().dlcore_isa()]


def limit_instruction_set(name: str) -> str:
    """Use `name`, or the best below it that this CPU has, and return which; for tests. Prepared weights become
    invalid."""
    return INSTRUCTION_SETS[library().dlcore_limit_isa(INSTRUCTION_SETS.index(name))]
