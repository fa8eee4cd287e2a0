"""What BigDL hangs on every layer: each name of the surface does what it says when called on a layer."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from dlcore.data.image import ImageFrameToSample, LocalImageFrame, MatToTensor, Pipeline
from dlcore.data.sample import Sample
from dlcore.interop.native import load_module
from dlcore.keras import layer as k
from dlcore.keras.topology import Model as KerasModel
from dlcore.nn.criterion import CrossEntropyCriterion
from dlcore.nn.init import Ones
from dlcore.nn.layer import (
    BatchNormalization,
    Cosine,
    Dropout,
    Linear,
    LookupTable,
    ParallelTable,
    ReLU,
    Select,
    Sequential,
    SpatialConvolution,
)
from dlcore.nn.module import Module as Layer
from dlcore.nn.regularizer import L2Regularizer
from dlcore.optim.metric import Loss
from dlcore.rng import RNG
from dlcore.surface import SURFACE, attached

X = np.ones((2, 3), np.float32)


PREDICTED = [[1.75, 1.75]] * 2
"""What the model gives for X."""


def check_weights(model):
    expected = [parameter.value for parameter in model.named_parameters().values()]
    for got, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(got, value)


def check_set_weights(model):
    model.set_weights({"fc.bias": np.zeros(2)})
    np.testing.assert_array_equal(model.forward(X), [[1.5, 1.5]] * 2)
    model.set_weights({"fc": [np.zeros((2, 3)), np.ones(2)]})
    np.testing.assert_array_equal(model.forward(X), [[1, 1]] * 2)
    with pytest.raises(KeyError, match=r"'fd'.*expected one of"):
        model.set_weights({"fd": []})
    with pytest.raises(KeyError, match=r"got weights called \['wight'\], expected some of"):
        model.set_weights({"fc": {"wight": 1}})
    with pytest.raises(ValueError, match=r"got weight of shape \(2,\), expected \(2, 3\)"):
        model.set_weights([np.ones(2), np.ones(2)])
    with pytest.warns(UserWarning, match=r"got weight of shape \(3, 2\), expected \(2, 3\); it is taken row by row"):
        model.set_weights([np.arange(6).reshape(3, 2), np.zeros(2)])
    np.testing.assert_array_equal(model.get_weights()[0], [[0, 1, 2], [3, 4, 5]])
    table = LookupTable(2, 3)
    table.set_weights(np.ones((2, 3)))
    np.testing.assert_array_equal(table.get_weights(), [np.ones((2, 3))])
    model.set_weights([np.ones((2, 3)), np.full(2, 5)])
    np.testing.assert_array_equal(model.forward(X), [[8, 8], [8, 8]])


def check_layer_weights(model):
    """By layer, as BigDL shows them: with its shapes, its names, and what batch normalisation has measured."""
    model.forward(X)
    model.backward(X, np.ones((2, 2)))
    assert list(model.parameters()) == ["fc"]
    shown = model.parameters()["fc"]
    np.testing.assert_array_equal(shown["weight"], np.full((2, 3), 0.5))
    np.testing.assert_array_equal(shown["gradBias"], [2, 2])
    assert SpatialConvolution(2, 4, 3, 3).set_name("c").parameters()["c"]["gradWeight"].shape == (1, 4, 2, 3, 3)
    assert set(BatchNormalization(2).parameters()["BatchNormalization"]) >= {"runningMean", "runningVar"}


def check_dtype(model):
    assert model.get_dtype() == "float32"
    assert Linear(1, 1, bigdl_type="double").get_dtype() == "float64"


def check_predict(name):
    def check(model):
        rows = np.repeat(X, 40, axis=0)
        np.testing.assert_array_equal(getattr(model, name)(rows), PREDICTED * 40)
        np.testing.assert_array_equal(getattr(model, name)(rows, batch_size=7), PREDICTED * 40)
        np.testing.assert_array_equal(getattr(model, name)([Sample.from_ndarray(row) for row in rows]), PREDICTED * 40)
        assert model.is_training()
        tables = ParallelTable().add(ReLU()).add(Dropout(0.5))
        first, second = getattr(tables, name)([X, 2 * X])
        np.testing.assert_array_equal([first, second], [X, 2 * X])
        with pytest.raises(ValueError, match=r"got inputs of lengths \[2, 80\]"):
            getattr(tables, name)([X, rows])

    return check


def check_predict_class(name):
    def check(model):
        model.set_weights({"fc": {"bias": [0, 1]}})
        np.testing.assert_array_equal(getattr(model, name)(X), [2, 2])
        with pytest.raises(ValueError, match=r"got outputs \(2,\), expected scores"):
            getattr(Select(2, 1), name)(X)

    return check


def check_predict_image(model):
    pictures = [np.full((2, 2, 3), shade, np.uint8) for shade in (0, 10, 20, 30, 40)]
    frame = LocalImageFrame(pictures).transform(Pipeline([MatToTensor(), ImageFrameToSample()]))
    network = (
        Sequential()
        .add(SpatialConvolution(3, 1, 2, 2, init_weight=np.ones((1, 1, 3, 2, 2))).set_name("sum"))
        .add(ReLU())
    )
    network.modules[0].bias.value[:] = -60
    assert network.predict_image(frame) is frame
    assert [value.item() for _, value in frame.get_predict()] == [0, 60, 180, 300, 420]
    network.predict_image(frame, output_layer="sum", batch_per_partition=2, predict_key="linear")
    assert [value.item() for _, value in frame.get_predict("linear")] == [-60, 60, 180, 300, 420]
    assert all(module.is_training() for _, module in network.named_modules())
    with pytest.raises((TypeError, ValueError), match="ImageFrameToSample"):
        network.predict_image(LocalImageFrame(pictures))


def check_test(model):
    for scored in (model.test, model.evaluate):
        found = scored((X, np.ones(2)), 1, ["Top1Accuracy", Loss(CrossEntropyCriterion())])
        assert [(each.method, each.total_num) for each in found] == [("Top1Accuracy", 2), ("Loss", 2)]
        assert found[0].result == 1
    assert model.is_training()
    assert model.evaluate() is model
    assert not model.is_training()
    with pytest.raises(ValueError, match="got no val_methods"):
        model.test((X, np.ones(2)))
    with pytest.raises(ValueError, match="did you mean 'Top5Accuracy'"):
        model.test((X, np.ones(2)), 1, ["Top5Acuracy"])


def check_save_apart(model, folder):
    model.saveModel(folder / "one")
    np.testing.assert_array_equal(Layer.loadModel(folder / "one").forward(X), PREDICTED)
    model.saveModel(folder / "two", folder / "far" / "weights.npz")
    with pytest.raises(FileNotFoundError):
        Layer.loadModel(folder / "two")
    np.testing.assert_array_equal(Layer.loadModel(folder / "two", folder / "far/weights.npz").forward(X), PREDICTED)
    with pytest.raises(FileExistsError, match=r"weights.npz exists; pass over_write=True"):
        model.saveModel(folder / "three", folder / "far/weights.npz")
    model.saveModel(folder / "two", folder / "far/weights.npz", over_write=True)
    assert sorted(path.name for path in folder.iterdir()) == ["far", "one", "two"]


def check_to_keras(model):
    """Classic and Keras layers in one graph."""
    inputs = k.Input(shape=(3,))
    mixed = KerasModel(inputs, k.Dense(2, init="one")(model.to_keras()(inputs)))
    np.testing.assert_array_equal(mixed.predict(X), [[3.5, 3.5]] * 2)


def check_parameters(model):
    weights, grads = model.get_parameters()
    assert weights.size == grads.size == 8
    weights.fill(1)
    np.testing.assert_array_equal(model.forward(X), [[4, 4], [4, 4]])


def check_step(model):
    model.forward(X)
    model.backward(X, np.ones((2, 2)))
    before = model.get_weights()
    model.update_parameters(0.5)
    np.testing.assert_allclose(model.get_weights()[1], before[1] - 1, atol=1e-6)


def check_zero(model):
    model.forward(X)
    model.backward(X, np.ones((2, 2)))
    assert model.get_parameters()[1].all()
    model.zero_grad_parameters()
    assert not model.get_parameters()[1].any()


def check_reset(model):
    before = model.get_weights()
    assert model.reset() is model
    assert not np.array_equal(model.get_weights()[0], before[0])


def check_seed(model):
    assert model.set_seed(100) is model
    assert RNG.uniform(0, 1, 1)[0] == pytest.approx(0.543405, abs=1e-6)  # BigDL's first number after this seed


def check_init_method(model):
    model.modules[0].set_init_method(Ones(), Ones())
    np.testing.assert_array_equal(model.forward(X), [[4, 4], [4, 4]])
    with pytest.raises(TypeError, match="ReLU: got a setting for weight"):
        model.modules[1].set_init_method(Ones())
    with pytest.warns(UserWarning, match="Cosine: got a setting for bias"):
        cosine = Cosine(2, 3).set_init_method(Ones(), Ones())
    np.testing.assert_array_equal(cosine.get_weights(), [np.ones((3, 2))])


def check_regularizer(name, parameter):
    def check(model):
        linear = model.modules[0]
        getattr(linear, name)(L2Regularizer(0.5))
        model.forward(X)
        model.backward(X, np.zeros((2, 2)))
        np.testing.assert_allclose(getattr(linear, parameter).grad, 0.5 * getattr(linear, parameter).value)
        with pytest.raises(TypeError, match="ReLU: got a setting"):
            getattr(model.modules[1], name)(L2Regularizer(0.5))

    return check


def check_frozen(model):
    assert model.freeze("fc") is model
    assert all(parameter.frozen for parameter in model.named_parameters().values())
    assert not any(parameter.frozen for parameter in model.unfreeze().named_parameters().values())


def check_with_weights(model):
    assert model.is_with_weights()
    assert not ReLU().is_with_weights()


def check_summary(model):
    assert model.summary((None, 3)).splitlines()[-1].split() == ["total", "8"]


def check_quantize(model):
    found = model.quantize()
    assert "quantized.Linear" in str(found)
    assert "quantized" not in str(model)
    np.testing.assert_allclose(found.forward(X), PREDICTED, rtol=0.02)


def check_save(model, folder):
    np.testing.assert_array_equal(load_module(model.save(folder / "model")).forward(X), model.forward(X))
    np.testing.assert_array_equal(Layer.load(folder / "model").forward(X), model.forward(X))


def check_to_graph(model):
    graph = model.to_graph()
    assert graph.node("fc").element() is model.modules[0]
    np.testing.assert_array_equal(graph.forward(X), model.forward(X))


def check_topology(model, folder):
    assert model.save_graph_topology(folder / "topology") is model
    assert len(list((folder / "topology").glob("events.out.tfevents.*"))) == 1


CHECKS = {
    "freeze": check_frozen,
    "get_dtype": check_dtype,
    "get_parameters": check_parameters,
    "get_weights": check_weights,
    "is_with_weights": check_with_weights,
    "parameters": check_layer_weights,
    "predict": check_predict("predict"),
    "predict_class": check_predict_class("predict_class"),
    "predict_class_distributed": check_predict_class("predict_class_distributed"),
    "predict_class_local": check_predict_class("predict_class_local"),
    "predict_distributed": check_predict("predict_distributed"),
    "predict_image": check_predict_image,
    "predict_local": check_predict("predict_local"),
    "quantize": check_quantize,
    "reset": check_reset,
    "save": check_save,
    "saveModel": check_save_apart,
    "setBRegularizer": check_regularizer("setBRegularizer", "bias"),
    "setWRegularizer": check_regularizer("setWRegularizer", "weight"),
    "save_graph_topology": check_topology,
    "set_init_method": check_init_method,
    "set_seed": check_seed,
    "set_weights": check_set_weights,
    "summary": check_summary,
    "test": check_test,
    "to_graph": check_to_graph,
    "to_keras": check_to_keras,
    "unfreeze": check_frozen,
    "update_parameters": check_step,
    "zero_grad_parameters": check_zero,
}


@pytest.mark.parametrize("name", CHECKS)
def test_surface(name, tmp_path):
    model = Sequential().add(Linear(3, 2).set_name("fc")).add(ReLU())
    model.set_weights([np.full((2, 3), 0.5), np.full(2, 0.25)])
    check = CHECKS[name]
    check(model, tmp_path) if check in (check_save, check_save_apart, check_topology) else check(model)


@pytest.mark.parametrize("given", ["records", 3.0, Sample.from_ndarray(np.ones(3), 1)])
def test_one_record_is_no_data_to_predict_on(given):
    with pytest.raises(
        TypeError, match=r"predict: got .*, expected an array with the records along its first dimension"
    ):
        Linear(3, 2).predict(given)


def test_targets_given_apart_are_not_taken_for_a_batch_size():
    with pytest.raises(TypeError, match=r"got batch_size of type ndarray.*evaluate\(\(inputs, targets\), 32"):
        Linear(3, 2).evaluate(np.ones((4, 3)), np.ones(4), ["Top1Accuracy"])


def test_nothing_escapes_its_check():
    assert CHECKS.keys() == SURFACE.keys()
    assert SURFACE.keys() <= set(dir(ReLU()))


def test_unknown_names_are_no_attributes(capsys):
    with pytest.raises(AttributeError) as caught:
        ReLU().predict_clas  # noqa: B018
    sys.__excepthook__(AttributeError, caught.value, None)
    assert "Did you mean: 'predict_class'?" in capsys.readouterr().err
    with pytest.raises(AttributeError, match="ReLU has no attribute 'fly'"):
        ReLU().fly()
    with pytest.raises(AttributeError, match="fly"):
        attached("fly")
