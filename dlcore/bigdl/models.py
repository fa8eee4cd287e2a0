"""Models and data under the signatures of BigDL's examples, and a model for Spark's workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlcore.data import mnist
from dlcore.data.files import found_file
from dlcore.data.sample import Sample
from dlcore.data.transformer import normalizer
from dlcore.models.rnn import simple_rnn
from dlcore.nn.container import Sequential, TimeDistributed
from dlcore.nn.layer import LSTM, Linear, Recurrent
from dlcore.nn.module import Module
from dlcore.optim.loop import Optimizer
from dlcore.optim.metric import Top1Accuracy
from dlcore.optim.trigger import EveryEpoch, MaxEpoch, MaxIteration, Trigger


def recurrent(input_size: int, hidden_size: int, output_size: int, model_type: str = "rnn") -> Sequential:
    """A network of one recurrent layer, "rnn" or "lstm", that scores the next word at each step: see `simple_rnn`.

    Raises:
        ValueError: another type.
    """
    if model_type == "rnn":
        return simple_rnn(input_size, hidden_size, output_size)
    if model_type != "lstm":
        raise ValueError(f"build_model: got model_type {model_type!r}, expected 'rnn' or 'lstm'")
    model = Sequential().add(Recurrent().add(LSTM(input_size, hidden_size)))
    return model.add(TimeDistributed(Linear(hidden_size, output_size)))


def broadcast_model(sc: Any, layer: Module) -> Any:
    """Spark's broadcast of the model, whose `value` its workers compute with."""
    return sc.broadcast(layer)


def get_local_mnist(data_type: str = "train", location: str = "/tmp/mnist") -> tuple[Any, Any]:
    """(images (N, 28, 28, 1), 1-based labels (N,)) of MNIST's files in the folder `location`, "train" or "test"."""
    images, labels = mnist.read_data_sets(location, data_type)
    return images, labels + 1


def get_mnist(sc: Any, data_type: str = "train", location: str = "/tmp/mnist") -> Any:
    """The same as an RDD of (image, label)."""
    images, labels = get_local_mnist(data_type, location)
    return sc.parallelize(images).zip(sc.parallelize(labels))


def preprocess_mnist(sc: Any, options: Any) -> tuple[Any, Any]:
    """RDDs of Samples, normalised, to train and to test, from the folder `options.dataPath`."""

    def samples(data_type: str, mean: float, std: float) -> Any:
        records = get_mnist(sc, data_type, options.dataPath)
        return records.map(lambda record: Sample.from_ndarray(normalizer(record[0], mean, std), record[1]))

    return samples("train", mnist.TRAIN_MEAN, mnist.TRAIN_STD), samples("test", mnist.TEST_MEAN, mnist.TEST_STD)


def get_end_trigger(options: Any) -> Trigger:
    """After `options.endTriggerNum` epochs, or steps unless `options.endTriggerType` is "epoch"."""
    kind = MaxEpoch if options.endTriggerType.lower() == "epoch" else MaxIteration
    return kind(options.endTriggerNum)


def validate_optimizer(optimizer: Optimizer, test_data: Any, options: Any) -> None:
    """Let `optimizer` score the model and save a checkpoint after each epoch."""
    optimizer.set_validation(options.batchSize, test_data, EveryEpoch(), [Top1Accuracy()])
    optimizer.set_checkpoint(EveryEpoch(), options.checkpointPath)


def maybe_download(filename: str, work_directory: str, source_url: str) -> str:
    """The path of a file that is there; nothing is downloaded.

    Raises:
        FileNotFoundError: it is not; the message says from where to put it there.
    """
    return str(found_file(Path(work_directory), [filename], filename, source_url))
