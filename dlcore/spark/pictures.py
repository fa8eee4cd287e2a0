"""Pictures in DataFrames: a column of structs, as Spark's own reader of images makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import SparkSession, types

from dlcore.data.image.feature import FLOATS, IMAGE_TENSOR, MAT, URI, ImageFeature
from dlcore.data.image.resizing import Resize
from dlcore.data.image.transformer import FeatureTransformer
from dlcore.spark.preprocessing import RowToImageFeature, mode_of

IMAGE = types.StructType(
    [
        types.StructField("origin", types.StringType()),
        types.StructField("height", types.IntegerType()),
        types.StructField("width", types.IntegerType()),
        types.StructField("nChannels", types.IntegerType()),
        types.StructField("mode", types.IntegerType()),
        types.StructField("data", types.BinaryType()),
    ]
)
"""Pixels (H, W, C) row by row in BGR order, uint8 or float32; mode: OpenCV's number of the type, see `mode_of`."""


def read_pictures(path: str, context: Any, partitions: int = 1, height: int = -1, width: int = -1) -> Any:
    """A DataFrame of one column `image` of the pictures of a folder or pattern; of files that are none it leaves out
    the rows.

    height, width: what each is brought to, its own size with -1.
    """
    files = context.binaryFiles(str(path), partitions)
    resize = Resize(height, width) if height > 0 and width > 0 else None

    def rows(some: Iterator[Any]) -> Iterator[Any]:
        for name, content in some:
            feature = ImageFeature.of_file(content, name)
            if feature[MAT] is None:
                continue
            yield (_struct(feature if resize is None else resize.transform(feature)),)

    session = SparkSession.builder.getOrCreate() if context is None else SparkSession(context)
    schema = types.StructType([types.StructField("image", IMAGE)])
    return session.createDataFrame(files.mapPartitions(rows), schema)


def _struct(feature: ImageFeature) -> tuple[Any, ...]:
    pixels = np.ascontiguousarray(feature[MAT])
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
    height, width, channels = pixels.shape
    return feature[URI], height, width, channels, mode_of(pixels.dtype, channels), pixels.tobytes()


class NNImageReader:
    """Reads pictures into a DataFrame. Source: Analytics Zoo's NNImageReader."""

    @staticmethod
    def readImages(
        path: str,
        sc: Any = None,
        minPartitions: int = 1,
        resizeH: int = -1,
        resizeW: int = -1,
        image_codec: int = -1,
        bigdl_type: str = "float",
    ) -> Any:
        """See `read_pictures`; pictures always have three channels."""
        return read_pictures(path, sc or _context(), minPartitions, resizeH, resizeW)


class DLImageReader:
    """Reads pictures into a DataFrame. Source: BigDL's DLImageReader."""

    @staticmethod
    def readImages(path: str, sc: Any = None, minParitions: int = 1, bigdl_type: str = "float") -> Any:
        """See `read_pictures`. The argument has BigDL's spelling."""
        return read_pictures(path, sc or _context(), minParitions)


def _context() -> Any:
    from pyspark import SparkContext

    return SparkContext.getOrCreate()


def with_origin_column(dataset: Any, imageColumn: str = "image", originColumn: str = "origin") -> Any:
    """`dataset` with the pictures' paths in a column."""
    return dataset.withColumn(originColumn, dataset[f"{imageColumn}.origin"])


class DLImageTransformer(Transformer):
    """Changes pictures: the column `inputCol` ("image") through `transformer`, into `outputCol` ("output").

    The output's data are float32, channel after channel, if the transformer ends with a tensor: no picture that
    RowToImageFeature reads. Pixels that have become floats stay float32. Source: BigDL's DLImageTransformer.
    """

    inputCol: Any = Param(Params._dummy(), "inputCol", "column of pictures", TypeConverters.toString)
    outputCol: Any = Param(Params._dummy(), "outputCol", "column of results", TypeConverters.toString)

    def __init__(self, transformer: FeatureTransformer, jvalue: Any = None, bigdl_type: str = "float") -> None:
        super().__init__()
        self.transformer = transformer
        self._setDefault(inputCol="image", outputCol="output")

    def setInputCol(self, value: str) -> DLImageTransformer:
        """Set the column of pictures."""
        self._set(inputCol=value)
        return self

    def setOutputCol(self, value: str) -> DLImageTransformer:
        """Set the column of results."""
        self._set(outputCol=value)
        return self

    def _transform(self, dataset: Any) -> Any:
        from pyspark.sql import functions

        change = self.transformer

        def changed(cell: Any) -> tuple[Any, ...]:
            feature = change.transform(RowToImageFeature()(cell))
            tensor = feature[IMAGE_TENSOR] if feature[IMAGE_TENSOR] is not None else feature[FLOATS]
            if tensor is None:
                return _struct(feature)
            floats = np.ascontiguousarray(tensor, np.float32)
            channels, height, width = floats.shape
            return feature[URI], height, width, channels, mode_of(floats.dtype, channels), floats.tobytes()

        changed.__annotations__ = {}  # `udf` would read them as those of a function of pandas
        cells = functions.col(self.getOrDefault(self.inputCol))
        return dataset.withColumn(self.getOrDefault(self.outputCol), functions.udf(changed, IMAGE)(cells))
