"""Record what ONNX Runtime gives for the published EfficientNet-Lite0, by hand.

    .venv-bench/bin/python -m tests.golden.efficientnet_lite0.record FILE.pth

The ONNX graph is written here from the published table of stages, with batch normalisation and TensorFlow's padding as
operators of their own: of dlcore only the reader of the weights' file takes part. `recorded.npz` holds `logits` (2,
1000) of `pictures()`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from dlcore.interop.torch_files import read_torch_state

STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6))
"""(blocks, kernel, stride of the first, widened by)."""
SIDE = 224


def pictures() -> np.ndarray[Any, Any]:
    """Two pictures (2, SIDE, SIDE, 3) of bytes: waves of other lengths in each channel."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    waves = [[np.sin(2 * np.pi * (a * x + b * y) * f) for a, b in ((1, 0), (0, 1), (1, 1))] for f in (3, 11)]
    return np.round(127.5 + 127.5 * np.moveaxis(np.array(waves), 1, -1)).astype(np.uint8)


class Drawing:
    """An ONNX graph under construction, from a state dictionary."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state, self.nodes, self.weights = state, [], {}

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def weight(self, name: str) -> str:
        self.weights[name] = numpy_helper.from_array(np.array(self.state[name]), name)
        return name

    def conv(self, x: str, conv: str, norm: str, stride: int = 1, group: int = 1, is_clamped: bool = True) -> str:
        y = self.add(
            "Conv", [x, self.weight(f"{conv}.weight")], auto_pad="SAME_UPPER", strides=[stride] * 2, group=group
        )
        parts = [self.weight(f"{norm}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        y = self.add("BatchNormalization", [y, *parts], epsilon=1e-3)
        return self.add("Clip", [y, "zero", "six"]) if is_clamped else y


def draw(state: dict[str, Any]) -> onnx.ModelProto:
    """The network as an ONNX model: `x` (N, 3, SIDE, SIDE) -> logits (N, 1000)."""
    d, i = Drawing(state), 0
    y = d.conv("x", "_conv_stem", "_bn0", 2)
    for count, _, first, times in STAGES:
        for j in range(count):
            before, b, wide = y, f"_blocks.{i}.", state[f"_blocks.{i}._depthwise_conv.weight"].shape[0]
            y = d.conv(y, b + "_expand_conv", b + "_bn0") if times > 1 else y
            y = d.conv(y, b + "_depthwise_conv", b + "_bn1", first if j == 0 else 1, wide)
            y = d.conv(y, b + "_project_conv", b + "_bn2", is_clamped=False)
            y, i = d.add("Add", [y, before]) if j else y, i + 1
    y = d.add("Flatten", [d.add("GlobalAveragePool", [d.conv(y, "_conv_head", "_bn1")])])
    y = d.add("Gemm", [y, d.weight("_fc.weight"), d.weight("_fc.bias")], transB=1)
    limits = [numpy_helper.from_array(np.float32(value), name) for name, value in (("zero", 0), ("six", 6))]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, SIDE, SIDE])
    made = helper.make_tensor_value_info(y, TensorProto.FLOAT, [None, 1000])
    graph = helper.make_graph(d.nodes, "lite0", [given], [made], [*d.weights.values(), *limits])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


if __name__ == "__main__":
    model = draw(dict(read_torch_state(Path(sys.argv[1]))))
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    scaled = ((pictures().astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
    np.savez_compressed(Path(__file__).parent / "recorded.npz", logits=session.run(None, {"x": scaled})[0])
