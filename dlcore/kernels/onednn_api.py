"""What of oneDNN's C interface (version 3) the backend needs, by ctypes: descriptors, primitives, their execution.

Values and argument orders: oneDNN's dnnl.h and dnnl_types.h. One engine and one stream serve the process. Primitives may be
shared by threads: each execution holds one lock, which a forked child gets anew. A forked child runs single-threaded, for
libgomp's pool of threads does not survive a fork.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dlcore.errors import DlcoreError

KEPT = 512
"""Compiled primitives kept of each kind."""

NAMES = ("libdnnl.so.3", "libdnnl.so")

# dnnl_prop_kind_t, dnnl_alg_kind_t, dnnl_normalization_flags_t, dnnl_query_t
FORWARD_TRAINING, FORWARD_INFERENCE, BACKWARD = 64, 96, 128
CONVOLUTION_DIRECT, ELTWISE_RELU, POOLING_MAX = 1, 0x20, 0x1FF
POOLING_AVERAGE_WITH_PADDING, POOLING_AVERAGE_WITHOUT_PADDING = 0x2FF, 0x3FF
USE_SCALE, USE_SHIFT, FUSE_RELU = 2, 4, 8
_QUERIES = {
    "src": 129,
    "diff_src": 130,
    "weights": 131,
    "diff_weights": 132,
    "dst": 133,
    "diff_dst": 134,
    "workspace": 135,
}

# Execution arguments (DNNL_ARG_*)
SRC, DST, WEIGHTS, BIAS, MEAN, VARIANCE, SCALE, SHIFT, WORKSPACE = 1, 17, 33, 41, 49, 50, 51, 52, 64
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS, DIFF_SCALE, DIFF_SHIFT = 129, 145, 161, 169, 255, 256

_FLOAT, _ANY, _CPU, _IN_ORDER = 3, 1, 1, 1
_STATUSES = (
    "success",
    "out of memory",
    "invalid arguments",
    "unimplemented",
    "last implementation reached",
    "runtime error",
)
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
    "dnnl_post_ops_append_eltwise": [_Handle, _Int, _Float, _Float],
    "dnnl_primitive_attr_create": [_Handle],
    "dnnl_primitive_attr_destroy": [_Handle],
    "dnnl_primitive_attr_set_post_ops": [_Handle, _Handle],
    "dnnl_primitive_desc_destroy": [_Handle],
    "dnnl_primitive_create": [_Handle, _Handle],
    "dnnl_primitive_destroy": [_Handle],
    "dnnl_primitive_execute": [_Handle, _Handle, _Int, _Handle],
    "dnnl_sgemm": [_Char, _Char, _Size, _Size, _Size, _Float, _Handle, _Size, _Handle, _Size, _Float, _Handle, _Size],
}


class OneDnnError(DlcoreError, RuntimeError):
    """oneDNN is not installed, too old, or refused a call."""


def _open() -> ctypes.CDLL:
    """The library from the folder of this Python environment, else from where the system looks."""
    folder = Path(sys.prefix, "lib")
    for name in (*(str(folder / name) for name in NAMES), *NAMES):
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
    return loaded


def check(status: int, call: str) -> None:
    """Raises OneDnnError unless `status` is success; `call` names what was tried."""
    if status:
        text = _STATUSES[status] if status < len(_STATUSES) else str(status)
        raise OneDnnError(
            f"oneDNN {call}: got status '{text}', expected success; DLCORE_KERNELS=reference avoids oneDNN"
        )


def _created(function: str, *arguments: object) -> int:
    """The handle that `function` writes to its first argument."""
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
    """Shape and memory order of a float32 array, as oneDNN describes it."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.size_bytes: int = library().dnnl_memory_desc_get_size(handle)

    def __del__(self) -> None:
        library().dnnl_memory_desc_destroy(self.handle)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and bool(library().dnnl_memory_desc_equal(self.handle, other.handle))

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def plain(cls, shape: Sequence[int]) -> "Layout":
        """A contiguous array."""
        return cls._ordered(shape, range(len(shape)))

    @classmethod
    def channels_last(cls, shape: Sequence[int]) -> "Layout":
        """(N, C, ...) with C innermost in memory."""
        return cls._ordered(shape, (0, *range(2, len(shape)), 1))

    @classmethod
    def any(cls, shape: Sequence[int]) -> "Layout":
        """Whatever order a primitive likes best."""
        return cls(_created("dnnl_memory_desc_create_with_tag", len(shape), _Dims(*shape), _FLOAT, _ANY))

    @classmethod
    def _ordered(cls, shape: Sequence[int], outer_to_inner: Sequence[int]) -> "Layout":
        strides, step = [0] * len(shape), 1
        for axis in reversed(outer_to_inner):
            strides[axis], step = step, step * shape[axis]
        dims = (len(shape), _Dims(*shape), _FLOAT, _Dims(*strides))
        return cls(_created("dnnl_memory_desc_create_with_strides", *dims))


class _Argument(ctypes.Structure):
    _fields_ = (("kind", _Int), ("memory", _Handle))


class Description:
    """A primitive descriptor: an operation with shapes and memory orders all decided."""

    def __init__(self, kind: str, *arguments: object) -> None:
        """The arguments of dnnl_<kind>_primitive_desc_create from the engine on; tuples of integers are dims."""
        self._kept = arguments
        self.handle = _created(f"dnnl_{kind}_primitive_desc_create", *map(self._lowered, arguments))

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

    def layout(self, part: str) -> Layout:
        """The memory order that was decided for `part`: 'src', 'weights', 'diff_weights', 'workspace', ..."""
        borrowed = library().dnnl_primitive_desc_query_md(self.handle, _QUERIES[part], 0)
        return Layout(_created("dnnl_memory_desc_clone", borrowed))


class Attributes:
    """What is fused behind an operation: a ReLU or nothing."""

    def __init__(self, relu: bool) -> None:
        self.handle = _created("dnnl_primitive_attr_create")
        if relu:
            after = _created("dnnl_post_ops_create")
            check(library().dnnl_post_ops_append_eltwise(after, ELTWISE_RELU, 0.0, 0.0), "append ReLU")
            check(library().dnnl_primitive_attr_set_post_ops(self.handle, after), "set post-ops")
            library().dnnl_post_ops_destroy(after)

    def __del__(self) -> None:
        library().dnnl_primitive_attr_destroy(self.handle)


class Primitive:
    """A compiled operation. Call it with one address for each argument, in the order of `arguments`."""

    def __init__(self, description: Description, arguments: dict[int, Layout]) -> None:
        """`arguments`: execution argument -> its memory order."""
        self._execute, self._set = library().dnnl_primitive_execute, library().dnnl_memory_set_data_handle
        self._memories = [
            _created("dnnl_memory_create", layout.handle, engine(), None) for layout in arguments.values()
        ]
        pairs = zip(arguments, self._memories, strict=True)
        self._arguments = (_Argument * len(arguments))(*(_Argument(kind, memory) for kind, memory in pairs))
        self.handle = _created("dnnl_primitive_create", description.handle)
        self._call = (self.handle, _stream(), len(arguments), ctypes.addressof(self._arguments))

    def __del__(self) -> None:
        for memory in getattr(self, "_memories", ()):
            library().dnnl_memory_destroy(memory)
        if hasattr(self, "handle"):
            library().dnnl_primitive_destroy(self.handle)

    def __call__(self, *addresses: int) -> None:
        with _turn.lock:
            for memory, address in zip(self._memories, addresses, strict=True):
                self._set(memory, address)
            status = self._execute(*self._call)
        if status:
            check(status, "execution")


class _Turn:
    """The lock that executions take; new in a forked child, where another thread's hold would last for ever."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def renew(self) -> None:
        self.lock = threading.Lock()
        if library.cache_info().currsize:
            set_threads(1)


def set_threads(count: int) -> None:
    """Run the coming primitives of this process on `count` threads; OMP_NUM_THREADS says how many otherwise."""
    ctypes.CDLL("libgomp.so.1").omp_set_num_threads(count)


_turn = _Turn()
os.register_at_fork(after_in_child=_turn.renew)
