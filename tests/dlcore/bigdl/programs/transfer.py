"""Analytics Zoo: the first layers of a saved network under new ones of Keras's style. argv: path of the saved
network."""

import sys

from bigdl.util.common import *
from zoo.pipeline.api.keras.layers import Dense, Flatten, Input
from zoo.pipeline.api.keras.models import Model
from zoo.pipeline.api.net import Net

full_model = Net.load_bigdl("dfs:" + sys.argv[1])
model = full_model.new_graph(["pool2"])
model.freeze_up_to(["pool1"])
input_node = Input(name="input", shape=(784,))
features = model.to_keras()(input_node)
logits = Dense(2, activation="softmax")(Flatten()(features))
classifier = Model(input_node, logits)
classifier.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
pictures = RNG().uniform(0.0, 1.0, [40, 784])
pictures[:20, :392] += 2.0
labels = np.repeat([0, 1], 20)
before = full_model.get_weights()
classifier.fit(pictures, labels, batch_size=20, nb_epoch=15)
after = full_model.get_weights()
scores = classifier.evaluate(pictures, labels)
