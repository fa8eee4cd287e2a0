"""Plans against the same model run layer by layer by the plain numpy kernels."""

from collections.abc import Callable

import numpy as np
import pytest

from dlcore import kernels
from dlcore.activity import leaves
from dlcore.inference import compile
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.ssd import ssd, ssd_small
from dlcore.nn.layer import (
    ELU,
    CAddTable,
    Concat,
    ConcatTable,
    Dropout,
    Graph,
    Identity,
    Input,
    JoinTable,
    Linear,
    NormalizeScale,
    ReLU,
    Sequential,
    SoftMax,
    SpatialAveragePooling,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialDilatedConvolution,
    SpatialMaxPooling,
    Tanh,
    View,
)
from dlcore.nn.module import Module


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


MODELS: dict[str, tuple[Callable[[], Module], tuple[int, ...]]] = {
    "vgg-like": (vgg_like, (2, 3, 11, 15)),
    "residual": (residual, (3, 3, 12, 12)),
    "several users": (several_users, (2, 3, 9, 10)),
    "dilated": (dilated, (2, 3, 10, 11)),
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


def test_everything_is_fused() -> None:
    assert compile(MODELS["deepbit"][0](), (1, 3, 32, 32)).steps == [
        *["Convolution"] * 8, "SpatialAveragePooling", "SpatialMaxPooling", "JoinTable", "Product", "Tanh"
    ]  # fmt: skip


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
    with pytest.raises(ValueError, match=r"got rows of shape \(4,\), expected \(3,\)"):
        plan.predict(np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="got precision 'int3'"):
        compile(Linear(3, 2), (4, 3), precision="int3")
