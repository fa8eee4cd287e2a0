"""Graphs: layers called on nodes, several arguments to a call, tables; and layers with all their arguments."""

from bigdl.nn.criterion import *
from bigdl.nn.initialization_method import *
from bigdl.nn.layer import *
from bigdl.optim.optimizer import *
from bigdl.util.common import *

linear = Linear(4, 1)()
sigmoid = Sigmoid()(linear)
softmax = SoftMax()(sigmoid)
single = Model([linear], [softmax])
one = single.forward(np.ones((2, 4)))

first = Linear(4, 2, wRegularizer=L2Regularizer(0.1), bRegularizer=L2Regularizer(0.1))()
second = Linear(3, 2).set_init_method(Xavier(), Zeros()).set_name("second")()
relu2 = ReLU()(first)
relu3 = ReLU()(second)
several = Model([first, second], [CAddTable()(relu2, relu3)])
two = several.forward([np.ones((2, 4)), np.ones((2, 3))])

branches = ConcatTable().add(Linear(4, 3)).add(Identity())
pair = ParallelTable().add(Linear(3, 2)).add(Linear(4, 2))
both = Sequential().add(branches).add(pair).add(JoinTable(2, 2)).forward(np.ones((5, 4)))

pooled = SpatialMaxPooling(3, 2).forward(np.ones((1, 2, 6, 6)))
named = SpatialMaxPooling(2, 2, 2, 2).set_name("pool1")
sgd = SGD(learningrate=0.1, weight_decay=0.001)
simple = Sequential().add(Recurrent().add(RnnCell(4, 3, Tanh()))).add(TimeDistributed(Linear(3, 2)))
long_short = Recurrent().add(LSTM(4, 3))
steps = simple.forward(np.ones((2, 5, 4))), long_short.forward(np.ones((2, 5, 4)))
table = LookupTable(9, 4, 2.0, 10.0, 2.0, False, L1Regularizer(0.1))
looked_up = table.forward(np.array([[1, 2, 9]]))
plain = (
    Linear(2, 2, bigdl_type="float"),
    MaxEpoch(3, bigdl_type="float"),
    Xavier(bigdl_type="float"),
    Poly(0.5, 3, bigdl_type="float"),
)
