"""What Spark's workers predict is what this process predicts."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.data.image import DistributedImageFrame, ImageFrameToSample, MatToTensor, Pipeline
from dlcore.data.sample import Sample
from dlcore.errors import WorkerError
from dlcore.nn.layer import ConcatTable, Linear, LogSoftMax, ReLU, Sequential, SpatialConvolution, View
from dlcore.optim.metric import Loss, Top1Accuracy
from dlcore.rng import RNG
from dlcore.spark.predict import Predictor

pytestmark = pytest.mark.spark
POINTS = np.random.default_rng(2).standard_normal((50, 4)).astype(np.float32)
LABELS = 1 + (POINTS[:, 0] > 0)


def network(*last):
    RNG.set_seed(4)
    model = Sequential().add(Linear(4, 8)).add(ReLU()).add(Linear(8, 3)).add(LogSoftMax())
    for layer in last:
        model.add(layer)
    return model


@pytest.fixture(scope="module")
def rdd(context):
    return context.parallelize([Sample.from_ndarray(x, y) for x, y in zip(POINTS, LABELS, strict=True)], 3)


def test_records_of_an_rdd(rdd):
    model = network()
    here = model.predict(POINTS)
    np.testing.assert_allclose(np.stack(model.predict(rdd).collect()), here, atol=2e-5)
    assert model.predict_class(rdd, 7).collect() == (here.argmax(1) + 1).tolist()


def test_several_outputs_come_as_a_list_for_each_record(rdd):
    model = network(ConcatTable().add(Linear(3, 2)).add(Linear(3, 1)))
    first, second = model.predict(POINTS)
    found = model.predict(rdd).collect()
    np.testing.assert_allclose(np.stack([row[0] for row in found]), first, atol=2e-5)
    np.testing.assert_allclose(np.stack([row[1] for row in found]), second, atol=2e-5)


def test_rows_of_a_frame(context):
    from pyspark.sql import SparkSession

    session = SparkSession(context)
    frame = session.createDataFrame(
        [(row.tolist(), float(y)) for row, y in zip(POINTS, LABELS, strict=True)], ["features", "label"]
    )
    model = network()
    np.testing.assert_allclose(np.stack(model.predict(frame).collect()), model.predict(POINTS), atol=2e-5)
    assert model.evaluate(frame, 20, [Top1Accuracy()]) == model.evaluate((POINTS, LABELS), 20, [Top1Accuracy()])
    with pytest.raises(ValueError, match="expected 'features' among them"):
        model.predict(frame.select("label"))


def test_scores_are_counted_by_the_workers(rdd):
    model = network()
    accuracy, loss = model.evaluate(rdd, 9, [Top1Accuracy(), Loss()])
    expected, expected_loss = model.evaluate((POINTS, LABELS), 9, [Top1Accuracy(), Loss()])
    assert accuracy == expected and accuracy.total_num == 50
    assert loss.result == pytest.approx(expected_loss.result, rel=1e-5)
    with pytest.raises(WorkerError, match="scoring on Spark failed"):
        model.evaluate(rdd.map(lambda sample: sample.nothing), 9, [Top1Accuracy()])
    with pytest.raises(ValueError, match="without records"):
        model.evaluate(rdd.filter(lambda sample: False), 9, [Top1Accuracy()])


def test_a_worker_keeps_few_plans():
    predictor = Predictor(Sequential().add(ReLU()), 2)
    for width in (1, 2, 3, 4, 1, 5, 6):
        np.testing.assert_array_equal(predictor(np.full((2, width), -1.0, np.float32)), np.zeros((2, width)))
    assert list(predictor._plans) == [repr((2, width)) for width in (4, 1, 5, 6)]


def test_pictures_of_a_frame(context):
    pictures = [np.random.default_rng(n).integers(0, 256, (6, 5, 3), np.uint8) for n in range(7)]
    frame = DistributedImageFrame(context.parallelize(pictures, 2), context.parallelize([1] * 7, 2))
    frame.transform(Pipeline([MatToTensor(), ImageFrameToSample()]))
    RNG.set_seed(1)
    model = Sequential().add(SpatialConvolution(3, 2, 5, 6)).add(View([2]))
    found = np.stack([row for _, row in model.predict_image(frame).get_predict().collect()])
    here = model.predict(np.stack([picture.transpose(2, 0, 1) for picture in pictures]).astype(np.float32))
    np.testing.assert_allclose(found, here, rtol=1e-5, atol=1e-3)
