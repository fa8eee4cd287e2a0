"""Classifiers of texts, whose words come as vectors: convolutions, or a recurrent network's last step."""

from __future__ import annotations

from collections.abc import Callable

from dlcore.nn.container import Sequential
from dlcore.nn.layer import (
    GRU,
    LSTM,
    Linear,
    LogSoftMax,
    Recurrent,
    ReLU,
    Reshape,
    Select,
    SpatialConvolution,
    SpatialMaxPooling,
    Unsqueeze,
)

_SIZE = 128
"""What a text is encoded in."""


def text_classifier(
    class_num: int, encoder: str = "cnn", embedding_dim: int = 50, sequence_len: int = 50, p: float = 0.0
) -> Sequential:
    """Texts -> log-probabilities (N, class_num). To train: ClassNLLCriterion.

    encoder: "cnn" takes the words' vectors as columns, (N, embedding_dim, sequence_len), as in BigDL; "lstm" and "gru"
    take them as rows, (N, T, embedding_dim), T as it comes. Where both sizes are equal, rows given to "cnn" are not
    noticed.
    p: the dropout of the recurrent ones.
    Source: BigDL's textclassifier.

    Raises:
        ValueError: another encoder, or a sequence too short for two convolutions and a pooling.
    """
    if encoder not in _ENCODERS:
        raise ValueError(f"text_classifier: got encoder {encoder!r}, expected one of {sorted(_ENCODERS)}")
    model = _ENCODERS[encoder](embedding_dim, sequence_len, p)
    return model.add(Linear(_SIZE, 100)).add(Linear(100, class_num)).add(LogSoftMax())


def _convolutional(embedding_dim: int, sequence_len: int, p: float) -> Sequential:
    pooled = (sequence_len - 4) // 5 - 4
    if pooled < 1:
        raise ValueError(
            f"text_classifier: got sequence_len={sequence_len}, expected at least 29 for the encoder 'cnn'"
        )
    model = Sequential().add(Unsqueeze(2, 2))
    model.add(SpatialConvolution(embedding_dim, _SIZE, 5, 1)).add(ReLU()).add(SpatialMaxPooling(5, 1, 5, 1))
    model.add(SpatialConvolution(_SIZE, _SIZE, 5, 1)).add(ReLU()).add(SpatialMaxPooling(pooled, 1, pooled, 1))
    return model.add(Reshape([_SIZE]))


def _recurrent(kind: type[LSTM] | type[GRU]) -> Callable[[int, int, float], Sequential]:
    def build(embedding_dim: int, sequence_len: int, p: float) -> Sequential:
        return Sequential().add(Recurrent().add(kind(embedding_dim, _SIZE, p))).add(Select(2, -1))

    return build


_ENCODERS: dict[str, Callable[[int, int, float], Sequential]] = {
    "cnn": _convolutional,
    "lstm": _recurrent(LSTM),
    "gru": _recurrent(GRU),
}
