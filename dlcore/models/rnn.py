"""A simple recurrent network that guesses the next word of a sequence (Elman 1990; Mikolov et al. 2010)."""

from __future__ import annotations

from dlcore.nn.container import Sequential, TimeDistributed
from dlcore.nn.layer import Linear, Recurrent, RnnCell, Tanh


def simple_rnn(input_size: int, hidden_size: int, output_size: int) -> Sequential:
    """Sequences (N, T, input_size), such as words as one-hot vectors -> a score for each word at each step, (N, T,
    output_size).

    To train: TimeDistributedCriterion(CrossEntropyCriterion()) against the next words (N, T), 1-based.
    Source: BigDL's SimpleRNN.
    """
    model = Sequential().add(Recurrent().add(RnnCell(input_size, hidden_size, Tanh())).set_name("recurrent"))
    return model.add(TimeDistributed(Linear(hidden_size, output_size).set_name("output")))
