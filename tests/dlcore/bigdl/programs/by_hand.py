"""Training by hand: forward, criterion, backward, a step."""

from bigdl.nn.criterion import *
from bigdl.nn.layer import *
from bigdl.util.common import *

RNG().set_seed(7)
mlp = Sequential()
mlp.add(Linear(2, 8).set_name("hidden"))
mlp.add(Tanh())
mlp.add(Linear(8, 1).set_name("out"))
criterion = MSECriterion()
x = RNG().uniform(-1.0, 1.0, [64, 2])
y = x[:, :1] * x[:, 1:]
losses = []
for i in range(900):
    pred = mlp.forward(x)
    losses.append(criterion.forward(pred, y))
    grad = criterion.backward(pred, y)
    mlp.zero_grad_parameters()
    mlp.backward(x, grad)
    mlp.update_parameters(0.2)
parameters = mlp.parameters()
