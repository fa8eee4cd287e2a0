"""CIFAR-10's small pictures of ten kinds of things, from its binary files.

Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images",
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dlcore.data.files import found_file, read_limited
from dlcore.data.mnist import Bytes

SOURCE_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_MEAN = np.array([0.4913996898739353, 0.4821584196221302, 0.44653092422369434], np.float32) * 255
TRAIN_STD = np.array([0.24703223517429462, 0.2434851308749409, 0.26158784442034005], np.float32) * 255
"""Standard deviations of the training images, by channel: red, green, blue."""
_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
_SIDE = 32
_RECORD_BYTES = 1 + 3 * _SIDE * _SIDE


def read_data_sets(folder: str | Path, data_type: str = "train") -> tuple[Bytes, Bytes]:
    """(images (N, 3, 32, 32) of 0 to 255, in RGB order, labels (N,) of 0 to 9), both uint8, of "train" or "test".

    The folder, or `cifar-10-batches-bin` in it, has `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`,
    gzipped or not.

    Raises:
        FileNotFoundError: a file is missing; the message says what to put where.
        ValueError: another data_type, or a damaged file.
    """
    if data_type not in _FILES:
        raise ValueError(f"CIFAR-10: got data_type {data_type!r}, expected 'train' or 'test'")
    inside = Path(folder) / "cifar-10-batches-bin"
    place = inside if inside.is_dir() else Path(folder)
    records = np.concatenate([_read(place, name) for name in _FILES[data_type]])
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, _SIDE, _SIDE), records[:, 0].copy()


def _read(folder: Path, name: str) -> Bytes:
    path = found_file(folder, [name, f"{name}.gz"], "a binary batch of CIFAR-10", f"{SOURCE_URL}, unpacked")
    content = read_limited(path)
    if not content or len(content) % _RECORD_BYTES:
        raise ValueError(
            f"{path}: got {len(content)} bytes, expected a multiple of {_RECORD_BYTES}; the file is damaged, fetch it "
            f"again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    if records[:, 0].max() >= len(CLASSES):
        raise ValueError(f"{path}: got label {records[:, 0].max()}, expected 0 to 9; it is no file of CIFAR-10")
    return records
