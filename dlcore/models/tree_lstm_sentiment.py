"""The sentiment of each phrase of a sentence, by an LSTM over its parse tree (Tai, Socher and Manning 2015)."""

from __future__ import annotations

from dlcore.activity import Array
from dlcore.nn.container import ParallelTable, Sequential, TimeDistributed
from dlcore.nn.layer import BinaryTreeLSTM, Dropout, Identity, Linear, LogSoftMax, LookupTable


def tree_lstm_sentiment(word_vectors: Array, hidden_size: int, class_num: int) -> Sequential:
    """[words (N, L), trees (N, M, 3)] -> log-probabilities of every node, (N, M, class_num); trees as BinaryTreeLSTM
    takes them.

    Behind the end of a shorter sentence any word may stand, such as 1; no leaf takes it. word_vectors: (words,
    embedding_dim), with which the layer `words` begins; it goes on learning. To train:
    TimeDistributedMaskCriterion(ClassNLLCriterion()) against the classes of the nodes (N, M), 1-based, and 0 at
    padding. To score:
    TreeNNAccuracy, which wants the root first.
    Source: BigDL's TreeLSTMSentiment.
    """
    count, embedding_dim = word_vectors.shape
    words = LookupTable(count, embedding_dim).set_name("words")
    words.set_weights([word_vectors])
    model = Sequential().add(ParallelTable().add(words).add(Identity()))
    model.add(BinaryTreeLSTM(embedding_dim, hidden_size).set_name("trees")).add(Dropout())
    return model.add(TimeDistributed(Linear(hidden_size, class_num).set_name("output"))).add(
        TimeDistributed(LogSoftMax())
    )
