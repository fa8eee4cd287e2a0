"""Transformers (Vaswani et al. 2017) with the sizes as arguments: a language model, and a translator with beam
search."""

from __future__ import annotations

from dlcore.nn.init import RandomNormal
from dlcore.nn.layer import SequenceBeamSearch, Transformer


def transformer_language_model(
    vocab_size: int,
    hidden_size: int = 512,
    num_heads: int = 8,
    filter_size: int = 2048,
    num_hidden_layers: int = 6,
    dropout: float = 0.1,
) -> Transformer:
    """Words (N, T), from 1, 0 to fill up -> logits (N, T, vocab_size) of each word, by those before it.

    dropout: the share that is dropped in training.
    """
    sizes, kept = (vocab_size, hidden_size, num_heads, filter_size, num_hidden_layers), 1.0 - dropout
    return _begun(Transformer(*sizes, kept, kept, kept, with_share_weights_linear=True))


def transformer_translator(
    vocab_size: int,
    decode_length: int,
    eos_id: int,
    hidden_size: int = 512,
    num_heads: int = 8,
    filter_size: int = 2048,
    num_hidden_layers: int = 6,
    dropout: float = 0.1,
    beam_size: int = 4,
    alpha: float = 0.6,
) -> Transformer:
    """[source (N, S), target (N, T)] -> logits (N, T, vocab_size) of each word of the target, by the source and those
    before it.

    In evaluation a source alone is translated: [words (N, decode_length), scores (N,)], the best sequences that the
    beam search finds. Words are numbered from 1, one list for both languages; a target ends with the word eos_id and is
    filled up with 0.
    alpha: how much longer translations are preferred. dropout: the share that is dropped in training.
    """
    sizes, kept = (vocab_size, hidden_size, num_heads, filter_size, num_hidden_layers), 1.0 - dropout
    search = SequenceBeamSearch(
        vocab_size, beam_size, alpha, decode_length, eos_id, 0.0, num_hidden_layers, hidden_size
    )
    model = Transformer(
        *sizes, kept, kept, kept, with_share_weights_linear=True, transformer_type="Translation", beam_search=search
    )
    return _begun(model)


def _begun(model: Transformer) -> Transformer:
    """The vectors of words are also weights of the logits: BigDL's start, normal with deviation 1, would make these
    large."""
    model.embedding.set_init_method(RandomNormal(0.0, model.hidden_size**-0.5))
    return model
