"""BigDL 0.1's style: methods and metrics by name, settings in a dictionary, the names of that time."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.criterion import MSECriterion
from dlcore.nn.layer import Linear
from dlcore.optim import Adam, EveryEpoch, MaxEpoch, Optimizer, Poly
from dlcore.optim.method import SGD
from dlcore.optim.named import METHODS, METRICS, method_of, metrics_of

X = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
DATA = X, X.sum(1)


def test_a_method_by_name_is_the_one_that_its_class_makes():
    state = {"learningRate": 0.2, "learningRateDecay": 0.1, "weightDecay": 0.3, "momentum": 0.5, "batchSize": 5}
    schedule = Poly(0.5, 10)
    old = Optimizer(
        model=Linear(2, 1),
        training_rdd=DATA,
        criterion=MSECriterion(),
        optim_method="SGD",
        state=state | {"learningRateSchedule": schedule},
        end_trigger=MaxEpoch(1),
    )
    assert old.batch_size == 5
    assert old.methods[""] == SGD(0.2, 0.1, 0.3, 0.5, leaningrate_schedule=schedule)
    assert Optimizer(Linear(2, 1), DATA, MSECriterion(), state={"learningRate": 3}).methods[""] == SGD(3)


def test_every_name_makes_its_object():
    for table in (METHODS, METRICS):
        for kind in table.values():
            assert isinstance(kind(), kind)
    assert method_of("adam", {}) == Adam()
    assert [type(each).__name__ for each in metrics_of(["top1", "Top5Accuracy", "MAE"])] == [
        "Top1Accuracy",
        "Top5Accuracy",
        "MAE",
    ]


def test_the_old_names_of_settings(tmp_path):
    optimizer = Optimizer(Linear(2, 1), DATA, MSECriterion(), MaxEpoch(2), 10, is_quiet=True)
    optimizer.setvalidation(batch_size=10, val_rdd=DATA, trigger=EveryEpoch(), val_method=["mae"])
    optimizer.setcheckpoint(EveryEpoch(), tmp_path).optimize()
    assert len(optimizer.state.history["MAE"]) == 2
    assert (tmp_path / "checkpoint.npz").exists()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: method_of("Adagard", {}),
            ValueError,
            r"got optimisation method 'Adagard', .*; did you mean 'Adagrad'\?",
        ),
        (lambda: method_of("SGD", {"learnRate": 1}), ValueError, "SGD: got state 'learnRate', expected one of"),
        (lambda: metrics_of(["Top2"]), ValueError, "got validation method 'Top2', expected one of Loss, MAE"),
        (lambda: metrics_of([3]), TypeError, "got validation method 3, expected an object such as Top1Accuracy"),
        (
            lambda: Optimizer(Linear(2, 1), DATA, MSECriterion(), optim_method=SGD(), state={"momentum": 1}),
            TypeError,
            r"got state \['momentum'\] with SGD",
        ),
    ],
)
def test_what_is_unknown_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
