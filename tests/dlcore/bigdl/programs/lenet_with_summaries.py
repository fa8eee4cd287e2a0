"""LeNet with summaries that are read and plotted, as in 0.2 and later. argv: folder of the digits."""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from bigdl.dataset import mnist
from bigdl.models.lenet.lenet5 import build_model
from bigdl.nn.criterion import *
from bigdl.optim.optimizer import *
from bigdl.util.common import *

folder = sys.argv[1]
init_engine()
redire_spark_logs()
(X_train, Y_train), (X_test, Y_test) = mnist.load_data(folder)
optimizer = Optimizer.create(
    model=build_model(10),
    training_set=(X_train, Y_train),
    criterion=ClassNLLCriterion(),
    optim_method=SGD(learningrate=0.2, learningrate_decay=0.0002),
    end_trigger=MaxEpoch(3),
    batch_size=40,
)
optimizer.set_validation(
    batch_size=64,
    X_val=X_test,
    Y_val=Y_test,
    trigger=EveryEpoch(),
    val_method=[Top1Accuracy(), Loss(ClassNLLCriterion())],
)
train_summary = TrainSummary(log_dir=folder + "/logs", app_name="lenet")
train_summary.set_summary_trigger("Parameters", SeveralIteration(5))
val_summary = ValidationSummary(log_dir=folder + "/logs", app_name="lenet")
optimizer.set_train_summary(train_summary)
optimizer.set_val_summary(val_summary)
optimizer.set_checkpoint(EveryEpoch(), folder + "/checkpoints")
trained_model = optimizer.optimize()

loss = np.array(train_summary.read_scalar("Loss"))
top1 = np.array(val_summary.read_scalar("Top1Accuracy"))
plt.plot(loss[:, 0], loss[:, 1], label="loss")
plt.plot(top1[:, 0], top1[:, 1], label="top1")
plt.savefig(folder + "/curves.png")
parameters = trained_model.parameters()
results = trained_model.evaluate((X_test, Y_test), 64, [Top1Accuracy()])
for result in results:
    print(result)
