"""Plans against the same model run layer by layer by the plain numpy kernels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest

from dlcore import kernels
from dlcore.activity import Array, Pullback, leaves
from dlcore.inference import compile
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.ssd import ssd, ssd_small
from dlcore.nn.layer import (
    ELU,
    GRU,
    LSTM,
    BiRecurrent,
    CAddTable,
    Clamp,
    CMulTable,
    Concat,
    ConcatTable,
    Dropout,
    Graph,
    HardTanh,
    Identity,
    Input,
    JoinTable,
    Linear,
    LogSoftMax,
    LookupTable,
    MulConstant,
    MultiHeadAttention,
    NormalizeScale,
    Recurrent,
    ReLU,
    ReLU6,
    Select,
    Sequential,
    SoftMax,
    SpatialAveragePooling,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialCrossMapLRN,
    SpatialDilatedConvolution,
    SpatialMaxPooling,
    Tanh,
    TimeDistributed,
    View,
)
from dlcore.nn.module import Module
from dlcore.nn.node import Node


def randomised(model: Module, seed: int = 0) -> Module:
    """Running means and variances as after training, so that folding them matters."""
    rng = np.random.default_rng(seed)
    for name, buffer in model.buffers().items():
        low = 0.5 if name.endswith("var") else -0.5
        buffer.value[...] = rng.uniform(low, low + 1, buffer.value.shape)
    return model.evaluate()


def conv(
    planes_in: int, planes: int, kernel: int = 3, stride: int = 1, pad: int = 1, **options: bool
) -> SpatialConvolution:
    return SpatialConvolution(planes_in, planes, kernel, kernel, stride, stride, pad, pad, **options)


def vgg_like() -> Module:
    model = Sequential().add(conv(3, 16)).add(ReLU()).add(conv(16, 24)).add(ReLU()).add(SpatialMaxPooling(2, 2, 2, 2))
    model.add(conv(24, 16)).add(SpatialMaxPooling(2, 2, 2, 2).ceil()).add(View([16 * 3 * 4]))
    return model.add(Linear(192, 20)).add(ReLU()).add(Dropout(0.5)).add(Linear(20, 5)).add(SoftMax())


def residual() -> Module:
    image = Input()
    stem = ReLU()(SpatialBatchNormalization(16)(conv(3, 16, stride=2, with_bias=False)(image)))
    inner = ReLU()(SpatialBatchNormalization(16)(conv(16, 16)(stem)))
    block = ReLU()(CAddTable()([SpatialBatchNormalization(16)(conv(16, 16)(inner)), stem]))
    carried = SpatialBatchNormalization(32)(conv(16, 32, 1, 2, 0)(block))
    wide = CAddTable()([conv(32, 32)(ReLU()(conv(16, 32, stride=2)(block))), carried])
    return Graph([image], [wide, Tanh()(block), SpatialAveragePooling(3, 3, 3, 3)(wide)])


def several_users() -> Module:
    """A convolution whose result is pooled and also given out: nothing may be fused into it."""
    image = Input()
    shared = conv(3, 16)(image)
    pooled = SpatialMaxPooling(2, 2, 2, 2)(shared)
    scaled = NormalizeScale(2.0, 20.0, [1, 16, 1, 1])(shared)
    total = CAddTable()([shared, Identity()(scaled), shared])
    return Graph([image], [JoinTable(1, 3)([shared, total]), pooled, ELU()(scaled), shared])


def dilated() -> Module:
    model = Sequential().add(conv(3, 20)).add(SpatialDilatedConvolution(20, 18, 3, 3, 1, 1, 3, 3, 3, 3)).add(ReLU())
    table = ConcatTable().add(SpatialMaxPooling(3, 3, 1, 1, 1, 1)).add(conv(18, 18))
    inception = Concat(2).add(conv(36, 8, 1, 1, 0)).add(Sequential().add(conv(36, 16)).add(ReLU()))
    return model.add(table).add(JoinTable(1, 3)).add(inception)


def clamped() -> Module:
    """What several kernels compute, up to a ceiling that many values exceed: Winograd's, grouped, with a residual,
    products."""
    image = Input()
    stem = SpatialMaxPooling(2, 2, 2, 2)(ReLU6()(conv(3, 16)(MulConstant(9.0)(image))))
    grouped = SpatialConvolution(16, 16, 3, 3, 1, 1, -1, -1, 16)
    inner = Clamp(0, 4)(SpatialBatchNormalization(16)(grouped(stem)))
    block = ReLU6()(CAddTable()([conv(16, 16)(inner), stem]))
    block = ReLU6()(CAddTable()([block, conv(16, 16, 1, 1, 0)(inner)]))
    narrow = ReLU()(HardTanh(0.0, 0.5)(conv(16, 4, 1, 1, 0)(block)))
    rows = ReLU6()(Linear(4 * 5 * 7, 30)(View([4 * 5 * 7])(MulConstant(20.0)(narrow))))
    return Graph([image], [rows, HardTanh(-1.0, 1.0)(conv(16, 4)(block))])


def inverted(stride: int = 1) -> Module:
    """Blocks that are widened, filtered and narrowed, with and without residual; a wide picture that has a second
    reader; a sum."""
    image, depthwise = Input(), {"n_group": 64}

    def wide(node: Node, planes: int) -> Node:
        return ReLU6()(SpatialBatchNormalization(64)(conv(planes, 64, 1, 1, 0)(node)))

    def narrow(node: Node, planes: int, step: int = 1) -> Node:
        deep = ReLU6()(SpatialConvolution(64, 64, 3, 3, step, step, -1, -1, **depthwise)(node))
        return SpatialBatchNormalization(planes)(conv(64, planes, 1, 1, 0)(deep))

    stem = conv(3, 8)(image)
    block = CAddTable()([narrow(wide(stem, 8), 8), stem])
    plain = narrow(conv(8, 64)(block), 12, stride)
    shared = wide(block, 8)
    return Graph([image], [ReLU()(plain), narrow(shared, 8), SpatialMaxPooling(2, 2, 2, 2)(shared)])


def normalised() -> Module:
    """Normalisation across planes, shares of planes and of classes, one of them as logarithms."""
    image = Input()
    planes = SpatialCrossMapLRN(3, 0.5, 0.75, 2.0)(conv(3, 18)(image))
    rows = View([18 * 5 * 6])(SpatialCrossMapLRN(5)(planes))
    classes = Linear(540, 7)(rows)
    return Graph([image], [SoftMax()(planes), SoftMax()(classes), LogSoftMax()(classes), LogSoftMax()(planes)])


def of_numbers() -> Module:
    """Vectors of two columns of numbers, multiplied and side by side; a table of the first alone; steps of vectors."""
    pair = Input()
    first, second = (Select(2, position)(pair) for position in (1, 2))
    vectors = [LookupTable(9, 4)(first), LookupTable(9, 4)(second), LookupTable(9, 4)(first)]
    product = CMulTable()(vectors)
    return Graph([pair], [JoinTable(1, 1)([product, LookupTable(9, 3)(second)]), LookupTable(9, 5)(pair)])


def of_sequences() -> Module:
    """Both directions, a decoder's gates on top, scores at each step, one of them picked."""
    model = Sequential().add(BiRecurrent(JoinTable(2, 2)).add(LSTM(6, 5))).add(BiRecurrent().add(GRU(10, 7)))
    model.add(Recurrent().add(LSTM(7, 4))).add(TimeDistributed(Linear(4, 3))).add(ReLU())
    return model.add(TimeDistributed(Sequential().add(Linear(3, 2)).add(Tanh())))


def pictures_over_time() -> Module:
    """One convolution for the pictures of all steps."""
    inner = Sequential().add(conv(3, 4)).add(ReLU()).add(SpatialMaxPooling(2, 2, 2, 2))
    return (
        Sequential()
        .add(TimeDistributed(inner))
        .add(TimeDistributed(View([4 * 2 * 3])))
        .add(Recurrent().add(GRU(24, 5)))
    )


MODELS: dict[str, tuple[Callable[[], Module], tuple[int, ...]]] = {
    "vgg-like": (vgg_like, (2, 3, 11, 15)),
    "residual": (residual, (3, 3, 12, 12)),
    "several users": (several_users, (2, 3, 9, 10)),
    "dilated": (dilated, (2, 3, 10, 11)),
    "clamped": (clamped, (2, 3, 10, 15)),
    "inverted, large": (lambda: inverted(2), (1, 3, 50, 46)),
    "inverted, small": (inverted, (2, 3, 9, 8)),
    "normalised": (normalised, (2, 3, 5, 6)),
    "of sequences": (of_sequences, (3, 5, 6)),
    "pictures over time": (pictures_over_time, (2, 3, 3, 4, 6)),
    "one linear": (lambda: Linear(7, 4), (5, 7)),
    "deepbit": (lambda: deepbit_small(DeepBitConfig(32, 16, (16, 24), (1, 2))), (3, 3, 32, 32)),
    "ssd": (lambda: ssd(ssd_small(("background", "a", "b"), 64, 16)), (2, 3, 64, 64)),
}


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("name", MODELS)
def test_a_plan_computes_the_model(name: str, backend: str) -> None:
    build, shape = MODELS[name]
    model = randomised(build())
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    with kernels.using("reference"):
        expected = list(leaves(model.forward(x)))
    with kernels.using(backend):
        plan = compile(model, shape)
        results = [list(leaves(plan(x))) for _ in range(2)]
    for result, again, wanted in zip(*results, expected, strict=True):
        assert result.shape == wanted.shape
        assert np.array_equal(result, again)
        np.testing.assert_allclose(result, wanted, atol=2e-5 * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("name", ["deepbit", "ssd", "vgg-like"])
def test_a_row_does_not_depend_on_its_batch(name: str) -> None:
    build, (size, *row) = MODELS[name]
    plan = compile(randomised(build()), (size, *row))
    x = np.random.default_rng(2).standard_normal((2 * size + 1, *row), dtype=np.float32)
    together = [leaf.copy() for leaf in leaves(plan.predict(x))]
    for position in (0, size, 2 * size):
        alone = leaves(plan.predict(x[position : position + 1]))
        assert all(np.array_equal(a[position], b[0]) for a, b in zip(together, alone, strict=True))


NUMBERS = np.random.default_rng(6).integers(1, 10, (5, 2))


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_plan_looks_numbers_up(backend: str) -> None:
    model = of_numbers().evaluate()
    expected = list(leaves(model.forward(NUMBERS)))
    with kernels.using(backend):
        plan = compile(model, NUMBERS.shape)
        for got, wanted in zip(leaves(plan(NUMBERS)), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-6)
        for wrong in (0, 10, -3):
            numbers = NUMBERS.copy()
            numbers[3, 1] = wrong
            with pytest.raises(ValueError, match=r"got numbers? .*expected 1 to 9"):
                plan(numbers)


def test_everything_is_fused() -> None:
    assert compile(MODELS["deepbit"][0](), (1, 3, 32, 32)).steps == [
        *["Convolution"] * 8, "SpatialAveragePooling", "SpatialMaxPooling", "JoinTable", "Product", "Tanh"
    ]  # fmt: skip


def test_ceilings_are_fused() -> None:
    steps = compile(clamped(), (1, 3, 10, 15)).steps
    assert not {"ReLU6", "Clamp"} & set(steps)
    assert steps.count("HardTanh") == 1  # that from -1


def test_blocks_are_computed_in_one_pass_where_pictures_are_large() -> None:
    assert "native inverted block" in compile(inverted(2), (1, 3, 50, 46)).explain()
    assert "native inverted block" not in compile(inverted(), (2, 3, 9, 8)).explain()


def test_the_table_of_a_plan_tells_what_computes_each_step() -> None:
    model = Sequential().add(conv(3, 32)).add(conv(32, 40)).add(ELU()).add(View([40 * 12 * 12])).add(Linear(5760, 3))
    plan = compile(model, (2, 3, 12, 12))
    table = plan.explain(np.ones((2, 3, 12, 12), np.float32), repeats=1)
    head, *rows, last = table.splitlines()
    assert head.split() == ["step", "result", "kernel", "precision", "ms", "GFLOP/s"]
    assert [row.split()[0] for row in rows] == plan.steps
    assert "native winograd" in rows[1]
    assert "onednn" in rows[0]
    assert " layer " in rows[2]
    assert "(2, 40, 12, 12)" in rows[1]
    assert last.startswith("whole plan")
    assert plan.work == 2 * 2 * (144 * 27 * 32 + 144 * 288 * 40 + 5760 * 3)
    assert len(plan.explain().splitlines()) == len(rows) + 2


POOLINGS = [
    {"kw": 3, "kh": 2, "dw": 2, "dh": 2},
    {"kw": 3, "kh": 3, "dw": 2, "dh": 2, "pad_w": 1, "pad_h": 1, "ceil_mode": True},
    {"kw": 3, "kh": 3, "dw": 2, "dh": 2, "pad_w": 1, "pad_h": 1, "ceil_mode": True, "count_include_pad": False},
    {"kw": 3, "kh": 3, "dw": 2, "dh": 2, "pad_w": -1, "pad_h": -1, "count_include_pad": False},
    {"kw": 1, "kh": 1, "global_pooling": True},
    {"kw": 3, "kh": 3, "divide": False},
]


@pytest.mark.parametrize("options", POOLINGS)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_means_of_windows(options: dict, backend: str) -> None:
    model = SpatialAveragePooling(**options).evaluate()
    x = np.random.default_rng(5).standard_normal((2, 5, 8, 9), dtype=np.float32)
    with kernels.using("reference"):
        expected = model.forward(x)
    with kernels.using(backend):
        np.testing.assert_allclose(compile(model, x.shape)(x), expected, atol=1e-6)


def test_memory_is_used_again() -> None:
    model = Sequential()
    for _ in range(6):
        model.add(conv(16, 16)).add(ReLU())
    plan = compile(model, (1, 16, 64, 64))
    assert plan.buffer_bytes <= 2 * 16 * 64 * 64 * 4
    x = np.random.default_rng(3).standard_normal((1, 16, 64, 64), dtype=np.float32)
    with kernels.using("reference"):
        expected = model.forward(x)
    np.testing.assert_allclose(plan(x), expected, atol=1e-5)


def test_an_empty_batch_gives_empty_results() -> None:
    result = compile(Linear(3, 2), (4, 3)).predict(np.zeros((0, 3), np.float32))
    assert result.shape == (0, 2)


def test_wrong_inputs_are_refused() -> None:
    plan = compile(Linear(3, 2), (4, 3))
    with pytest.raises(ValueError, match=r"got input \(5, 3\), expected \(4, 3\)"):
        plan(np.zeros((5, 3), np.float32))
    with pytest.raises(ValueError, match=r"got \(4, 4\), expected rows as of \(4, 3\)"):
        plan.predict(np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="got precision 'int3'"):
        compile(Linear(3, 2), (4, 3), precision="int3")


def test_unscaled_dropout_multiplies_in_evaluation_too() -> None:
    x = np.array([[1.0, -2.0]], np.float32)
    np.testing.assert_allclose(compile(Dropout(0.25, scale=False), (1, 2))(x), [[0.75, -1.5]])


def test_a_plan_for_an_empty_batch() -> None:
    model = Sequential().add(conv(3, 4)).add(View([4 * 4 * 4])).add(Linear(64, 2))
    assert compile(model, (0, 3, 4, 4))(np.zeros((0, 3, 4, 4), np.float32)).shape == (0, 2)


class RunningSum(Module):
    """The sum of all inputs so far."""

    hidden_states = ("total",)
    total: Array | None

    def apply(self, x: Array) -> tuple[Array, Pullback]:
        self.total = x if self.total is None else self.total + x
        return self.total, lambda grad: grad


def test_a_plan_begins_where_the_model_stands_and_keeps_states_of_its_own() -> None:
    model = Sequential().add(Identity()).add(RunningSum())
    model.forward(np.ones((1, 2), np.float32))
    plan = compile(model, (1, 2))
    found = [plan(np.full((1, 2), value, np.float32))[0, 0] for value in (10, 20)]
    assert model.forward(np.zeros((1, 2), np.float32))[0, 0] == 1
    model.reset_states()
    plan.reset_states()
    found += [plan(np.full((1, 2), value, np.float32))[0, 0] for value in (3, 4)]
    assert found == [11, 31, 3, 7]


def test_a_model_that_trains_on_leaves_its_plan_in_evaluation_mode() -> None:
    for model in (Recurrent().add(GRU(4, 3, 0.5)), MultiHeadAttention(4, 2, 0.5)):
        x = np.random.default_rng(1).standard_normal((2, 5, 4), dtype=np.float32)
        plan = compile(model, x.shape)
        expected = model.forward(x)
        model.training()
        np.testing.assert_allclose(plan(x), expected, rtol=1e-5, atol=1e-6)


def test_a_plan_leaves_the_hidden_states_of_the_model_alone() -> None:
    x = np.random.default_rng(1).standard_normal((3, 2, 5, 4), dtype=np.float32)
    model = Recurrent().add(LSTM(4, 3)).evaluate()
    model.forward(x[0])
    states = model.get_hidden_state()
    expected = model.set_hidden_state(states).forward(x[1])
    last = model.get_hidden_state()
    plan = compile(model, x[1].shape)
    np.testing.assert_allclose(plan(x[1]), expected, rtol=1e-5, atol=1e-6)
    plan(x[2])
    for got, kept in zip(model.get_hidden_state(), last, strict=True):
        np.testing.assert_array_equal(got, kept)


@pytest.mark.parametrize("backend", [None, "reference"])
def test_a_later_change_of_the_weights_has_no_effect(backend):
    model = (
        Sequential().add(conv(3, 4, 1, pad=0)).add(ReLU()).add(conv(4, 16)).add(NormalizeScale(2.0, 3.0, [1, 16, 1, 1]))
    )
    model.add(View([16 * 5 * 5])).add(Linear(400, 2))
    x = np.random.default_rng(4).standard_normal((1, 3, 5, 5), dtype=np.float32)
    with kernels.using(backend) if backend else nullcontext():
        plan = compile(model, x.shape)
        before = plan(x)
        for parameter in model.named_parameters().values():
            parameter.value += 1
        np.testing.assert_array_equal(plan(x), before)
