"""Shape inference beyond what the layers' harness checks: unknown sizes, messages, and that nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.nn.layer import (
    BatchNormalization,
    Bottle,
    CAddTable,
    Concat,
    Dropout,
    Graph,
    Input,
    Linear,
    LookupTable,
    MapTable,
    Mean,
    ParallelTable,
    Reshape,
    RReLU,
    Sequential,
    SpatialConvolution,
    SpatialMaxPooling,
    Tanh,
    TimeDistributed,
    View,
)
from dlcore.nn.shapes import ShapeError, output_shapes
from dlcore.rng import RNG


def image_network():
    """(N, 3, 8, 8) -> (N, 5)."""
    block = (
        Sequential().add(SpatialConvolution(3, 4, 3, 3, 2, 2, 1, 1).set_name("conv")).add(SpatialMaxPooling(2, 2, 2, 2))
    )
    return Sequential().add(block.set_name("block")).add(View([16])).add(Linear(16, 5).set_name("fc"))


@pytest.mark.parametrize(
    ("module", "given", "expected"),
    [
        (image_network(), (None, 3, 8, 8), (None, 5)),
        (image_network(), (7, 3, 8, 8), (7, 5)),
        (SpatialConvolution(3, 4, 3, 3, 2, 2), (None, 3, None, None), (None, 4, None, None)),
        (SpatialConvolution(3, 4, 3, 3, data_format="NHWC"), (9, 9, 3), (7, 7, 4)),
        (TimeDistributed(Linear(4, 2)), (None, None, 4), (None, None, 2)),
        (TimeDistributed(Linear(4, 2)), (3, 5, 4), (3, 5, 2)),
        (Bottle(Linear(4, 2)), (None, 6, 7, 4), (None, 6, 7, 2)),
        (LookupTable(9, 4, max_norm=0.1), (None, 5), (None, 5, 4)),
        (Mean(1, 2), (None, None, 4), (None, 4)),
        (Concat(2).add(Linear(4, 2)).add(Linear(4, 3)), (None, 4), (None, 5)),
        (MapTable(Linear(4, 2)), [(None, 4), (3, 4)], [(None, 2), (3, 2)]),
        (ParallelTable().add(Tanh()).add(CAddTable()), [(None, 4), [(2, 3), (2, 3)]], [(None, 4), (2, 3)]),
        (Reshape([2, 2]), (None, 4), (None, 2, 2)),
    ],
)
def test_output_shapes(module, given, expected):
    assert module.output_shape(given) == expected


def test_graphs_pass_shapes_along_their_edges():
    x, other = Input(), Input()
    shared = Linear(4, 4)
    both = CAddTable()([shared(x), shared(other)])
    graph = Graph([x, other], [both, Linear(4, 2).set_name("last")(both)])
    assert graph.output_shape([(None, 4), (None, 4)]) == [(None, 4), (None, 2)]
    assert output_shapes(graph, [(None, 4), (None, 4)])["last"] == (None, 2)
    with pytest.raises(ValueError, match="expected a table of 2 inputs"):
        graph.output_shape((None, 4))


def test_errors_name_the_layer_and_both_shapes():
    model = Sequential().add(image_network().set_name("body"))
    with pytest.raises(ShapeError, match=r"Linear 'fc' at 'body.fc': got input shape \(None, 16\).*expected \(N, 12\)"):
        model.modules[0].modules[-1] = Linear(12, 5).set_name("fc")
        model.output_shape((None, 3, 8, 8))
    with pytest.raises(ShapeError, match=r"'body.block.conv': got input shape \(None, 1, 8, 8\).*1 planes, expected 3"):
        model.output_shape((None, 1, 8, 8))
    with pytest.raises(ShapeError, match=r"Concat at '0': got outputs .* expected them equal but for dimension 2"):
        Sequential().add(Concat(2).add(Linear(4, 2)).add(View([2, 2]))).output_shape((None, 4))
    with pytest.raises(ValueError, match="expected 3") as caught:
        model.forward(np.ones((2, 1, 8, 8)))
    assert "at 'body.block.conv': got input shape (2, 1, 8, 8)" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("module", "given", "message"),
    [
        (Concat(2).add(Linear(4, 2)).add(View([2, 2])), (None, 4), "expected them equal but for dimension 2"),
        (Concat(3).add(Linear(4, 2)), (None, 4), "with a dimension 3"),
        (ParallelTable().add(Tanh()), [(1,), (1,)], "table of 2 shapes, expected 1"),
        (MapTable(Tanh()), (2, 3), "expected a table of shapes"),
        (TimeDistributed(Tanh()), (3,), "expected an array of more dimensions"),
        (CAddTable(), [(2, 3), (2, 4)], r"\(2,3\) \(2,4\)"),
    ],
)
def test_impossible_shapes_are_refused(module, given, message):
    with pytest.raises(ShapeError, match=message):
        module.output_shape(given)


def test_nothing_changes():
    table, normalization = LookupTable(3, 2, max_norm=0.1), BatchNormalization(2)
    model = Sequential().add(table).add(normalization).add(RReLU()).add(Dropout())
    weight, mean, state = table.weight.value.copy(), normalization.running_mean.value.copy(), RNG.state()
    assert model.output_shape((None,)) == (None, 2)
    np.testing.assert_array_equal(table.weight.value, weight)
    np.testing.assert_array_equal(normalization.running_mean.value, mean)
    np.testing.assert_array_equal(RNG.state()["key"], state["key"])
    assert RNG.state()["position"] == state["position"]
    assert all(part.is_training() for _, part in model.named_modules())


class Shapeless(Tanh):
    """Cannot say its shape."""

    def output_shape(self, input_shape):
        raise RuntimeError("no shape")


def test_a_failing_shape_does_not_hide_the_error():
    model = Sequential().add(Shapeless()).add(Linear(3, 2))
    with pytest.raises(ValueError, match=r"expected \(N, 3\)") as caught:
        model.forward(np.ones((2, 4)))
    assert "the layer is not known: no shape" in caught.value.__notes__[0]


class Twice(SpatialConvolution):
    """Overrides `apply` alone: its shape must not be that of its parent."""

    def apply(self, x):
        y, pullback = super().apply(x)
        return np.concatenate([y, y], 1), lambda grad: pullback(sum(np.split(grad, 2, 1)))


def test_a_subclass_that_overrides_apply_is_traced():
    assert Twice(3, 4, 3, 3).output_shape((None, 3, 5, 5)) == (None, 8, 3, 3)


def test_printing_a_model_shows_a_table():
    model = image_network().freeze("fc")
    assert str(model).splitlines() == [
        "layer       type                output  parameters",
        "            Sequential",
        "block       Sequential",
        "block.conv  SpatialConvolution                 112",
        "block.1     SpatialMaxPooling",
        "1           View",
        "fc          Linear                              85",
        "total                                          197",
        "frozen                                          85",
    ]
    model.forward(np.ones((2, 3, 8, 8)))
    assert "block.conv  SpatialConvolution  (2, 4, 4, 4)" in str(model)
    assert "block.conv  SpatialConvolution  (None, 4, 4, 4)" in model.summary((None, 3, 8, 8))
    assert str(Linear(4, 2)).startswith("Linear(input_size=4")


def test_a_model_prints_though_a_layer_refuses_the_ones_that_stand_for_its_values():
    class Share(Tanh):
        def apply(self, x):
            if (x >= 1).any():
                raise ValueError("expected shares below 1")
            return super().apply(x)

    alone = Sequential().add(Share())
    alone.forward(np.zeros((1, 2)))
    assert [line.split() for line in str(alone).splitlines()[1:]] == [["Sequential"], ["0", "Share"], ["total"]]
    with pytest.raises(ShapeError, match="expected shares below 1"):
        alone.summary((1, 2))
