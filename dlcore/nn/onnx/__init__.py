"""Operations of ONNX as layers."""
