"""Transfer learning on a DataFrame of pictures, as a program for Analytics Zoo writes it. argv: a saved network, a
folder of pictures."""

import json
import re
import sys

from bigdl.nn.criterion import *
from bigdl.optim.optimizer import *
from pyspark.ml import Pipeline
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.sql.functions import col, udf
from pyspark.sql.types import DoubleType
from zoo.common.nncontext import *
from zoo.feature.common import *
from zoo.feature.image.imagePreprocessing import *
from zoo.pipeline.api.keras.layers import Dense, Flatten, Input
from zoo.pipeline.api.keras.models import *
from zoo.pipeline.api.net import *
from zoo.pipeline.nnframes import *

sc = init_nncontext(init_spark_conf().setAppName("transfer").setMaster("local[2]"))
label_of = udf(lambda path: 1.0 if re.search(r"cat", path) else 2.0, DoubleType())
frame = NNImageReader.readImages(sys.argv[2], sc, minPartitions=2).withColumn("label", label_of(col("image.origin")))
transformer = ChainedPreprocessing(
    [
        RowToImageFeature(),
        ImageResize(10, 10),
        ImageCenterCrop(8, 8),
        ImageChannelNormalize(123.0, 117.0, 104.0),
        ImageMatToTensor(),
        ImageFeatureToTensor(),
    ]
)
full_model = Net.load_bigdl(sys.argv[1])
model = full_model.new_graph(["pool"])
model.freeze_up_to(["pool"])
input_node = Input(name="input", shape=(3, 8, 8))
features = model.to_keras()(input_node)
logits = Dense(2)(Flatten()(features))
classifier = (
    NNClassifier(Model(input_node, logits), CrossEntropyCriterion(), transformer)
    .setLearningRate(0.01)
    .setBatchSize(4)
    .setMaxEpoch(8)
    .setFeaturesCol("image")
    .setCachingSample(False)
    .setValidation(EveryEpoch(), frame, [Top1Accuracy()], 4)
)
trained = Pipeline(stages=[classifier]).fit(frame)
found = trained.transform(frame).cache()
evaluator = MulticlassClassificationEvaluator(labelCol="label", predictionCol="prediction", metricName="accuracy")
print(json.dumps({"accuracy": evaluator.evaluate(found), "rows": found.count()}))
sc.stop()
