"""Writes one of our models as an ONNX file, so that the peers run the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dlcore.inference.trace import Fold, Layer, Op, Unfold, leaves, trace
from dlcore.nn.layer import (
    CAddTable,
    CMulTable,
    InferReshape,
    JoinTable,
    Linear,
    LogSoftMax,
    LookupTable,
    NormalizeScale,
    Recurrent,
    ReLU,
    ReLU6,
    Reshape,
    Select,
    SpatialAveragePooling,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialCrossMapLRN,
    SpatialDilatedConvolution,
    SpatialMaxPooling,
    Transpose,
    Unsqueeze,
    View,
)
from dlcore.nn.module import Module

OPSET = 17


class _Writer:
    """The nodes and constants so far; each operation has a name, and the shape that its result has for the given
    input."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.names: dict[Op, str] = {}
        self.values: dict[Op, np.ndarray] = {}

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, kind: str, taken: list[str], count: int = 1, **attributes: Any) -> str:
        """The name of the first of `count` results."""
        names = [f"n{len(self.nodes)}" + "_" * i for i in range(count)]
        self.nodes.append(helper.make_node(kind, taken, names, **attributes))
        return names[0]

    def reshape(self, name: str, shape: tuple[int, ...]) -> str:
        return self.node("Reshape", [name, self.constant(np.array(shape, np.int64))])


def _weights(writer: _Writer, module: Any) -> list[str]:
    biases = [] if module.bias is None else [writer.constant(module.bias.value)]
    return [writer.constant(module.weight.value), *biases]


def _convolution(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    window = module.window
    options = {"strides": window.stride, "dilations": window.dilation, "group": window.groups}
    if -1 in window.pad:
        options["auto_pad"] = "SAME_UPPER"
    else:
        options["pads"] = [*window.pad, *window.pad]
    return writer.node("Conv", taken + _weights(writer, module), kernel_shape=window.kernel, **options)


def _max_pooling(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    window, (top, left) = module.window, module.window.pad
    return writer.node(
        "MaxPool", taken, kernel_shape=window.kernel, strides=window.stride, pads=[top, left, top, left],
        ceil_mode=int(window.is_ceil),
    )  # fmt: skip


def _average_pooling(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    if module.global_pooling:
        return writer.node("GlobalAveragePool", taken)
    return writer.node(
        "AveragePool", taken, kernel_shape=(module.kh, module.kw), strides=(module.dh, module.dw),
        pads=[module.pad_h, module.pad_w] * 2, ceil_mode=int(module.ceil_mode),
        count_include_pad=int(module.count_include_pad),
    )  # fmt: skip


def _batch_normalization(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    held = (module.weight, module.bias, module.running_mean, module.running_var)
    constants = [writer.constant(each.value) for each in held]
    return writer.node("BatchNormalization", taken + constants, epsilon=module.eps)


def _lrn(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    return writer.node("LRN", taken, size=module.size, alpha=module.alpha, beta=module.beta, bias=module.k)


def _normalize_scale(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    norm = writer.node("ReduceL2", taken, axes=[1], keepdims=1)
    return writer.node("Mul", [writer.node("Div", [*taken, norm]), writer.constant(module.weight.value)])


def _transpose(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    order = list(range(y.ndim))
    for first, second in module.permutations:
        order[first - 1], order[second - 1] = order[second - 1], order[first - 1]
    return writer.node("Transpose", taken, perm=order)


def _select(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    position = module.index - 1 if module.index > 0 else module.index
    return writer.node("Gather", [*taken, writer.constant(np.array(position))], axis=module.dim - 1)


def _lookup(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    places = writer.node("Sub", [*taken, writer.constant(np.array(1))])
    return writer.node("Gather", [writer.constant(module.weight.value), places])


def _lstm(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    """Ours has the gates i, g, f, o; ONNX i, o, f, c, and a second bias."""
    cell = module.cell
    size = cell.hidden_size
    given = (cell.input.weight.value, cell.hidden.weight.value, cell.input.bias.value)
    w, u, b = (np.concatenate([np.split(each, 4)[gate] for gate in (0, 3, 2, 1)]) for each in given)
    constants = [writer.constant(each[None]) for each in (w, u, np.concatenate([b, np.zeros_like(b)]))]
    steps = writer.node("Transpose", taken, perm=[1, 0, 2])
    found = writer.reshape(writer.node("LSTM", [steps, *constants], hidden_size=size), (y.shape[1], y.shape[0], size))
    return writer.node("Transpose", [found], perm=[1, 0, 2])


def _reshape(writer: _Writer, module: Any, taken: list[str], y: np.ndarray) -> str:
    return writer.reshape(taken[0], y.shape)


def _plain(kind: str, **attributes: Any) -> Callable[..., str]:
    return lambda writer, module, taken, y: writer.node(kind, taken, **attributes)


RULES: dict[type, Callable[[_Writer, Any, list[str], np.ndarray], str]] = {
    SpatialConvolution: _convolution,
    SpatialDilatedConvolution: _convolution,
    SpatialMaxPooling: _max_pooling,
    SpatialAveragePooling: _average_pooling,
    SpatialBatchNormalization: _batch_normalization,
    SpatialCrossMapLRN: _lrn,
    Linear: lambda writer, module, taken, y: writer.node("Gemm", taken + _weights(writer, module), transB=1),
    ReLU: _plain("Relu"),
    ReLU6: lambda writer, module, taken, y: writer.node(
        "Clip", [*taken, writer.constant(np.float32(0)), writer.constant(np.float32(6))]
    ),
    LogSoftMax: _plain("LogSoftmax", axis=-1),
    CAddTable: _plain("Add"),
    CMulTable: _plain("Mul"),
    Select: _select,
    LookupTable: _lookup,
    Recurrent: _lstm,
    NormalizeScale: _normalize_scale,
    Transpose: _transpose,
    **dict.fromkeys((View, Reshape, InferReshape, Unsqueeze), _reshape),
    JoinTable: lambda writer, module, taken, y: writer.node("Concat", taken, axis=1),
}


def _write(writer: _Writer, op: Op) -> None:
    given = [writer.values[source] for source in op.sources]
    taken = [writer.names[source] for source in op.sources]
    if isinstance(op, Layer):
        y = op.module.apply(given if isinstance(op.taken, list) else given[0])[0]
        writer.names[op] = RULES[type(op.module)](writer, op.module, taken, y)
    elif isinstance(op, (Fold, Unfold)):
        shape = given[0].shape[2:] if isinstance(op, Fold) else (*given[1].shape[:2], *given[0].shape[1:])
        y = given[0].reshape((-1, *shape) if isinstance(op, Fold) else shape)
        writer.names[op] = writer.reshape(taken[0], y.shape)
    else:
        raise TypeError(f"got {op}, expected layers only")
    writer.values[op] = y


def write_onnx(model: Module, x: np.ndarray, path: Path) -> None:
    """Write `model`, for inputs of the shape and type of `x`, to `path`.

    Raises:
        KeyError: a layer that no rule writes.
    """
    network, writer = trace(model), _Writer()
    writer.names[network.input], writer.values[network.input] = "x", x
    for op in network.ops:
        _write(writer, op)
    outputs = list(leaves(network.output))
    described = [
        helper.make_tensor_value_info(writer.names[op], TensorProto.FLOAT, writer.values[op].shape) for op in outputs
    ]
    kind = TensorProto.INT64 if np.issubdtype(x.dtype, np.integer) else TensorProto.FLOAT
    given = [helper.make_tensor_value_info("x", kind, x.shape)]
    graph = helper.make_graph(writer.nodes, "model", given, described, writer.constants)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    file.ir_version = 8
    onnx.save(file, str(path))
