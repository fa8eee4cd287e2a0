"""BigDL 0.1: a method and a metric by name, settings in a dictionary, the method names of that time. argv: folder of
the digits."""

import sys

from dl.dataset import mnist
from dl.dataset.transformer import *
from dl.nn.criterion import *
from dl.nn.layer import *
from dl.optim.optimizer import *
from dl.util.common import *


def build_model(class_num):
    model = Sequential()
    model.add(Reshape([1, 28, 28]))
    model.add(SpatialConvolution(1, 6, 5, 5))
    model.add(Tanh())
    model.add(SpatialMaxPooling(2, 2, 2, 2))
    model.add(SpatialConvolution(6, 12, 5, 5))
    model.add(Tanh())
    model.add(SpatialMaxPooling(2, 2, 2, 2))
    model.add(Reshape([12 * 4 * 4]))
    model.add(Linear(12 * 4 * 4, 100)).add(Tanh())
    model.add(Linear(100, class_num)).add(LogSoftMax())
    return model


def get_mnist(data_type, location):
    images, labels = mnist.read_data_sets(location, data_type)
    return [Sample.from_ndarray(features, label + 1) for features, label in zip(images, labels)]


folder = sys.argv[1]
init_engine()
train_data = list(map(normalizer(mnist.TRAIN_MEAN, mnist.TRAIN_STD), get_mnist("train", folder)))
test_data = list(map(normalizer(mnist.TEST_MEAN, mnist.TEST_STD), get_mnist("test", folder)))
state = {"batchSize": 40, "learningRate": 0.1, "learningRateDecay": 0.0002}
optimizer = Optimizer(
    model=build_model(10),
    training_rdd=train_data,
    criterion=ClassNLLCriterion(),
    optim_method="SGD",
    state=state,
    end_trigger=MaxEpoch(4),
)
optimizer.setvalidation(batch_size=32, val_rdd=test_data, trigger=EveryEpoch(), val_method=["top1"])
optimizer.setcheckpoint(EveryEpoch(), folder + "/checkpoints")
trained_model = optimizer.optimize()
trained_model.save(folder + "/lenet-model", True)
results = Model.from_path(folder + "/lenet-model").test(test_data, 32, ["Top1Accuracy"])
