"""Models in Keras's style: they are the nn models they are made of, and learn."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore import inference
from dlcore.data.dataset import DataSet
from dlcore.data.sample import Sample
from dlcore.interop.native import load_module
from dlcore.keras.callbacks import EarlyStopping
from dlcore.keras.layer import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Convolution1D,
    Convolution2D,
    Deconvolution2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    MaxPooling2D,
    Merge,
)
from dlcore.keras.objectives import Weighted, loss_of
from dlcore.keras.topology import Model, Sequential
from dlcore.nn import layer as nn
from dlcore.nn.criterion import BCECriterion, ClassNLLCriterion, MSECriterion
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD
from dlcore.optim.metric import Top1Accuracy
from dlcore.optim.trigger import EveryEpoch, MaxEpoch
from dlcore.rng import RNG

rng = np.random.default_rng(3)
X = rng.standard_normal((240, 6)).astype(np.float32)
LABELS = (X[:, :3] @ rng.standard_normal((3, 3))).argmax(axis=1)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


def chain(last="softmax"):
    RNG.set_seed(4)
    model = Sequential()
    model.add(Dense(16, activation="relu", input_shape=(6,), name="hidden"))
    return model.add(Dense(3, activation=last, name="scores"))


def graph():
    RNG.set_seed(4)
    x = Input(shape=(6,), name="in")
    hidden = Dense(16, activation="relu", name="hidden")(x)
    return Model(x, Dense(3, activation="softmax", name="scores")(hidden))


def plain(source):
    """The same model of nn's layers, with the same weights."""
    model = nn.Sequential().add(nn.Linear(6, 16)).add(nn.ReLU()).add(nn.Linear(16, 3)).add(nn.SoftMax())
    model.set_weights(source.get_weights())
    return model


@pytest.mark.parametrize("make", [chain, graph])
def test_it_is_the_nn_model_of_the_same_weights(make):
    model = make()
    expected = plain(model)
    model.compile(SGD(0.1), ClassNLLCriterion(logProbAsInput=False))
    model.fit(X, LABELS + 1, batch_size=30, nb_epoch=3, seed=5)
    Optimizer(
        expected, (X, LABELS + 1), ClassNLLCriterion(logProbAsInput=False), MaxEpoch(3), 30, SGD(0.1), seed=5
    ).optimize()
    batches = [
        expected.forward(X[start : start + 32]).copy() for start in range(0, len(X), 32)
    ]  # as predict makes them
    np.testing.assert_array_equal(model.predict(X), np.concatenate(batches))


@pytest.mark.parametrize(
    ("loss", "targets"), [("categorical_crossentropy", ONE_HOT), ("sparse_categorical_crossentropy", LABELS)]
)
def test_fit_learns(loss, targets):
    model = chain()
    model.compile("adam", loss, metrics=["accuracy"])
    history = model.fit(X, targets, batch_size=16, nb_epoch=40, validation_split=0.25).history
    assert history.keys() == {"loss", "val_loss", "val_accuracy"}
    assert len(history["loss"]) == 40
    assert history["val_accuracy"][-1] >= 0.9
    found_loss, accuracy = model.evaluate(X, targets)
    assert accuracy.result == np.mean(model.predict_classes(X) == LABELS) >= 0.9
    assert found_loss.result == pytest.approx(-np.log(model.predict(X)[np.arange(240), LABELS]).mean(), rel=1e-4)


def test_metrics_of_one_output():
    model = Sequential().add(Dense(1, activation="sigmoid", input_shape=(6,)))
    model.compile("sgd", "binary_crossentropy", ["acc", "mae"])
    targets = (LABELS == 1)[:, None].astype(np.float32)
    output = model.predict(X)
    accuracy, error = (found.result for found in model.evaluate(X, targets)[1:])
    assert accuracy == np.mean((output > 0.5) == (targets == 1))
    assert error == pytest.approx(np.abs(output - targets).mean(), rel=1e-5)
    np.testing.assert_array_equal(model.predict_classes(X), (output > 0.5)[:, 0])


def test_objects_take_labels_from_one():
    model = chain("linear")
    model.compile(SGD(), ClassNLLCriterion(), [Top1Accuracy(), "accuracy"])
    of_object, of_name = (found.result for found in model.evaluate(X, LABELS + 1)[1:])
    assert of_object == of_name == np.mean(model.predict_classes(X) == LABELS)


def test_two_fits_are_one_long_fit():
    models = chain(), chain()
    for model, parts in zip(models, [(4,), (1, 3)], strict=True):
        model.compile("adam", "categorical_crossentropy")
        for epochs in parts:
            model.fit(X, ONE_HOT, epochs=epochs)
    np.testing.assert_array_equal(models[0].predict(X), models[1].predict(X))


@pytest.mark.parametrize("criterion", [BCECriterion(), MSECriterion()])
def test_weighted_loss(criterion):
    weights = np.array([0.5, 2.0, 0.0, 2.0], np.float32)
    output, target = rng.uniform(0.1, 0.9, (4, 3)), rng.uniform(0, 1, (4, 3))
    singles = [criterion.forward(output[n : n + 1], target[n : n + 1]) for n in range(4)]
    assert Weighted(criterion).forward(output, [target, weights]) == pytest.approx(np.dot(singles, weights) / 3)
    grads = [criterion.backward(output[n : n + 1], target[n : n + 1])[0] * weights[n] / 3 for n in range(4)]
    np.testing.assert_allclose(Weighted(criterion).backward(output, [target, weights]), grads, rtol=1e-6)


def test_class_weights_are_weights_of_records():
    by_class = {0: 1.0, 1: 3.0, 2: 0.5}
    given = [{"class_weight": by_class}, {"sample_weight": [by_class[label] for label in LABELS]}, {}]
    results = []
    for options in given:
        model = chain()
        model.compile(SGD(0.1), "categorical_crossentropy")
        model.fit(X, ONE_HOT, nb_epoch=2, **options)
        results.append(model.predict(X))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 0.01
    with pytest.raises(ValueError, match=r"got no class_weight for the labels \[1, 2\]"):
        model.fit(X, ONE_HOT, class_weight={0: 1.0})


def test_the_optimizer_takes_what_fit_does_not_name(tmp_path):
    model = chain()
    before = model.get_weights()[0]
    model.compile(SGD(1.0), "categorical_crossentropy")
    model.fit(
        X,
        ONE_HOT,
        batch_size=240,
        nb_epoch=1,
        configure=lambda o: o.set_gradclip_l2norm(1e-3).set_checkpoint(EveryEpoch(), tmp_path),
    )
    assert 0 < np.linalg.norm(model.get_weights()[0] - before) <= 1.001e-3
    assert (tmp_path / "checkpoint.npz").exists()


def test_early_stopping_keeps_the_best_weights():
    RNG.set_seed(4)
    model = Sequential().add(Dense(8, input_shape=(6,))).add(BatchNormalization()).add(Dense(3, activation="softmax"))
    model.compile(SGD(5.0), "mse")  # far too fast: what it has learned by one epoch is lost by another
    stop = EarlyStopping(patience=3, restore_best_weights=True)
    history = model.fit(X, ONE_HOT, nb_epoch=50, validation_data=(X, ONE_HOT), callbacks=[stop]).history
    assert stop.stopped_epoch is not None
    losses = history["val_loss"]
    assert len(losses) == stop.stopped_epoch + 1 == int(np.argmin(losses)) + 4 < 50
    assert model.evaluate(X, ONE_HOT)[0].result == pytest.approx(min(losses), rel=1e-6)
    with pytest.raises(ValueError, match="got monitor 'val_loss', expected one of loss"):
        model.fit(X, ONE_HOT, callbacks=[EarlyStopping()])


@pytest.mark.parametrize("make", [chain, graph])
def test_saved_beside_nn_layers_of_the_same_name(make, tmp_path):
    whole = nn.Sequential().add(make()).add(nn.Reshape([3])).add(nn.Dropout(0.5)).evaluate()
    loaded = load_module(whole.save(tmp_path / "model"))
    assert [type(part) for part in loaded.modules] == [type(part) for part in whole.modules]
    np.testing.assert_array_equal(loaded.forward(X), whole.forward(X))
    assert str(loaded.modules[0]) == str(whole.modules[0])
    again = loaded.modules[0]
    again.compile("adam", "mse")
    again.fit(X, ONE_HOT, nb_epoch=1)


@pytest.mark.parametrize("make", [chain, graph])
def test_plan(make):
    model = make().evaluate()
    plan = inference.compile(model, (240, 6))
    np.testing.assert_allclose(plan(X), model.forward(X), atol=1e-6)


def test_graph_of_two_inputs_with_a_shared_layer():
    first, second = Input(shape=(6,)), Input(shape=(6,))
    shared = Dense(4)
    model = Model([first, second], nn.CAddTable()(shared(first), shared(second)))
    assert model.get_input_shape() == [(None, 6), (None, 6)]
    assert model.get_output_shape() == (None, 4)
    weight, bias = model.get_weights()
    np.testing.assert_allclose(model.predict([X, 2 * X]), 3 * X @ weight.T + 2 * bias, atol=1e-5)
    model.compile("sgd", "mse")
    assert len(model.fit([X, X], np.zeros((240, 4)), epochs=2).history["loss"]) == 2


def test_two_outputs_with_a_loss_each():
    RNG.set_seed(4)
    x = Input(shape=(6,))
    hidden = nn.ReLU()(Dense(8)(x))
    model = Model(x, [Dense(3, activation="softmax")(hidden), Dense(1)(hidden)])
    model.compile(Adam(0.02), ["sparse_categorical_crossentropy", "mse"])
    targets = [LABELS, X[:, :1]]
    history = model.fit(X, targets, epochs=15, validation_split=0.2).history
    assert history["val_loss"][-1] < 0.7 * history["val_loss"][0]
    scores, amount = model.predict(X)
    expected = -np.log(scores[np.arange(240), LABELS]).mean() + np.square(amount - X[:, :1]).mean()
    assert model.evaluate(X, targets)[0].result == pytest.approx(expected, rel=1e-4)


def test_metrics_and_a_single_loss_of_two_outputs():
    x = Input(shape=(6,))
    scores, shown = Dense(3, activation="softmax", name="scores")(x), Dense(1)(x)
    model = Model(x, [scores, shown])
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], metrics=["accuracy"])
    targets = [LABELS, X[:, 0]]
    found = {each.method: each.result for each in model.evaluate(X, targets)}
    guesses, amount = model.predict(X)
    assert found["scores_accuracy"] == pytest.approx((guesses.argmax(axis=1) == LABELS).mean())
    assert found["output_2_accuracy"] == pytest.approx(((amount[:, 0] > 0.5) == (X[:, 0] > 0.5)).mean())
    model.compile("sgd", "mse", metrics=["mae"])
    gaps = [guesses - ONE_HOT, amount - X[:, :1]]
    expected = [np.square(gaps[0]).mean() + np.square(gaps[1]).mean(), *(np.abs(gap).mean() for gap in gaps)]
    results = [each.result for each in model.evaluate(X, [ONE_HOT, X[:, 0]])]
    np.testing.assert_allclose(results, expected, rtol=1e-4)
    with pytest.raises(ValueError, match="got 1 losses for 2 outputs, expected one for each"):
        model.compile("sgd", ["mse"])


def test_a_single_array_may_be_in_a_list_or_be_lists_of_numbers():
    model = chain()
    model.compile("sgd", "categorical_crossentropy")
    expected, loss = model.predict(X), model.evaluate(X, ONE_HOT)[0].result
    for x, y in (([X], [ONE_HOT]), (X.tolist(), ONE_HOT.tolist())):
        np.testing.assert_array_equal(model.predict(x), expected)
        assert model.evaluate(x, y)[0].result == loss
    losses = []
    for x, y in ((X, ONE_HOT), ([X], [ONE_HOT])):
        model = chain()
        model.compile("sgd", "categorical_crossentropy")
        losses.append(model.fit(x, y, nb_epoch=1, validation_data=(x, y)).history)
    assert losses[0] == losses[1]


def test_targets_of_a_single_output_may_be_a_row():
    is_first = (LABELS == 0).astype(np.float32)
    histories = []
    for targets in (is_first, is_first[:, None]):
        RNG.set_seed(4)
        model = Sequential().add(Dense(1, activation="sigmoid", input_shape=(6,)))
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
        history = model.fit(X, targets, nb_epoch=2, validation_data=(X, targets)).history
        histories.append([*history.values(), [each.result for each in model.evaluate(X, targets)]])
    assert histories[0] == histories[1]


def test_branches_merged():
    """As Keras 1 writes it: Merge of two models is the first layer of a third."""
    left = Sequential().add(Dense(4, activation="tanh", input_shape=(6,)))
    right = Sequential().add(Dense(4, input_shape=(6,)))
    model = Sequential().add(Merge([left, right], mode="concat")).add(Dense(1))
    assert model.get_input_shape() == [(None, 6), (None, 6)]
    joined = np.hstack([left.predict(X), right.predict(2 * X)])
    weight, bias = model.get_weights()[-2:]
    np.testing.assert_allclose(model.predict([X, 2 * X]), joined @ weight.T + bias, atol=1e-5)


def convolutional():
    RNG.set_seed(4)
    model = Sequential().add(Convolution2D(4, 3, 3, activation="relu", border_mode="same", input_shape=(2, 8, 9)))
    model.add(BatchNormalization()).add(MaxPooling2D()).add(Dropout(0.5))
    return model.add(Flatten()).add(Dense(3, activation="softmax")), rng.standard_normal((5, 2, 8, 9))


def of_sequences():
    RNG.set_seed(4)
    model = Sequential().add(Embedding(20, 6, input_length=7)).add(Convolution1D(5, 3, activation="relu"))
    model.add(Bidirectional(GRU(4, return_sequences=True))).add(LSTM(4))
    return model.add(Dense(1, activation="sigmoid")), rng.integers(0, 20, (5, 7))


@pytest.mark.parametrize("make", [convolutional, of_sequences])
def test_files_and_plans_of_all_kinds_of_layers(make, tmp_path):
    model, x = make()
    expected = model.predict(x)
    loaded = load_module(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict(x), expected)
    plan = inference.compile(loaded.evaluate(), x.shape)
    np.testing.assert_allclose(plan(x.astype(np.float32)), expected, atol=1e-6)


def test_summary(capsys):
    chain().summary()
    assert capsys.readouterr().out.splitlines() == [
        "Layer (type)          Output Shape  Connected to  Param #",
        "hidden (Dense)        (None, 16)                      112",
        "scores (Dense)        (None, 3)     hidden             51",
        "Total params                                          163",
        "Trainable params                                      163",
        "Non-trainable params                                    0",
    ]


def test_errors_say_what_to_do():
    with pytest.raises(TypeError, match="missing a required argument: 'output_shape'"):
        Deconvolution2D(2, 3, 3)
    with pytest.raises(ValueError, match=r"got ReLU as its first layer.*begin with InputLayer"):
        Sequential().add(nn.ReLU())
    with pytest.raises(ValueError, match="got no input shape"):
        Sequential().add(Flatten())
    with pytest.raises(ValueError, match="got no layers"):
        Sequential().get_input_shape()
    with pytest.raises(RuntimeError, match="call compile"):
        chain().fit(X, ONE_HOT)
    with pytest.raises(ValueError, match=r"got no y.*pass fit\(x, y\)"):
        compiled = chain()
        compiled.compile("sgd", "mse")
        compiled.fit(X)
    with pytest.raises(ValueError, match=r"got label 3, expected 0 to 2; labels are 0-based \(subtract 1"):
        loss_of("sparse_categorical_crossentropy").forward(ONE_HOT, LABELS + 1)
    with pytest.raises(ValueError, match=r"got target \(239,\), expected \(240,\) labels"):
        loss_of("sparse_categorical_crossentropy").forward(ONE_HOT, LABELS[1:])
    with pytest.raises(
        ValueError, match=r"expected one-hot targets .* for labels take sparse_categorical_crossentropy"
    ):
        loss_of("categorical_crossentropy").forward(ONE_HOT, LABELS)
    with pytest.raises(ValueError, match="expected one label for each record"):
        compiled = Sequential().add(Dense(3, activation="softmax", input_shape=(2, 6)))
        compiled.compile("sgd", "sparse_categorical_crossentropy")
        compiled.fit(X.reshape(-1, 2, 6), LABELS.reshape(-1, 2), class_weight={0: 1.0, 1: 2.0, 2: 1.0})
    with pytest.raises(ValueError, match="got optimizer 'fast', expected one of adadelta"):
        chain().compile("fast", "mse")
    with pytest.raises(ValueError, match=r"got validation_split 0\.999"):
        compiled = chain()
        compiled.compile("sgd", "mse")
        compiled.fit(X, ONE_HOT, validation_split=0.999)
    with pytest.raises(ValueError, match="made by Input"):
        x = nn.Input()
        Model(x, nn.ReLU()(x)).get_input_shape()


def test_samples_and_data_sets_train_score_and_predict_as_their_arrays_do():
    rows = np.random.default_rng(3)
    x = rows.standard_normal((40, 3)).astype(np.float32)
    y = (x[:, :1] > 0).astype(np.float32)
    samples = [Sample.from_ndarray(each, label) for each, label in zip(x, y, strict=True)]

    def fitted(*data, validation):
        RNG.set_seed(2)
        model = Sequential().add(Dense(4, activation="tanh", input_shape=(3,))).add(Dense(2, activation="softmax"))
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        return model, model.fit(*data, batch_size=8, nb_epoch=3, validation_data=validation, is_quiet=True).history

    expected, history = fitted(x, y, validation=(x[:9], y[:9]))
    for data, validation in ((samples, samples[:9]), (DataSet.array(x, y), DataSet.array(x[:9], y[:9]))):
        model, found = fitted(data, validation=validation)
        assert found == history
        np.testing.assert_array_equal(model.predict(data), expected.predict(x))
        np.testing.assert_array_equal(model.predict_classes(data), expected.predict_classes(x))
        assert model.evaluate(data) == expected.evaluate(x, y)
        with pytest.raises(ValueError, match="expected arrays x and y"):
            model.fit(data, validation_split=0.5)
    with pytest.raises(ValueError, match="got no y"):
        expected.fit(x)
