"""Writes one of our models as an ONNX file, so that the peers run the same weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dlcore.activity import leaves as arrays_of
from dlcore.inference.trace import Layer, Op, leaves, trace
from dlcore.nn.layer import (
    InferReshape,
    JoinTable,
    Linear,
    NormalizeScale,
    ReLU,
    SpatialConvolution,
    SpatialDilatedConvolution,
    SpatialMaxPooling,
    Transpose,
    View,
)
from dlcore.nn.module import Module

OPSET = 17


class _Writer:
    """The nodes and constants so far; every operation's result is called by its position."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.names: dict[Op, str] = {}

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, taken: list[str], **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, taken, [name], **attributes))
        return name


def _convolution(writer: _Writer, module: Any, taken: list[str]) -> str:
    (top, left), window = module.window.pad, module.window
    weights = [writer.constant(module.weight.value), writer.constant(module.bias.value)]
    options = {"strides": window.stride, "dilations": window.dilation, "group": window.groups}
    return writer.node("Conv", taken + weights, pads=[top, left, top, left], kernel_shape=window.kernel, **options)


def _max_pooling(writer: _Writer, module: Any, taken: list[str]) -> str:
    window, (top, left) = module.window, module.window.pad
    return writer.node(
        "MaxPool", taken, kernel_shape=window.kernel, strides=window.stride, pads=[top, left, top, left],
        ceil_mode=int(window.is_ceil),
    )  # fmt: skip


def _linear(writer: _Writer, module: Any, taken: list[str]) -> str:
    weights = [writer.constant(module.weight.value), writer.constant(module.bias.value)]
    return writer.node("Gemm", taken + weights, transB=1)


def _normalize_scale(writer: _Writer, module: Any, taken: list[str]) -> str:
    norm = writer.node("ReduceL2", taken, axes=[1], keepdims=1)
    return writer.node("Mul", [writer.node("Div", [*taken, norm]), writer.constant(module.weight.value)])


def _transpose(writer: _Writer, module: Any, taken: list[str]) -> str:
    order = list(range(4))
    for first, second in module.permutations:
        order[first - 1], order[second - 1] = order[second - 1], order[first - 1]
    return writer.node("Transpose", taken, perm=order)


def _infer_reshape(writer: _Writer, module: Any, taken: list[str]) -> str:
    return writer.node("Reshape", [*taken, writer.constant(np.array([0, *module.size], np.int64))])


RULES: dict[type, Callable[[_Writer, Any, list[str]], str]] = {
    SpatialConvolution: _convolution,
    SpatialDilatedConvolution: _convolution,
    SpatialMaxPooling: _max_pooling,
    Linear: _linear,
    ReLU: lambda writer, module, taken: writer.node("Relu", taken),
    View: lambda writer, module, taken: writer.node("Flatten", taken),
    NormalizeScale: _normalize_scale,
    Transpose: _transpose,
    InferReshape: _infer_reshape,
    JoinTable: lambda writer, module, taken: writer.node("Concat", taken, axis=1),
}


def write_onnx(model: Module, shape: tuple[int, ...], path: Path) -> None:
    """Write `model`, for inputs of `shape`, to `path`.

    Raises:
        KeyError: a layer that no rule writes.
    """
    network, writer = trace(model), _Writer()
    writer.names[network.input] = "x"
    for op in network.ops:
        if not isinstance(op, Layer):
            raise TypeError(f"got {op}, expected layers only")
        writer.names[op] = RULES[type(op.module)](writer, op.module, [writer.names[source] for source in op.sources])
    outputs = [writer.names[op] for op in leaves(network.output)]
    ranks = [leaf.ndim for leaf in arrays_of(model.forward(np.zeros((1, *shape[1:]), np.float32)))]
    described = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)
        for name, rank in zip(outputs, ranks, strict=True)
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(writer.nodes, "model", given, described, writer.constants)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    file.ir_version = 8
    onnx.save(file, str(path))
