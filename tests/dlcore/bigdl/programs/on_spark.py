"""Training, prediction and pictures on Spark, as BigDL's programs write them. argv: a folder with a picture. Prints one
line of JSON."""

import json
import sys

from bigdl.dataset import mnist
from bigdl.dataset.transformer import normalizer
from bigdl.models.utils.model_broadcast import broadcast_model
from bigdl.nn.criterion import *
from bigdl.nn.layer import *
from bigdl.optim.optimizer import *
from bigdl.transform.vision.image import *
from bigdl.util.common import *

sc = SparkContext(appName="on Spark", conf=create_spark_conf().setMaster("local[2]"))
redire_spark_logs()
show_bigdl_info_logs()
init_engine()

rng = np.random.RandomState(0)
points = rng.uniform(0, 255, (200, 2))
labels = 1 + (points[:, 0] > points[:, 1])
records = sc.parallelize(points, 2).zip(sc.parallelize(labels, 2))
train = records.map(lambda r: (normalizer(r[0], mnist.TRAIN_MEAN, mnist.TRAIN_STD), r[1])).map(
    lambda t: Sample.from_ndarray(t[0], t[1])
)
model = Sequential().add(Linear(2, 2)).add(LogSoftMax())
optimizer = Optimizer(
    model=model,
    training_rdd=train,
    criterion=ClassNLLCriterion(),
    optim_method=SGD(learningrate=0.5),
    end_trigger=MaxEpoch(20),
    batch_size=20,
)
optimizer.set_validation(batch_size=50, val_rdd=train, trigger=EveryEpoch(), val_method=[Top1Accuracy()])
trained = optimizer.optimize()
accuracy = trained.evaluate(train, 50, [Top1Accuracy()])[0].result
classes = trained.predict_class(train).collect()
scores = trained.predict(train).take(3)
same = np.allclose(scores, trained.predict(train.take(3)), atol=1e-5)

frame = ImageFrame.read(sys.argv[1], sc)
frame.transform(Pipeline([Resize(8, 8), ChannelNormalize(1.0, 1.0, 1.0), MatToTensor(), ImageFrameToSample()]))
network = Sequential().add(SpatialConvolution(3, 2, 8, 8)).add(View([2]))
found = network.predict_image(frame).get_predict().collect()
local = network.predict_image(
    ImageFrame.read(sys.argv[1]).transform(
        Pipeline([Resize(8, 8), ChannelNormalize(1.0, 1.0, 1.0), MatToTensor(), ImageFrameToSample()])
    )
).get_predict()

stored = sys.argv[1] + "-stored"
ImageFrame.write_parquet(sys.argv[1], stored, sc, 2)
from_spark, here = ImageFrame.read_parquet(stored, sc), ImageFrame.read_parquet(stored)
pixels = dict(zip(here.get_uri(), here.get_image()))
compared = [np.array_equal(pixels[f["uri"]], f.get_image()) for f in from_spark.rdd.collect()]

shared = broadcast_model(sc, trained)
first = sc.parallelize([points[0]], 1).map(lambda x: shared.value.forward(x)).first()
pairs = to_sample_rdd(points[:4], labels[:4]).map(lambda s: float(s.label[0])).collect()
print(
    json.dumps(
        {
            "accuracy": accuracy,
            "right": float(np.mean(np.array(classes) == labels)),
            "same": bool(same),
            "paths": [uri for uri, _ in found] == [uri for uri, _ in local],
            "pictures": bool(np.allclose([p for _, p in found], [p for _, p in local], atol=1e-5)),
            "broadcast": bool(np.allclose(first, trained.forward(points[0]))),
            "pairs": pairs,
            "labels": labels[:4].tolist(),
            "cores": get_node_and_core_number(),
            "distributed": frame.is_distributed(),
            "stored": len(compared) == len(found) and all(compared),
        }
    )
)
sc.stop()
