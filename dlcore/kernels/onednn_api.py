"""The part of oneDNN's C interface (version 3) that we need, by ctypes: descriptors, primitives, their execution.

Values and argument orders: oneDNN's dnnl.h and dnnl_types.h. One engine and one stream serve the process. Primitives
may be shared by threads: each execution holds one lock, which a forked child gets anew. Their scratch memory is one
array of ours: oneDNN's own belongs to the thread that made a primitive, and is missing where another one runs it.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.errors import DlcoreError
from dlcore.kernels import cpu
from dlcore.kernels.memory import empty
from dlcore.kernels.native_build import CARRIED, load_openmp
from dlcore.settings import settings

_LARGEST = {"portable": 0x1, "avx2": 0x7, "avx512": 0}
"""dnnl_cpu_isa_t of the largest allowed instruction set: SSE 4.1, AVX2, or whatever the CPU has."""
KEPT = 512
"""How many compiled primitives of each kind are kept."""

NAMES = ("libdnnl.so.3", "libdnnl.so")

# dnnl_prop_kind_t, dnnl_alg_kind_t, dnnl_normalization_flags_t, dnnl_query_t
FORWARD_TRAINING, FORWARD_INFERENCE, BACKWARD = 64, 96, 128
LEFT_TO_RIGHT, RIGHT_TO_LEFT = 1, 2  # of dnnl_rnn_direction_t
CONVOLUTION_DIRECT, ELTWISE_RELU, ELTWISE_CLIP, POOLING_MAX = 1, 0x20, 0x2E, 0x1FF
LRN_ACROSS_CHANNELS, SOFTMAX, LOG_SOFTMAX = 0xAFF, 0x30000, 0x30001
POOLING_AVERAGE_WITH_PADDING, POOLING_AVERAGE_WITHOUT_PADDING = 0x2FF, 0x3FF
USE_SCALE, USE_SHIFT, FUSE_RELU = 2, 4, 8
BINARY_ADD = 0x1FFF0
_IMPLEMENTATION = 8
_SCRATCHPAD_IS_OURS = 1  # dnnl_scratchpad_mode_user
_QUERIES = {
    "src": 129,
    "diff_src": 130,
    "weights": 131,
    "diff_weights": 132,
    "dst": 133,
    "diff_dst": 134,
    "workspace": 135,
    "scratchpad": 136,
}

# Execution arguments (DNNL_ARG_*)
SRC, DST, WEIGHTS, BIAS, MEAN, VARIANCE, SCALE, SHIFT, WORKSPACE = 1, 17, 33, 41, 49, 50, 51, 52, 64
SRC_ITER, SRC_ITER_C, DST_ITER, DST_ITER_C, WEIGHTS_ITER = 2, 3, 18, 19, 34
SCRATCHPAD = 80
RESIDUAL = 32768 | 2  # the second source of the first post-op
SCALES = 4096  # of the argument whose number is added
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS, DIFF_SCALE, DIFF_SHIFT = 129, 145, 161, 169, 255, 256

_ANY, _CPU, _IN_ORDER = 1, 1, 1
BF16, FLOAT, SIGNED, UNSIGNED = 2, 3, 5, 6  # dnnl_data_type_t
_STATUSES = (
    "success", "out of memory", "invalid arguments", "unimplemented", "last implementation reached", "runtime error",
)  # fmt: skip
_Dims = ctypes.c_int64 * 12
_Handle = ctypes.c_void_p
_Int, _Float, _Char, _Size = ctypes.c_int, ctypes.c_float, ctypes.c_char, ctypes.c_int64
_SIGNATURES: dict[str, list[type]] = {
    "dnnl_engine_create": [_Handle, _Int, ctypes.c_size_t],
    "dnnl_stream_create": [_Handle, _Handle, _Int],
    "dnnl_memory_desc_create_with_tag": [_Handle, _Int, _Dims, _Int, _Int],
    "dnnl_memory_desc_create_with_strides": [_Handle, _Int, _Dims, _Int, _Dims],
    "dnnl_memory_desc_clone": [_Handle, _Handle],
    "dnnl_memory_desc_destroy": [_Handle],
    "dnnl_memory_desc_equal": [_Handle, _Handle],
    "dnnl_memory_create": [_Handle, _Handle, _Handle, _Handle],
    "dnnl_memory_destroy": [_Handle],
    "dnnl_memory_set_data_handle": [_Handle, _Handle],
    "dnnl_post_ops_create": [_Handle],
    "dnnl_post_ops_destroy": [_Handle],
    "dnnl_post_ops_append_binary": [_Handle, _Int, _Handle],
    "dnnl_post_ops_append_eltwise": [_Handle, _Int, _Float, _Float],
    "dnnl_primitive_attr_create": [_Handle],
    "dnnl_primitive_attr_destroy": [_Handle],
    "dnnl_primitive_attr_set_post_ops": [_Handle, _Handle],
    "dnnl_primitive_attr_set_scratchpad_mode": [_Handle, _Int],
    "dnnl_primitive_attr_set_scales_mask": [_Handle, _Int, _Int],
    "dnnl_primitive_desc_destroy": [_Handle],
    "dnnl_primitive_desc_next_impl": [_Handle],
    "dnnl_primitive_desc_query": [_Handle, _Int, _Int, _Handle],
    "dnnl_primitive_create": [_Handle, _Handle],
    "dnnl_primitive_destroy": [_Handle],
    "dnnl_primitive_execute": [_Handle, _Handle, _Int, _Handle],
    "dnnl_sgemm": [_Char, _Char, _Size, _Size, _Size, _Float, _Handle, _Size, _Handle, _Size, _Float, _Handle, _Size],
}


class OneDnnError(DlcoreError, RuntimeError):
    """oneDNN is not installed, too old, or refused a call."""


def _open() -> ctypes.CDLL:
    """The library that is carried, or that of this Python environment, or else from the system's path."""
    folder = Path(sys.prefix, "lib")
    load_openmp()
    for name in (*(str(each / name) for each in (CARRIED, folder) for name in NAMES), *NAMES):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OneDnnError(f"got no {NAMES[0]} in {folder} nor on the library path; install the package onednn-cpu-gomp")


@cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        OneDnnError: it is missing or not of version 3.
    """
    loaded = _open()
    try:
        for name, arguments in _SIGNATURES.items():
            getattr(loaded, name).argtypes = arguments
    except AttributeError as error:
        raise OneDnnError(f"got a libdnnl of another version ({error}), expected oneDNN 3") from error
    loaded.dnnl_memory_desc_get_size.argtypes = [_Handle]
    loaded.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
    loaded.dnnl_primitive_desc_query_md.argtypes = [_Handle, _Int, _Int]
    loaded.dnnl_primitive_desc_query_md.restype = _Handle
    if largest := _LARGEST[settings().instruction_set]:
        check(loaded.dnnl_set_max_cpu_isa(largest), "set_max_cpu_isa")
    return loaded


def version() -> str:
    """The version of the library, such as '3.2.0'."""
    found = library().dnnl_version
    found.restype = ctypes.POINTER(_Int)
    return ".".join(map(str, found()[:3]))


def effective_isa() -> int:
    """dnnl_cpu_isa_t of the instructions in the library's code, within DLCORE_ISA and oneDNN's own settings."""
    return int(library().dnnl_get_effective_cpu_isa())


def check(status: int, call: str) -> None:
    """Raise OneDnnError unless `status` is success. call: names what was tried."""
    if status:
        text = _STATUSES[status] if status < len(_STATUSES) else str(status)
        raise OneDnnError(
            f"oneDNN {call}: got status '{text}', expected success; DLCORE_KERNELS=reference avoids oneDNN"
        )


def _created(function: str, *arguments: object) -> int:
    """The handle that `function` writes to its first argument."""
    cpu.ask_openmp()  # primitives are made for so many threads
    handle = _Handle()
    check(getattr(library(), function)(ctypes.byref(handle), *arguments), function)
    return int(handle.value or 0)


@cache
def engine() -> ctypes.c_void_p:
    """The CPU engine of this process."""
    return _Handle(_created("dnnl_engine_create", _CPU, 0))


@cache
def _stream() -> ctypes.c_void_p:
    return _Handle(_created("dnnl_stream_create", engine(), _IN_ORDER))


def address(x: NDArray[Any]) -> int:
    """Where the first element of `x` lies."""
    return int(x.ctypes.data)


class Layout:
    """Shape, kind of number (float32 unless said otherwise) and memory order of an array, as oneDNN describes it."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.size_bytes: int = library().dnnl_memory_desc_get_size(handle)

    def __del__(self) -> None:
        library().dnnl_memory_desc_destroy(self.handle)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and bool(library().dnnl_memory_desc_equal(self.handle, other.handle))

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def plain(cls, shape: Sequence[int], number: int = FLOAT) -> Layout:
        """A contiguous array."""
        return cls.ordered(shape, range(len(shape)), number)

    @classmethod
    def channels_last(cls, shape: Sequence[int], number: int = FLOAT) -> Layout:
        """(N, C, ...) with C innermost in memory."""
        return cls.ordered(shape, (0, *range(2, len(shape)), 1), number)

    @classmethod
    def any(cls, shape: Sequence[int], number: int = FLOAT) -> Layout:
        """Whatever order a primitive likes best."""
        return cls(_created("dnnl_memory_desc_create_with_tag", len(shape), _Dims(*shape), number, _ANY))

    @classmethod
    def ordered(cls, shape: Sequence[int], outer_to_inner: Sequence[int], number: int = FLOAT) -> Layout:
        """A contiguous array whose axes lie in memory as `outer_to_inner` says."""
        strides, step = [0] * len(shape), 1
        for axis in reversed(outer_to_inner):
            strides[axis], step = step, step * shape[axis]
        dims = (len(shape), _Dims(*shape), number, _Dims(*strides))
        return cls(_created("dnnl_memory_desc_create_with_strides", *dims))


class _Argument(ctypes.Structure):
    _fields_ = (("kind", _Int), ("memory", _Handle))


class Description:
    """A primitive descriptor: an operation whose shapes and memory orders are all decided."""

    def __init__(self, kind: str, *arguments: object) -> None:
        """The arguments of dnnl_<kind>_primitive_desc_create from the engine on; tuples of integers are dims."""
        *given, attributes = arguments
        self._kept = (*given, Attributes() if attributes is None else attributes)
        self.handle = _created(f"dnnl_{kind}_primitive_desc_create", *map(self._lowered, self._kept))

    @staticmethod
    def _lowered(argument: object) -> object:
        if isinstance(argument, tuple):
            return _Dims(*argument)
        if isinstance(argument, float):
            return _Float(argument)
        return _Handle(argument.handle) if isinstance(argument, (Layout, Description, Attributes)) else argument

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            library().dnnl_primitive_desc_destroy(self.handle)

    def layout(self, part: str, index: int = 0) -> Layout:
        """The memory order decided for `part` ('src', 'weights', 'workspace', ...); among several, that at `index`."""
        borrowed = library().dnnl_primitive_desc_query_md(self.handle, _QUERIES[part], index)
        return Layout(_created("dnnl_memory_desc_clone", borrowed))

    def choose_next(self) -> None:
        """Let oneDNN choose other code than now, the next best."""
        check(library().dnnl_primitive_desc_next_impl(self.handle), "choice of other code")

    def implementation(self) -> str:
        """oneDNN's name of the code that it chose, such as 'brgconv:avx512_core'."""
        name = ctypes.c_char_p()
        check(library().dnnl_primitive_desc_query(self.handle, _IMPLEMENTATION, 0, ctypes.byref(name)), "query")
        return (name.value or b"").decode()


class Attributes:
    """What is fused behind an operation, in this order: a sum with another array of the result's shape, which lies in
    memory as `residual` says; a ReLU, or the range from 0 to `ceiling`.

    scales: execution argument -> the dimensions, as bits, along which the numbers differ that it is multiplied with;
    those of the result divide it, last of all.
    """

    def __init__(
        self,
        relu: bool = False,
        ceiling: float = math.inf,
        residual: Layout | None = None,
        scales: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.handle = _created("dnnl_primitive_attr_create")
        for argument, dimensions in scales.items():
            status = library().dnnl_primitive_attr_set_scales_mask(self.handle, argument, dimensions)
            check(status, "set scales")
        after = _created("dnnl_post_ops_create")
        if residual is not None:
            check(library().dnnl_post_ops_append_binary(after, BINARY_ADD, residual.handle), "append sum")
        if relu:
            kind, end = (ELTWISE_RELU, 0.0) if ceiling == math.inf else (ELTWISE_CLIP, ceiling)
            check(library().dnnl_post_ops_append_eltwise(after, kind, 0.0, end), "append ReLU")
        check(library().dnnl_primitive_attr_set_post_ops(self.handle, after), "set post-ops")
        check(
            library().dnnl_primitive_attr_set_scratchpad_mode(self.handle, _SCRATCHPAD_IS_OURS), "set scratchpad mode"
        )
        library().dnnl_post_ops_destroy(after)

    def __del__(self) -> None:
        library().dnnl_primitive_attr_destroy(self.handle)


class Primitive:
    """A compiled operation. Call it with one address for each argument, in the order of `arguments`."""

    def __init__(self, description: Description, arguments: dict[int, Layout]) -> None:
        """`arguments`: execution argument -> its memory order."""
        self._execute, self._set = library().dnnl_primitive_execute, library().dnnl_memory_set_data_handle
        scratchpad = description.layout("scratchpad")
        self._scratch_bytes = scratchpad.size_bytes
        given = {**arguments, SCRATCHPAD: scratchpad} if self._scratch_bytes else arguments
        self._memories = [_created("dnnl_memory_create", layout.handle, engine(), None) for layout in given.values()]
        pairs = zip(given, self._memories, strict=True)
        self._arguments = (_Argument * len(given))(*(_Argument(kind, memory) for kind, memory in pairs))
        self._own = self._memories[: len(arguments)]
        self.handle = _created("dnnl_primitive_create", description.handle)
        self._call = (self.handle, _stream(), len(given), ctypes.addressof(self._arguments))

    def __del__(self) -> None:
        for memory in getattr(self, "_memories", ()):
            library().dnnl_memory_destroy(memory)
        if hasattr(self, "handle"):
            library().dnnl_primitive_destroy(self.handle)

    def __call__(self, *addresses: int) -> None:
        cpu.ask_openmp()
        with _turn.lock:
            for memory, address in zip(self._own, addresses, strict=True):
                self._set(memory, address)
            self._set_scratch()
            status = self._execute(*self._call)
        if status:
            check(status, "execution")

    def _set_scratch(self) -> Array | None:
        """The scratch memory, if it needs any, from now on; `_turn` is held."""
        if not self._scratch_bytes:
            return None
        scratch = _turn.scratch(self._scratch_bytes)
        self._set(self._memories[-1], address(scratch))
        return scratch

    def bind(self, arrays: Sequence[NDArray[Any]]) -> Callable[[], None]:
        """A call on these arrays for good, which it keeps; from then on the primitive belongs to it alone.

        Its thread has called `cpu.ask_openmp`: a plan does so once for all its calls.
        """
        for memory, array in zip(self._own, arrays, strict=True):
            self._set(memory, address(array))
        with _turn.lock:
            scratch = self._set_scratch()
        execute, call, kept = self._execute, self._call, (self, tuple(arrays), scratch)

        def run() -> None:
            with _turn.lock:
                status = execute(*call)
            if status:
                check(status, f"execution on {len(kept[1])} arrays")

        return run


class _Turn:
    """The lock that executions take, new in a forked child, where another thread's hold would last for ever; and the
    memory that they may use while they hold it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._memory = empty((0,))

    def scratch(self, size_bytes: int) -> Array:
        """Memory of at least this size, of undefined content, until the lock is free."""
        if self._memory.nbytes < size_bytes:
            self._memory = empty((-(-size_bytes // 4),))
        return self._memory

    def renew(self) -> None:
        self.lock = threading.Lock()


_turn = _Turn()
os.register_at_fork(after_in_child=_turn.renew)
