"""A stream of pictures is classified as they arrive."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from dlcore.data.image import ChannelNormalize, MatToTensor, Resize
from dlcore.nn.layer import Sequential, SpatialConvolution, View

pytestmark = pytest.mark.spark


def save(folder, numbers):
    """Pictures of 9 by 8 pixels, the darker the smaller the number; each appears whole."""
    for number in numbers:
        Image.fromarray(np.full((9, 8, 3), 10 + 60 * number, np.uint8)).save(folder / f".{number}.png")
        (folder / f".{number}.png").rename(folder / f"{number}.png")


def test_pictures_are_classified_as_they_arrive(context, tmp_path):
    from pyspark.ml.image import ImageSchema
    from pyspark.sql import SparkSession

    from dlcore.spark.nnframes import NNClassifierModel, NNModel
    from dlcore.spark.preprocessing import ImageFeatureToTensor, RowToImageFeature

    spark, folder = SparkSession(context), tmp_path / "pictures"
    folder.mkdir()
    steps = [
        RowToImageFeature(),
        Resize(4, 4),
        ChannelNormalize(100.0, 100.0, 100.0),
        MatToTensor(),
        ImageFeatureToTensor(),
    ]
    network = Sequential().add(SpatialConvolution(3, 2, 4, 4)).add(View([2]))
    network.set_weights([np.stack([np.full((3, 4, 4), -1.0), np.full((3, 4, 4), 1.0)])[None], np.zeros(2)])
    scores = NNModel(network, steps).setFeaturesCol("image").setPredictionCol("scores")
    classes = NNClassifierModel(network, steps).setFeaturesCol("image")
    arriving = spark.readStream.format("image").schema(ImageSchema.imageSchema).option("dropInvalid", "true")
    seen = classes.transform(scores.transform(arriving.load(str(folder)))).select(
        "image.origin", "prediction", "scores"
    )
    query = seen.writeStream.format("memory").queryName("seen").start()
    try:
        save(folder, (0, 3))
        (folder / "none.png").write_bytes(b"no picture")
        query.processAllAvailable()
        assert found(spark) == {"0.png": 1, "3.png": 2}
        save(folder, (1, 2, 4))
        query.processAllAvailable()
        assert found(spark) == {"0.png": 1, "1.png": 1, "2.png": 2, "3.png": 2, "4.png": 2}
        shown = {row.origin.rpartition("/")[2]: row.scores for row in spark.table("seen").collect()}
        assert shown["0.png"] == pytest.approx([48 * 90, -48 * 90]) and len(shown) == 5
        batches = [json.loads(batch.json) if hasattr(batch, "json") else batch for batch in query.recentProgress]
        took = [batch["durationMs"]["triggerExecution"] for batch in batches if batch["numInputRows"]]
        assert len(took) >= 2
        print(f"{len(took)} micro-batches, the latest within {took[-1]} ms")
    finally:
        query.stop()


def found(spark):
    """The classes by file name."""
    return {row.origin.rpartition("/")[2]: row.prediction for row in spark.table("seen").collect()}
