"""What a training refuses before it begins."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.metric import Top1Accuracy
from dlcore.optim.summary import TrainSummary
from dlcore.optim.trigger import EveryEpoch, MaxEpoch, TriggerAnd, TriggerOr
from tests.dlcore.optim.small_training import X, Y, network, trained


def test_batches_must_divide_among_the_workers():
    with pytest.raises(ValueError, match="a multiple of the workers"):
        Optimizer(network(), (X, Y), ClassNLLCriterion(), batch_size=10, workers=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model", (X, Y), ClassNLLCriterion()), "got model 'model', expected an object of Module"),
        ((network(), (X, Y), ClassNLLCriterion), r"expected an object of Criterion; make one: ClassNLLCriterion\("),
        (
            (network(), (X, Y), ClassNLLCriterion(), MaxEpoch(1), 32, SGD),
            r"expected an object of OptimMethod; make one: SGD\(",
        ),
    ],
)
def test_what_is_no_model_criterion_or_method_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        Optimizer(*arguments)


SET = {
    "set_end_when": [(MaxEpoch,), (5,)],
    "set_checkpoint": [(EveryEpoch, "folder"), ("folder", EveryEpoch())],
    "set_validation": [(10, (X, Y), EveryEpoch, [Top1Accuracy()])],
    "set_evaluation": [(EveryEpoch, len)],
    "set_train_summary": [("folder",)],
    "set_val_summary": [("folder",)],
}


@pytest.mark.parametrize(("name", "arguments"), [(name, each) for name, several in SET.items() for each in several])
def test_settings_of_another_kind_are_refused_where_they_are_made(name, arguments):
    optimizer = Optimizer(network(), (X, Y), ClassNLLCriterion())
    with pytest.raises(
        TypeError, match=r"got (end )?trigger .*expected an object of Trigger|expected an object of .*Summary"
    ):
        getattr(optimizer, name)(*arguments)


def test_a_trigger_may_be_a_function_but_not_a_class():
    assert trained(1, lambda state: state.iteration == 3).state.iteration == 3
    for make in (
        lambda: TriggerOr(MaxEpoch(2), EveryEpoch),
        lambda: TriggerAnd(3),
        lambda: TrainSummary("folder", "app").set_summary_trigger("Loss", EveryEpoch),
        lambda: Optimizer(network(), (X, Y), ClassNLLCriterion(), MaxEpoch),
    ):
        with pytest.raises(TypeError, match=r"expected an object of Trigger"):
            make()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda of: of.set_gradclip_const(1, -1), ValueError, "got 1 to -1, expected the smaller number first"),
        (lambda of: of.set_gradclip_l2norm(0), ValueError, "got 0, expected a norm above 0"),
        (lambda of: of.set_checkpoint(EveryEpoch(), __file__), ValueError, "got the file .*, expected a folder"),
        (lambda of: of.set_traindata((X, Y[:7]), 12), ValueError, "got 60 inputs and 7 targets, expected as many"),
        (lambda of: Optimizer(of.model, (X, Y), of.criterion, batch_size=None), TypeError, "got batch_size None"),
        (lambda of: Optimizer(of.model, (X, Y), of.criterion, batch_size=7.5), TypeError, "got batch_size 7.5"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call(Optimizer(network(), (X, Y), ClassNLLCriterion()))


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (np.eye(2)[Y.astype(int) - 1], ValueError, r"got labels \(60, 2\) of 0 and 1.*one-hot: give labels.argmax"),
        (Y + 0.5, ValueError, "got label [12].5, expected whole numbers from 1 to 2"),
        (np.where(Y == 1, "no", "yes"), TypeError, "got targets of type <U3, expected numbers"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, kind, message):
    with pytest.raises(kind, match=message):
        Optimizer(network(), (X, labels), ClassNLLCriterion(), is_quiet=True).optimize()
