"""A language model of several LSTM layers, as trained on the Penn Treebank (Zaremba, Sutskever and Vinyals 2014)."""

from __future__ import annotations

from dlcore.nn.container import Sequential, TimeDistributed
from dlcore.nn.layer import LSTM, Dropout, Linear, LookupTable, Recurrent


def lstm_language_model(
    input_size: int, hidden_size: int, output_size: int, num_layers: int, keep_prob: float = 2.0
) -> Sequential:
    """Words (N, T), from 1 to `input_size` -> a score for each of `output_size` words at each step, (N, T,
    output_size).

    keep_prob: the share of the elements of the words' vectors that dropout keeps in training; no dropout from 1 on.
    (BigDL drops that share.) To train: TimeDistributedCriterion(CrossEntropyCriterion()) against the next words (N, T).
    The layers are called lstm1, lstm2, ...; to go on where a text was left, set their hidden states.
    Source: BigDL's PTBModel.
    """
    model = Sequential().add(LookupTable(input_size, hidden_size).set_name("words"))
    if keep_prob < 1:
        model.add(Dropout(1 - keep_prob))
    for k in range(1, num_layers + 1):
        model.add(Recurrent().add(LSTM(hidden_size, hidden_size)).set_name(f"lstm{k}"))
    return model.add(TimeDistributed(Linear(hidden_size, output_size).set_name("output")))
