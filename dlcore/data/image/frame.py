"""ImageFrame: pictures from files or arrays, with their labels and predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from dlcore.activity import Array
from dlcore.data.dataset import DataSet
from dlcore.data.image.feature import FLOATS, LABEL, PREDICT, SAMPLE, URI, ImageFeature
from dlcore.data.image.parquet import (
    picture_files,
    spark_pictures,
    store_pictures,
    store_with_spark,
    stored_pictures,
)
from dlcore.data.image.spark_frame import DistributedImageFrame
from dlcore.data.image.transformer import FeatureTransformer
from dlcore.data.sample import JTensor, Sample
from dlcore.rng import RNG


class ImageFrame:
    """Pictures on this machine.

    `transform` changes them once and for all; `DataSet.image_frame(frame).transform(...)` changes them each time that
    they are asked for, so that random choices are made anew in every epoch, and only a batch is decoded at a time.
    Source: BigDL's ImageFrame and LocalImageFrame.

    Example:
        >>> from dlcore.data.image import MatToTensor, Resize
        >>> frame = LocalImageFrame([np.zeros((4, 6, 3), np.uint8)] * 2, [1, 2])
        >>> frame.transform(Resize(3, 3)).transform(MatToTensor()).get_image()[0].shape
        (3, 3, 3)
    """

    def __init__(self, features: Sequence[ImageFeature]) -> None:
        self.features = list(features)

    @classmethod
    def read(cls, path: str | Path, sc: Any = None, min_partitions: int = 1, bigdl_type: str = "float") -> Any:
        """The pictures of a folder and the folders in it, of one file, or of the files of a pattern such as
        `photos/*.jpg`, by path.

        Files are read and decoded when their pixels are first asked for; hidden ones are left out. With a SparkContext
        `sc` they become a DistributedImageFrame.

        Raises:
            FileNotFoundError: there is no such file, or the folder is empty.
        """
        if sc is not None:
            return DistributedImageFrame.read(path, sc, min_partitions)
        return cls([ImageFeature.of_path(found) for found in picture_files(path)])

    @classmethod
    def read_parquet(cls, path: str | Path, sc: Any = None, bigdl_type: str = "float") -> Any:
        """The pictures that `write_parquet` wrote; with a SparkContext `sc` a DistributedImageFrame.

        Raises:
            FileNotFoundError: there is no such file or folder.
            ValueError: it has other columns, is damaged or, without `sc`, larger than DLCORE_MAX_DATA_BYTES.
        """
        if sc is not None:
            return DistributedImageFrame.of(spark_pictures(path, sc))
        return cls(stored_pictures(Path(path)))

    @classmethod
    def write_parquet(
        cls, path: str | Path, output: str | Path, sc: Any = None, partition_num: int = 1, bigdl_type: str = "float"
    ) -> None:
        """Write the files of the pictures of `path`, as `read` takes it, to a new folder of Parquet files with the
        columns uri and bytes.

        Raises:
            FileNotFoundError: there are no pictures.
            FileExistsError: the folder exists.
        """
        if sc is not None:
            store_with_spark(path, output, sc, partition_num)
        else:
            store_pictures(picture_files(path), Path(output), partition_num)

    def __len__(self) -> int:
        return len(self.features)

    # --- what is known ----------------------------------------------------------------------------------------------

    def get_image(self, float_key: str = FLOATS, to_chw: bool = True) -> list[Array]:
        """The pixels of each picture; see ImageFeature.get_image."""
        return [feature.get_image(float_key, to_chw) for feature in self.features]

    def get_label(self) -> list[Any]:
        """The label of each picture; [-1] if it has none."""
        return [feature.get_label() for feature in self.features]

    def get_predict(self, key: str = PREDICT) -> list[tuple[str | None, Any]]:
        """(path, prediction) of each picture; None if nothing was predicted."""
        return [(feature[URI], feature[key]) for feature in self.features]

    def get_sample(self, key: str = SAMPLE) -> list[Sample | None]:
        """The Sample that ImageFrameToSample made of each picture; None if it made none, for example of an invalid
        picture."""
        return [feature[key] for feature in self.features]

    def get_uri(self, key: str = URI) -> list[Any]:
        """The path of each picture; None for one from an array."""
        return [feature[key] for feature in self.features]

    def is_local(self) -> bool:
        """Whether the pictures are on this machine: always true here."""
        return True

    def is_distributed(self) -> bool:
        """Whether the pictures are on a cluster: always false here."""
        return False

    # --- changes ----------------------------------------------------------------------------------------------------

    def transform(self, transformer: FeatureTransformer, bigdl_type: str = "float") -> Self:
        """Change all pictures."""
        for feature in self.features:
            transformer.transform(feature)
        return self

    def set_label(self, label: Mapping[str, Any], bigdl_type: str = "float") -> None:
        """Give the pictures labels by their paths.

        Raises:
            KeyError: there is no such picture.
        """
        by_path = {feature[URI]: feature for feature in self.features}
        missing = [path for path in label if path not in by_path]
        if missing:
            raise KeyError(
                f"set_label: got path {missing[0]!r}, expected one of get_uri(), such as {next(iter(by_path))!r}"
            )
        for path, value in label.items():
            by_path[path][LABEL] = JTensor.from_ndarray(np.asarray(value)).to_ndarray()

    def filter(self, keeps: Callable[[ImageFeature], bool]) -> ImageFrame:
        """The pictures for which `keeps` is true; `lambda feature: feature.is_valid` keeps those that are, or can be,
        decoded."""
        return ImageFrame([feature for feature in self.features if keeps(feature.check())])

    def random_split(self, weights: Sequence[float]) -> list[ImageFrame]:
        """The pictures in random order, in parts of these relative sizes.

        Raises:
            ValueError: weights that are negative, or all zero.
        """
        shares = np.asarray(weights, np.float64)
        if not shares.size or (shares < 0).any() or not shares.sum() > 0:
            raise ValueError(f"random_split: got weights {list(weights)}, expected numbers that are not negative")
        ends = np.rint(np.cumsum(shares / shares.sum()) * len(self.features)).astype(int)
        parts = np.split(RNG.permutation(len(self.features)), ends[:-1])
        return [ImageFrame([self.features[place] for place in part]) for part in parts]

    def data_set(self) -> DataSet:
        """The pictures as a DataSet."""
        return DataSet.image_frame(self)


class LocalImageFrame(ImageFrame):
    """Pictures from arrays (H, W, C) in BGR order, with labels if there are any.

    Source: BigDL's LocalImageFrame.

    Raises:
        ValueError: the numbers of labels and pictures differ, or something is not a picture.
    """

    def __init__(
        self, image_list: Sequence[Any], label_list: Sequence[Any] | None = None, bigdl_type: str = "float"
    ) -> None:
        labels = [None] * len(image_list) if label_list is None else label_list
        if len(labels) != len(image_list):
            raise ValueError(
                f"LocalImageFrame: got {len(image_list)} pictures and {len(labels)} labels, expected as many"
            )
        super().__init__([ImageFeature(image, label) for image, label in zip(image_list, labels, strict=True)])
