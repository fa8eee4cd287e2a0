"""DistributedImageFrame: pictures that Spark holds and its workers change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from dlcore.data.dataset import DataSet
from dlcore.data.distributed import collected
from dlcore.data.image.feature import FLOATS, LABEL, PREDICT, SAMPLE, URI, ImageFeature
from dlcore.data.image.transformer import FeatureTransformer
from dlcore.data.sample import JTensor


class DistributedImageFrame:
    """Pictures in an RDD: what LocalImageFrame gives as lists comes as RDDs, computed when an action asks for it.

    image_rdd: arrays (H, W, C) in BGR order; label_rdd: as many labels, or None. To train, the pictures stay where they
    are, as records of the Optimizer; a DataSet of them brings them to this machine, within DLCORE_MAX_DATA_BYTES.
    Source: BigDL's DistributedImageFrame.
    """

    def __init__(self, image_rdd: Any, label_rdd: Any = None, bigdl_type: str = "float") -> None:
        pairs = image_rdd.map(lambda image: (image, None)) if label_rdd is None else image_rdd.zip(label_rdd)
        self.rdd = pairs.map(lambda pair: ImageFeature(*pair))

    @classmethod
    def of(cls, rdd: Any) -> DistributedImageFrame:
        """A frame of an RDD of ImageFeatures."""
        found = cls.__new__(cls)
        found.rdd = rdd
        return found

    @classmethod
    def read(cls, path: str | Path, sc: Any, min_partitions: int = 1) -> DistributedImageFrame:
        """The pictures of a folder, a file or a pattern that Spark can read, such as `hdfs://...`."""
        files = sc.binaryFiles(str(path), min_partitions)
        return cls.of(files.map(lambda file: ImageFeature.of_file(file[1], file[0].removeprefix("file:"))))

    def get_image(self, float_key: str = FLOATS, to_chw: bool = True) -> Any:
        """An RDD of the pixels of each picture; see ImageFeature.get_image."""
        return self.rdd.map(lambda feature: feature.get_image(float_key, to_chw))

    def get_label(self) -> Any:
        """An RDD of the label of each picture; [-1] if it has none."""
        return self.rdd.map(lambda feature: feature.get_label())

    def get_predict(self, key: str = PREDICT) -> Any:
        """An RDD of (path, prediction); None if nothing was predicted."""
        return self.rdd.map(lambda feature: (feature[URI], feature[key]))

    def get_sample(self, key: str = SAMPLE) -> Any:
        """An RDD of the Sample that ImageFrameToSample made of each picture; None if it made none."""
        return self.rdd.map(lambda feature: feature[key])

    def get_uri(self, key: str = URI) -> Any:
        """An RDD of the paths."""
        return self.rdd.map(lambda feature: feature[key])

    def is_local(self) -> bool:
        """Whether the pictures are on this machine: always false here."""
        return False

    def is_distributed(self) -> bool:
        """Whether Spark holds the pictures: always true here."""
        return True

    def transform(self, transformer: FeatureTransformer, bigdl_type: str = "float") -> Self:
        """Change all pictures when an action asks for them; random choices are made anew each time."""
        self.rdd = self.rdd.map(lambda feature: transformer.transform(feature.clone()))
        return self

    def set_label(self, label: Mapping[str, Any], bigdl_type: str = "float") -> None:
        """Give the pictures labels by their paths; those that are not named keep theirs."""
        labels = {path: JTensor.from_ndarray(np.asarray(value)).to_ndarray() for path, value in label.items()}

        def labelled(feature: ImageFeature) -> ImageFeature:
            if feature[URI] in labels:
                feature[LABEL] = labels[feature[URI]]
            return feature

        self.rdd = self.rdd.map(labelled)

    def random_split(self, weights: Sequence[float]) -> list[DistributedImageFrame]:
        """The pictures in parts of about these relative sizes."""
        return [DistributedImageFrame.of(part) for part in self.rdd.randomSplit(list(weights))]

    @property
    def features(self) -> list[ImageFeature]:
        """The pictures, brought to this machine.

        Raises:
            ValueError: they have more bytes than DLCORE_MAX_DATA_BYTES.
        """
        return collected(self.rdd)

    def data_set(self) -> DataSet:
        """The pictures as a DataSet on this machine."""
        return DataSet.image_frame(self)
