"""Logistic regression on digits, as tutorials have it, then the digits and their classes one by one. argv: folder of
the digits."""

import sys

from bigdl.dataset import mnist
from bigdl.nn.criterion import *
from bigdl.nn.layer import *
from bigdl.optim.optimizer import *
from bigdl.util.common import *
from bigdl.util.common import Sample

init_engine()
images, labels = mnist.read_data_sets(sys.argv[1], "train")
mean, std = np.mean(images), np.std(images)
train_data = [Sample.from_ndarray((image - mean) / std, label + 1) for image, label in zip(images, labels)]


def logistic_regression(n_input, n_classes):
    model = Sequential()
    model.add(Reshape([28 * 28]))
    model.add(Linear(n_input, n_classes))
    model.add(LogSoftMax())
    return model


optimizer = Optimizer(
    model=logistic_regression(784, 10),
    training_rdd=train_data,
    criterion=ClassNLLCriterion(),
    optim_method="SGD",
    state={"learningRate": 0.2},
    end_trigger=MaxEpoch(5),
    batch_size=40,
)
model = optimizer.optimize()
predictions = model.predict(train_data)
shown = [np.array(s.features).reshape(28, 28) for s in train_data[:8]]
right = [int(np.argmax(p)) == s.label[0] - 1 for p, s in zip(predictions, train_data)]
