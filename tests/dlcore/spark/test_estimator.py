"""The stages of Spark ML: in a pipeline with Spark's own, tuned by its CrossValidator, saved and loaded with it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dlcore.data.image import CenterCrop, ChannelNormalize, MatToTensor, Resize
from dlcore.data.image.feature import MAT
from dlcore.nn.criterion import ClassNLLCriterion, MSECriterion
from dlcore.nn.layer import Linear, LogSoftMax, Sequential, Sigmoid, SpatialConvolution, View
from dlcore.optim.optimizer import Adam, EveryEpoch, MaxIteration, Top1Accuracy, ValidationSummary
from dlcore.rng import RNG

pytestmark = pytest.mark.spark
COUNT = 60


@pytest.fixture(scope="module")
def frame(context):
    from pyspark.sql import SparkSession

    points = np.random.default_rng(3).standard_normal((COUNT, 2))
    rows = [(float(x), float(y), "up" if x > y else "down") for x, y in points]
    return SparkSession(context).createDataFrame(rows, ["x", "y", "name"]).repartition(2).cache()


def network():
    RNG.set_seed(8)
    return Sequential().add(Linear(2, 2)).add(LogSoftMax())


def prepared(frame):
    """Features as a vector, 1-based labels."""
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import functions

    found = VectorAssembler(inputCols=["x", "y"], outputCol="features").transform(frame)
    return found.withColumn("label", functions.when(functions.col("name") == "up", 2.0).otherwise(1.0))


def test_a_classifier_in_a_pipeline_is_saved_and_loaded(frame, tmp_path):
    from pyspark.ml import Pipeline, PipelineModel
    from pyspark.ml.evaluation import MulticlassClassificationEvaluator
    from pyspark.ml.feature import SQLTransformer, VectorAssembler

    from dlcore.spark.estimator import DLClassifier, DLClassifierModel

    label = SQLTransformer(statement="SELECT *, IF(name = 'up', 2.0D, 1.0D) AS label FROM __THIS__")
    features = VectorAssembler(inputCols=["x", "y"], outputCol="features")
    model = network()
    before = model.get_weights()[0].copy()
    classifier = DLClassifier(model, ClassNLLCriterion(), [2]).setBatchSize(20).setMaxEpoch(30).setLearningRate(1.0)
    trained = Pipeline(stages=[label, features, classifier]).fit(frame)
    np.testing.assert_array_equal(model.get_weights()[0], before)  # it trains a copy
    found = trained.transform(frame)
    score = MulticlassClassificationEvaluator(labelCol="label", predictionCol="prediction", metricName="accuracy")
    assert score.evaluate(found) > 0.95
    trained.write().overwrite().save(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    assert isinstance(loaded.stages[2], DLClassifierModel) and loaded.stages[2].uid == trained.stages[2].uid
    assert loaded.transform(frame).collect() == found.collect()


def test_spark_chooses_among_settings(frame):
    from pyspark.ml.evaluation import MulticlassClassificationEvaluator
    from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

    from dlcore.spark.nnframes import NNClassifier

    classifier = NNClassifier(network(), ClassNLLCriterion(), [2]).setBatchSize(20).setMaxEpoch(4)
    rates = ParamGridBuilder().addGrid(classifier.learningRate, [1e-9, 2.0]).build()
    score = MulticlassClassificationEvaluator(labelCol="label", predictionCol="prediction", metricName="accuracy")
    chosen = CrossValidator(estimator=classifier, estimatorParamMaps=rates, evaluator=score, numFolds=2, seed=1)
    found = chosen.fit(prepared(frame))
    assert found.avgMetrics[1] > max(0.9, found.avgMetrics[0])


def test_an_estimator_learns_numbers_with_all_that_can_be_set(frame, tmp_path):
    from pyspark.sql import functions

    from dlcore.spark.nnframes import NNEstimator, NNModel
    from dlcore.spark.preprocessing import MLlibVectorToTensor, ScalarToTensor

    data = prepared(frame).withColumn("target", (functions.col("x") > functions.col("y")).cast("double"))
    model = Sequential().add(Linear(2, 1)).add(Sigmoid())
    summary = ValidationSummary(str(tmp_path), "app")
    estimator = NNEstimator(model, MSECriterion(), MLlibVectorToTensor([2]), ScalarToTensor())
    estimator.setBatchSize(20).setLabelCol("target").setOptimMethod(Adam(0.1)).setEndWhen(MaxIteration(40))
    estimator.setValidation(EveryEpoch(), data, [Top1Accuracy()], 20).setValidationSummary(summary)
    estimator.setCheckpoint(str(tmp_path / "checkpoints"), EveryEpoch()).setConstantGradientClipping(-1.0, 1.0)
    trained = estimator.setGradientClippingByL2Norm(5.0).fit(data)
    rows = trained.transform(data).select("prediction", "target").collect()
    assert np.mean([(row.prediction[0] > 0.5) == (row.target == 1) for row in rows]) > 0.9
    assert len(summary.read_scalar("Top1Accuracy")) == 13 and (tmp_path / "checkpoints/checkpoint.npz").exists()
    trained.write().overwrite().save(str(tmp_path / "model"))
    assert NNModel.load(str(tmp_path / "model")).transform(data).select("prediction").collect() == [
        (row.prediction,) for row in rows
    ]


def test_pictures_through_a_chain_of_steps(context, tmp_path):
    from dlcore.spark.nnframes import NNClassifierModel, NNImageReader
    from dlcore.spark.pictures import DLImageTransformer, with_origin_column
    from dlcore.spark.preprocessing import ChainedPreprocessing, ImageFeatureToTensor, RowToImageFeature

    for number in range(4):
        picture = np.full((9, 8, 3), 10 + 60 * number, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "none.png").write_bytes(b"no picture")
    frame = NNImageReader.readImages(str(tmp_path), context, 2, 8, 8)
    steps = [RowToImageFeature(), Resize(6, 6), CenterCrop(4, 4), ChannelNormalize(100.0, 100.0, 100.0), MatToTensor()]
    model = Sequential().add(SpatialConvolution(3, 2, 4, 4)).add(View([2]))
    model.set_weights([np.stack([np.full((3, 4, 4), -1.0), np.full((3, 4, 4), 1.0)])[None], np.zeros(2)])
    stage = NNClassifierModel(model, ChainedPreprocessing([*steps, ImageFeatureToTensor()])).setFeaturesCol("image")
    rows = with_origin_column(stage.transform(frame)).select("origin", "prediction").collect()
    assert {row.origin[-5:]: row.prediction for row in rows} == {"0.png": 1, "1.png": 1, "2.png": 2, "3.png": 2}
    stage.setThreshold(0.3).write().save(str(tmp_path / "model"))
    loaded = NNClassifierModel.load(str(tmp_path / "model"))
    assert loaded.getThreshold() == 0.3
    with pytest.raises(ValueError, match=r"ChainedPreprocessing.*call setSamplePreprocessing"):
        loaded.transform(frame)
    assert loaded.setSamplePreprocessing(stage.preprocessing).transform(frame).count() == 4
    (cell,) = DLImageTransformer(ChannelNormalize(300.0, 300.0, 300.0)).transform(frame).select("output").take(1)
    pixels = RowToImageFeature()(cell.output)[MAT]
    assert cell.output.mode == 21 and pixels.dtype == np.float32 and pixels.shape == (8, 8, 3) and pixels.max() < 0
    (cell,) = DLImageTransformer(Resize(3, 2)).transform(frame).select("output").take(1)
    assert (cell.output.height, cell.output.width, len(cell.output.data)) == (3, 2, 18)
