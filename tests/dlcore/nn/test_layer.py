"""All layers under one name: which they are, that each has a row in its family's table, and what their docstrings
state."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import dlcore
from dlcore.activity import SparseMatrix, as_activity, leaves, map_leaves
from dlcore.nn import layer
from dlcore.nn.composed import Composed
from dlcore.nn.module import Module
from dlcore.nn.onnx import layer as onnx_layer
from dlcore.nn.shapes import shape_of
from dlcore.number_type import FLOATS, making
from dlcore.rng import RNG

FAMILIES = [path.stem for path in (Path(__file__).parent / "layers").glob("test_*.py")]
NAMES = Path(__file__).parents[2] / "golden/layer_names.txt"


def test_the_names_stay():
    assert layer.__all__ == NAMES.read_text().split()


def cases():
    """Name -> case, of all families."""
    tables = (importlib.import_module(f"tests.dlcore.nn.layers.{family}").CASES for family in FAMILIES)
    return {name: case for table in tables for name, case in table.items()}


def layers():
    """The public layers, without the classes that only others derive from; those of ONNX as onnx.Gemm."""
    abstract = {"Container", "Module"}
    kinds = {name: getattr(layer, name) for name in layer.__all__ if name not in abstract}
    kinds |= {f"onnx.{name}": getattr(onnx_layer, name) for name in onnx_layer.__all__}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Module)}


def test_nothing_escapes_its_harness():
    """Whatever dlcore defines, in whichever file, and whether or not it is public; Keras's layers have tests of their
    own, and the models of its style that have BigDL's names compute what Keras's do."""
    for found in pkgutil.walk_packages(dlcore.__path__, "dlcore."):
        importlib.import_module(found.name)
    ours = {kind for kind in Module.registry.values() if kind.__module__.startswith("dlcore.")}
    parents = {parent for kind in ours for parent in kind.__mro__[1:] if "apply" not in vars(parent)}
    known = {Module.registry.key(kind) for kind in ours - parents - {Composed}}
    assert {key.removeprefix("nn.") for key in known if not key.startswith(("keras.", "bigdl.", "quantized."))} == {
        name.split("-")[0] for name in cases()
    }


@pytest.mark.parametrize("name", layers())
def test_a_layer_states_its_shapes_and_its_source(name):
    doc = inspect.getdoc(layers()[name])
    assert re.search(r"(^|\. )x: .+ -> .+", doc, flags=re.M), "expected 'x: ... -> ...'"
    assert re.search(r"(^|\. )Source: [^.].*\.$", doc, flags=re.M | re.S), "expected 'Source: BigDL's ..., or a paper.'"


def test_layers_keep_the_shape_where_they_say_so():
    checked = 0
    for name, case in cases().items():
        if "-> same shape" in layers()[name.split("-")[0]].__doc__:
            shape = shape_of(as_activity(case.x))
            assert case.make().output_shape(shape) == shape, name
            checked += 1
    assert checked > 50


IN_FLOAT = ("DenseToSparse", "SparseJoinTable", "Proposal", "DetectionOutputSSD", "DetectionOutputFrcnn")
"""Layers that give float32 whatever they are made of: sparse matrices, and boxes that are left."""


def test_layers_of_double_compute_in_float64():
    """The same numbers as those of float, with more digits, and gradients of everything that is learned."""
    for name, case in cases().items():
        x, results = as_activity(case.x), {}
        for kind in ("float", "double"):
            RNG.set_seed(3)
            with making(FLOATS[kind]):
                module = case.make().evaluate()
            y = module.forward(x)
            results[kind] = [dense(leaf) for leaf in leaves(y)]
        assert {part.bigdl_type for _, part in module.named_modules()} == {"double"}, name
        if name.split("-")[0] not in IN_FLOAT:
            assert {leaf.dtype for leaf in results["double"]} == {np.dtype(np.float64)}, name
        for single, double in zip(results["float"], results["double"], strict=True):
            np.testing.assert_allclose(single, double, atol=1e-4 * max(1, abs(double).max()), err_msg=name)
        module.backward(x, map_leaves(lambda leaf: np.ones(leaf.shape), y))
        learned = {holder.dtype for each in module.named_parameters().values() for holder in (each.value, each.grad)}
        assert learned <= {np.dtype(np.float64)}, name


def dense(leaf):
    return leaf.dense() if isinstance(leaf, SparseMatrix) else leaf


@pytest.mark.parametrize(
    "make",
    [
        lambda: layer.Linear(0, 3),
        lambda: layer.Linear(3.0, 2),
        lambda: layer.Linear("3", 2),
        lambda: layer.SpatialConvolution(3, -1, 3, 3),
        lambda: layer.LSTM(4, 0),
        lambda: layer.LookupTable(0, 3),
        lambda: layer.LookupTableSparse(3, -1),
        lambda: layer.FeedForwardNetwork(0, 3, 1.0),
    ],
)
def test_sizes_that_no_weights_have_are_refused(make):
    with pytest.raises(ValueError, match=r": got weights of shape \(.*\), expected whole numbers from 1 on"):
        make()


@pytest.mark.parametrize(
    ("make", "given", "expected"),
    [
        (lambda: layer.AddConstant(0.1), 1.0, 1.1),
        (lambda: layer.MulConstant(0.1), 1.0, 0.1),
        (lambda: layer.LeakyReLU(0.1), -1.0, -0.1),
        (lambda: layer.ELU(0.1), -1.0, 0.1 * np.expm1(-1.0)),
        (layer.HardSigmoid, 1.0, 0.7),
        (lambda: layer.SoftShrink(0.1), 1.0, 0.9),
        (lambda: layer.Threshold(0.0, 0.1), -1.0, 0.1),
        (lambda: layer.Power(2.1, 0.3, 0.1), 1.0, 0.4**2.1),
        (lambda: layer.Mean(2), [1.0, 0.0, 0.0], 1 / 3),
        (lambda: layer.Dropout(0.3, scale=False).evaluate(), 1.0, 0.7),
    ],
)
def test_constants_of_double_are_not_rounded_to_float32(make, given, expected):
    with making(np.dtype(np.float64)):
        y = make().forward(np.atleast_2d(given))
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-15)
