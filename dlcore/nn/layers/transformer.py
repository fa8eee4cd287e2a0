"""Transformers: stacks of attention and feed-forward networks over the words of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dlcore import kernels
from dlcore.activity import Array, Pullback, describe, zeros_like
from dlcore.nn.layers.attention import HIDDEN, Attention, FeedForwardNetwork, causal_bias, keeping
from dlcore.nn.layers.beam_search import SequenceBeamSearch, Words
from dlcore.nn.layers.dropout import Dropout
from dlcore.nn.layers.embedding import LookupTable
from dlcore.nn.layers.normalization import LayerNormalization
from dlcore.nn.layers.table import entries
from dlcore.nn.layout import unbroadcast
from dlcore.nn.module import Module
from dlcore.nn.shapes import blank
from dlcore.nn.weights import needed

__all__ = ["Transformer", "TransformerLayer"]

LONGEST_WAVE = 1e4

Inner: TypeAlias = Callable[[Array], tuple[Array, Callable[[Array], Sequence[Array]]]]
"""A function of one array whose pullback gives the gradients of that array and of whatever else it takes."""


def positions(length: int, channels: int, kind: DTypeLike = np.float32) -> Array:
    """(T, channels): sines, then cosines, of each place over wave lengths from 2 pi to 2 pi 10000 (Vaswani et al. 2017,
    3.5)."""
    count = channels // 2
    rates = np.exp(-np.arange(count) * np.log(LONGEST_WAVE) / max(count - 1, 1))
    angles = np.arange(length)[:, None] * rates
    encoded = np.concatenate([np.sin(angles), np.cos(angles), np.zeros((length, channels % 2))], axis=1)
    return encoded.astype(kind)


@dataclass(eq=False)
class TransformerLayer(Module):
    """One layer of a stack: x + f(norm(x)) with f self-attention, then (in a decoder) attention to a memory, then a
    feed-forward network.

    x: [(N, T, hidden_size), bias], in a decoder [(N, T, hidden_size), bias, memory (N, S, hidden_size), bias] -> (N, T,
    hidden_size).
    A bias broadcasts to (N, num_heads, T, T or S); 0 where a position is seen and -1e9 where it is hidden. The three
    dropouts are the shares that are kept in training, as in BigDL: of each f, of the attention's weights, of the ReLU's
    output.
    Source: BigDL's Transformer, a block of it; Vaswani et al. 2017, normalised first.
    """

    hidden_size: int
    num_heads: int
    filter_size: int
    postprocess_dropout: float
    attention_dropout: float
    relu_dropout: float
    is_decoder: bool = False
    self_attention: Attention = field(init=False, repr=False)
    encdec_attention: Attention | None = field(init=False, repr=False)
    ffn: FeedForwardNetwork = field(init=False, repr=False)
    norms: list[LayerNormalization] = field(init=False, repr=False)
    drop: Dropout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        attention = self.hidden_size, self.num_heads, self.attention_dropout
        self.self_attention = Attention(*attention)
        self.encdec_attention = Attention(*attention) if self.is_decoder else None
        self.ffn = FeedForwardNetwork(self.hidden_size, self.filter_size, self.relu_dropout)
        names = ("self_norm", "encdec_norm", "ffn_norm") if self.is_decoder else ("self_norm", "ffn_norm")
        self.norms = [LayerNormalization(self.hidden_size) for _ in names]
        for norm, name in zip(self.norms, names, strict=True):
            norm.set_name(name)
        self.drop = keeping(self.postprocess_dropout, "postprocess_dropout", self)

    def apply(self, x: list[Any]) -> tuple[Array, Pullback]:
        if len(entries(x, self)) != (4 if self.is_decoder else 2):
            wanted = "[x, bias, memory, bias]" if self.is_decoder else "[x, bias]"
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected {wanted}")
        y, *others = x
        pullbacks = []
        for norm, inner in zip(self.norms, self._inner(*others), strict=True):
            y, pullback = self._added(norm, y, inner)
            pullbacks.append(pullback)

        def pull(grad: Array) -> list[Array]:
            taken: list[Array] = []
            for pullback in reversed(pullbacks):
                grad, *found = pullback(grad)
                taken = [*found, *taken]
            return [grad, *taken]

        return y, pull

    def outline(self, x: list[Any]) -> Array:
        shape: Array = blank(x[0].shape)
        return shape

    def step(self, x: Array, past: list[Array], memory: Array, bias: Array) -> tuple[Array, list[Array]]:
        """The output of a decoder at one more place, `x` (N, 1, hidden_size), after others whose keys and values are
        `past`, [] at first; and those of all."""
        inner = self._inner(None, memory, bias)
        grown: list[Array] = []

        def after(unit: Array) -> tuple[Array, Any]:
            y, found = self.self_attention.after(unit, past)
            grown.extend(found)
            return y, None

        for norm, function in zip(self.norms, (after, *inner[1:]), strict=True):
            x, _ = self._added(norm, x, function)
        return x, grown

    def _inner(self, bias: Array | None, *memory: Array) -> list[Inner]:
        """What is added, in order."""

        def to_itself(unit: Array) -> tuple[Array, Any]:
            y, pullback = self.self_attention.between(unit, unit, bias)

            def pull(grad: Array) -> Sequence[Array]:
                first, second, scores = pullback(grad)
                return first + second, unbroadcast(scores, () if bias is None else bias.shape)

            return y, pull

        def to_memory(unit: Array) -> tuple[Array, Any]:
            y, pullback = self.encdec_attention.between(unit, *memory)  # type: ignore[union-attr]

            def pull(grad: Array) -> Sequence[Array]:
                first, second, scores = pullback(grad)
                return first, second, unbroadcast(scores, memory[1].shape)

            return y, pull

        def forward(unit: Array) -> tuple[Array, Any]:
            y, pullback = self.ffn.apply(unit)
            return y, lambda grad: [pullback(grad)]

        return [to_itself, to_memory, forward] if self.is_decoder else [to_itself, forward]

    def _added(self, norm: LayerNormalization, x: Array, inner: Inner) -> tuple[Array, Callable[[Array], list[Array]]]:
        """x + drop(inner(norm(x))), and the function to the gradients of x and of what else `inner` takes."""
        unit, pull_norm = norm.apply(x)
        y, pull_inner = inner(unit)
        added, pull_added = self.drop.apply(y)

        def pull(grad: Array) -> list[Array]:
            grad_unit, *others = pull_inner(pull_added(grad))
            return [grad + pull_norm(grad_unit), *others]

        return x + added, pull


@dataclass(eq=False)
class Transformer(Module):
    """A language model, or with transformer_type 'Translation' an encoder and a decoder.

    x: words (N, T), or for translation [source (N, S), target (N, T)] -> (N, T, hidden_size), or (N, T, vocab_size) if
    with_share_weights_linear. With beam_search it translates words (N, S): [words (N, decode_length), scores (N,)].
    Words are numbers from 1 to vocab_size. 0 and padding_value are padding: their vectors are zero, and in the source
    they are not seen (BigDL sees padding_value). The output at a position depends on the words before it, so it can be
    trained to predict the word there. with_share_weights_linear multiplies it by the words' own vectors, which gives
    the logits of the next word. The three dropouts are the shares that are kept in training, as in BigDL: of what each
    part of a layer adds, of the attention's weights, of the ReLU's output.
    Source: BigDL's Transformer, whose arguments after relu_dropout only Scala takes; Vaswani et al. 2017.

    Raises:
        ValueError: an unknown type, a beam search without a translation or shared weights, or an input that does not
        fit.

    Example:
        >>> model = Transformer(9, 8, 2, 16, 1, 1.0, 1.0, 1.0, with_share_weights_linear=True)
        >>> model.forward(np.array([[1, 2, 3, 0]])).shape
        (1, 4, 9)
    """

    vocab_size: int
    hidden_size: int
    num_heads: int
    filter_size: int
    num_hidden_layers: int
    postprocess_dropout: float
    attention_dropout: float
    relu_dropout: float
    padding_value: float = 0.0
    with_share_weights_linear: bool = False
    transformer_type: str = "LanguageModel"
    beam_search: SequenceBeamSearch | None = None
    embedding: LookupTable = field(init=False, repr=False)
    encoder: list[TransformerLayer] = field(init=False, repr=False)
    decoder: list[TransformerLayer] = field(init=False, repr=False)
    encoder_norm: LayerNormalization | None = field(init=False, repr=False)
    decoder_norm: LayerNormalization = field(init=False, repr=False)
    drop: Dropout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check()
        self.embedding = LookupTable(self.vocab_size, self.hidden_size, self.padding_value)
        self.embedding.weight.value[self._padding] = 0
        self.encoder = self._stack("encoder") if self.translates else []
        self.encoder_norm = LayerNormalization(self.hidden_size) if self.translates else None
        self.decoder = self._stack("decoder")
        self.decoder_norm = LayerNormalization(self.hidden_size)
        self.drop = keeping(self.postprocess_dropout, "postprocess_dropout", self)

    @property
    def translates(self) -> bool:
        """Whether there are a source and a target."""
        return self.transformer_type == "Translation"

    @property
    def _padding(self) -> slice:
        """The row of the word that fills up, if there is one."""
        number = int(self.padding_value)
        return slice(max(number - 1, 0), number)

    def _check(self) -> None:
        if self.transformer_type not in ("LanguageModel", "Translation"):
            raise ValueError(
                f"{self.label()}: got transformer_type {self.transformer_type!r}, expected 'LanguageModel' or "
                f"'Translation'"
            )
        if self.beam_search is not None and not (self.translates and self.with_share_weights_linear):
            raise ValueError(
                f"{self.label()}: got a beam_search, expected transformer_type 'Translation' and "
                f"with_share_weights_linear=True "
                "with it: it needs the logits of words"
            )

    def _stack(self, name: str) -> list[TransformerLayer]:
        sizes = self.hidden_size, self.num_heads, self.filter_size
        kept = self.postprocess_dropout, self.attention_dropout, self.relu_dropout
        is_decoder = name == "decoder" and self.translates
        layers = [TransformerLayer(*sizes, *kept, is_decoder) for _ in range(self.num_hidden_layers)]
        return [layer.set_name(f"{name}_{number}") for number, layer in enumerate(layers)]

    def apply(self, x: Any) -> tuple[Any, Pullback]:
        if self.translates and not isinstance(x, list):
            return self._translated(x), lambda grad: zeros_like(x)
        if isinstance(x, list) != self.translates or (self.translates and len(x) != 2):
            wanted = "[source, target]" if self.translates else "words (N, T)"
            raise ValueError(f"{self.label()}: got input {describe(x)}, expected {wanted}")
        y, pull_y = self._between(*x) if self.translates else self._decoded(x)

        def pull(grad: Array) -> Any:
            pull_y(grad)
            return zeros_like(x)

        return y, pull

    def outline(self, x: Any) -> Any:
        if self.translates and not isinstance(x, list):
            search = self._search()
            return [blank((len(x), search.decode_length)), blank((len(x),))]
        words = x[1] if isinstance(x, list) else x
        return blank((*words.shape, self.vocab_size if self.with_share_weights_linear else self.hidden_size))

    def _between(self, source: Array, target: Array) -> tuple[Array, Pullback]:
        memory, pull_memory = self._encoded(source)
        y, pull_y = self._decoded(target, memory, self._padding_bias(source))
        return y, lambda grad: pull_memory(pull_y(grad))

    def _encoded(self, source: Array) -> tuple[Array, Pullback]:
        vectors, pull_vectors = self._embedded(source)
        placed, pull_placed = self._placed(vectors)
        memory, pull_memory = _through(self.encoder, self.encoder_norm, placed, self._padding_bias(source))
        return memory, lambda grad: pull_vectors(pull_placed(pull_memory(grad)[0]))

    def _decoded(self, words: Array, *memory: Array) -> tuple[Array, Pullback]:
        """What the decoder gives at each place of the words before it; the pullback gives the gradient of the memory,
        if any."""
        vectors, pull_vectors = self._embedded(words)
        before = np.concatenate([np.zeros_like(vectors[:, :1]), vectors[:, :-1]], axis=1)
        placed, pull_placed = self._placed(before)
        bias = causal_bias(words.shape[1], words.shape[1])
        hidden, pull_hidden = _through(self.decoder, self.decoder_norm, placed, bias, *memory)
        y, pull_y = self._logits(hidden) if self.with_share_weights_linear else (hidden, lambda grad: grad)

        def pull(grad: Array) -> Array | None:
            grad_placed, grad_memory = pull_hidden(pull_y(grad))
            grad_before = pull_placed(grad_placed)
            pull_vectors(np.concatenate([grad_before[:, 1:], np.zeros_like(grad_before[:, :1])], axis=1))
            return grad_memory

        return y, pull

    def _placed(self, vectors: Array) -> tuple[Array, Pullback]:
        placed: tuple[Array, Pullback] = self.drop.apply(
            vectors + positions(vectors.shape[1], self.hidden_size, vectors.dtype)
        )
        return placed

    def _is_padding(self, words: Array | Words) -> NDArray[np.bool_]:
        return np.asarray((words == 0) | (words == self.padding_value))

    def _padding_bias(self, words: Array) -> Array:
        """(N, 1, 1, S): hides the places that only fill up."""
        hidden: Array = self._is_padding(words)[:, None, None] * np.float32(HIDDEN)
        return hidden

    def _embedded(self, words: Array | Words) -> tuple[Array, Pullback]:
        """The vectors of `words` (N, T), zero for 0, times sqrt(hidden_size)."""
        is_word = ~self._is_padding(words)
        vectors, pullback = self.embedding.apply(np.where(is_word, words, 1))
        scale = is_word[..., None] * vectors.dtype.type(self.hidden_size**0.5)
        return vectors * scale, lambda grad: pullback(grad * scale)

    def _logits(self, hidden: Array) -> tuple[Array, Pullback]:
        weight, rows = self.embedding.weight, hidden.reshape(-1, self.hidden_size)
        y = kernels.linear(rows, weight.value, None)

        def pull(grad: Array) -> Array:
            grad_rows = grad.reshape(y.shape)
            grad_x, grad_w, _ = kernels.linear_backward(rows, weight.value, grad_rows, True, True, False)
            needed(grad_w)[self._padding] = 0
            weight.accumulate(needed(grad_w))
            return needed(grad_x).reshape(hidden.shape)

        return y.reshape(*hidden.shape[:-1], self.vocab_size), pull

    def _search(self) -> SequenceBeamSearch:
        if self.beam_search is None:
            raise ValueError(
                f"{self.label()}: got one array, expected [source, target]; to translate build it with a beam_search"
            )
        return self.beam_search

    def _translated(self, source: Array) -> list[Array]:
        search = self._search()
        if self._training:
            raise ValueError(f"{self.label()}: got words to translate in training mode, expected evaluate() before it")
        words, scores = search.search(self._next, self._encoded(source)[0], self._padding_bias(source))
        return [words[:, 0, 1:], scores[:, 0]]

    def _next(self, words: Words, i: int, memory: Array, bias: Array, kept: list[Array]) -> tuple[Array, list[Array]]:
        """See `beam_search.Next`: kept are keys and values of each layer."""
        vectors, _ = self._embedded(words[:, i:])
        x = vectors + positions(i + 1, self.hidden_size, vectors.dtype)[i]
        grown: list[Array] = []
        for number, layer in enumerate(self.decoder):
            x, found = layer.step(x, kept[2 * number : 2 * number + 2], memory, bias)
            grown += found
        hidden, _ = self.decoder_norm.apply(x[:, 0])
        return self._logits(hidden)[0], grown


def _through(
    layers: list[TransformerLayer], norm: LayerNormalization | None, x: Array, *others: Array
) -> tuple[Array, Callable[[Array], tuple[Array, Array | None]]]:
    """The output of a stack, and the function to the gradients of `x` and, of decoders, of the memory."""
    pullbacks = []
    for layer in [*layers, *([norm] if norm is not None else [])]:
        x, pullback = layer.apply([x, *others] if isinstance(layer, TransformerLayer) else x)
        pullbacks.append(pullback)

    def pull(grad: Any) -> tuple[Array, Array | None]:
        grad_memory = None
        for pullback in reversed(pullbacks):
            found = pullback(grad)
            grad, *rest = found if isinstance(found, list) else [found]
            if len(rest) > 1:
                grad_memory = rest[1] if grad_memory is None else grad_memory + rest[1]
        return grad, grad_memory

    return x, pull
