"""Record what ONNX Runtime gives for LSTM and GRU, by hand: `.venv-bench/bin/python
tests/golden/onnx_recurrent/record.py`.

`recorded.npz` holds, for each case, under `<case>/`: X (T, N, I), W, R, B, initial_h, initial_c (zeros where they are
not there) and the outputs Y (T, directions, N, H), Y_h, Y_c, all as the ONNX operators LSTM and GRU have them: gates in
the order i, o, f, c and z, r, h; B is the input's biases, then those of the output before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

STEPS, RECORDS, INPUTS, HIDDEN = 7, 3, 5, 4
CASES = {"lstm": ("LSTM", "forward"), "gru": ("GRU", "forward"), "both_ways": ("LSTM", "bidirectional")}


def record(kind: str, direction: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs, weights and outputs of one operator."""
    ways, gates = (2 if direction == "bidirectional" else 1), (4 if kind == "LSTM" else 3)
    shapes = {
        "X": (STEPS, RECORDS, INPUTS),
        "W": (ways, gates * HIDDEN, INPUTS),
        "R": (ways, gates * HIDDEN, HIDDEN),
        "B": (ways, 2 * gates * HIDDEN),
    }
    outputs = ["Y", "Y_h", "Y_c"][: gates - 1]
    if ways == 1:
        shapes |= dict.fromkeys(["initial_h", "initial_c"][: gates - 2], (ways, RECORDS, HIDDEN))
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    names = ["X", "W", "R", "B", "", *list(arrays)[4:]]
    node = helper.make_node(kind, names, outputs, hidden_size=HIDDEN, direction=direction)
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * (4 if name == "Y" else 3))
            for name in outputs
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return arrays | dict(zip(outputs, session.run(outputs, arrays), strict=True))


if __name__ == "__main__":
    draws = np.random.default_rng(17)
    found = {f"{case}/{name}": array for case, given in CASES.items() for name, array in record(*given, draws).items()}
    np.savez_compressed(Path(__file__).parent / "recorded.npz", **found)
