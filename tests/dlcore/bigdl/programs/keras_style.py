"""BigDL's Keras API: compile, fit, evaluate, predict, save, load. argv: a folder."""

import sys

from bigdl.nn.keras.layer import *
from bigdl.nn.keras.topology import *
from bigdl.util.common import *

model = Sequential()
model.add(Dense(16, activation="tanh", input_shape=(2,)))
model.add(Dropout(0.1))
model.add(Dense(1, activation="sigmoid"))
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
x = RNG().uniform(-1.0, 1.0, [400, 2])
y = (x[:, 0] > x[:, 1]).astype("float32")
model.fit(x, y, batch_size=20, nb_epoch=15, validation_data=(x[:50], y[:50]), distributed=False)
results = model.evaluate(x, y, batch_size=50)
predicted = model.predict(x, distributed=False)
model.save(sys.argv[1] + "/keras", True)
loaded = Sequential.load(sys.argv[1] + "/keras")
