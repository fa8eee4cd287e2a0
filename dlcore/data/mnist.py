"""MNIST's handwritten digits, from its idx files, gzipped or not.

Source: LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist, which has the format; BigDL's dataset.mnist.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.data.files import found_file, read_stream
from dlcore.data.transformer import normalizer

SOURCE_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
TRAIN_MEAN, TRAIN_STD = 0.13066047740239506 * 255, 0.3081078 * 255
TEST_MEAN, TEST_STD = 0.13251460696903547 * 255, 0.31048024 * 255
Bytes: TypeAlias = NDArray[np.uint8]
_PREFIXES = {"train": "train", "test": "t10k"}
_IMAGES, _LABELS = 2051, 2049


def read_data_sets(train_dir: str | Path, data_type: str = "train") -> tuple[Bytes, Bytes]:
    """(images (N, rows, columns, 1) of 0 to 255, labels (N,) of 0 to 9), both uint8, of "train" or "test".

    The folder has `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or `t10k-...`, with or without `.gz`.

    Raises:
        FileNotFoundError: a file is missing; the message says what to put where.
        ValueError: another data_type, a damaged file, or different numbers of images and labels.
    """
    if data_type not in _PREFIXES:
        raise ValueError(f"MNIST: got data_type {data_type!r}, expected 'train' or 'test'")
    prefix = _PREFIXES[data_type]
    with _file(train_dir, f"{prefix}-images", "idx3-ubyte", "images").open("rb") as file:
        images = extract_images(file)
    with _file(train_dir, f"{prefix}-labels", "idx1-ubyte", "labels").open("rb") as file:
        labels = extract_labels(file)
    if len(images) != len(labels):
        raise ValueError(
            f"{Path(train_dir)}: got {len(images)} images and {len(labels)} labels, expected as many; the files do "
            f"not belong together"
        )
    return images, labels


def load_data(location: str | Path = "/tmp/mnist") -> tuple[tuple[Array, Bytes], tuple[Array, Bytes]]:
    """((images, labels) to train, the same to test): images normalised by the mean and deviation of those to train,
    labels 1-based.

    Raises:
        FileNotFoundError, ValueError: see `read_data_sets`.
    """
    sets = [read_data_sets(location, data_type) for data_type in _PREFIXES]
    train, test = ((normalizer(images, TRAIN_MEAN, TRAIN_STD), labels + np.uint8(1)) for images, labels in sets)
    return train, test


def extract_images(f: IO[bytes]) -> Bytes:
    """The images (N, rows, columns, 1) of an open idx file, gzipped or not.

    Raises:
        ValueError: it is another file, or damaged.
    """
    (count, rows, columns), content = _read(f, _IMAGES, 3)
    return content.reshape(count, rows, columns, 1)


def extract_labels(f: IO[bytes]) -> Bytes:
    """The labels (N,) of an open idx file, gzipped or not.

    Raises:
        ValueError: it is another file, or damaged.
    """
    return _read(f, _LABELS, 1)[1]


def _file(folder: str | Path, start: str, end: str, what: str) -> Path:
    names = [f"{start}{sign}{end}{packed}" for sign in "-." for packed in (".gz", "")]
    return found_file(folder, names, f"MNIST's {what}", SOURCE_URL)


def _read(file: IO[bytes], magic: int, dimensions: int) -> tuple[list[int], Bytes]:
    """The sizes in the head, and the bytes, as many as they say."""
    name = getattr(file, "name", "MNIST's file")
    content = read_stream(file, name)
    start = 4 * (dimensions + 1)
    found, *sizes = np.frombuffer(content[:start].ljust(start, b"\0"), ">u4").tolist()
    if found != magic:
        kind = "images" if magic == _IMAGES else "labels"
        raise ValueError(f"{name}: got a file that begins with {found}, expected {magic}, an idx file of {kind}")
    expected = math.prod(sizes)
    if len(content) - start != expected:
        raise ValueError(
            f"{name}: got {len(content) - start} bytes behind the head, expected {expected}; the file is damaged, "
            f"fetch it again"
        )
    return sizes, np.frombuffer(content, np.uint8, offset=start)
