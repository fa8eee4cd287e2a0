"""What plans take and give beside one image in, arrays of known size out: tables, integers, sequences, sizes that
depend on data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from dlcore import kernels
from dlcore.activity import leaves
from dlcore.inference import compile
from dlcore.inference.fuse import uses
from dlcore.models.transformer import transformer_language_model, transformer_translator
from dlcore.nn.layer import (
    CAddTable,
    CMulTable,
    ConcatTable,
    FeedForwardNetwork,
    FlattenTable,
    Graph,
    Identity,
    Input,
    JoinTable,
    Linear,
    LookupTable,
    MaskedSelect,
    Mean,
    MultiHeadAttention,
    Narrow,
    ParallelTable,
    ReLU,
    Select,
    SelectTable,
    Sequential,
    SpatialConvolution,
    SpatialMaxPooling,
    SplitTable,
    Sum,
    Tanh,
    Transpose,
    View,
    VolumetricConvolution,
    VolumetricMaxPooling,
)
from dlcore.nn.module import Module


def stacked(*layers: Module) -> Module:
    model = Sequential()
    for layer in layers:
        model.add(layer)
    return model


def conv(planes_in: int, planes: int, kernel: int = 3) -> SpatialConvolution:
    return SpatialConvolution(planes_in, planes, kernel, kernel, 1, 1, kernel // 2, kernel // 2)


def two_inputs() -> Module:
    image, numbers = Input(), Input()
    seen = View([8 * 4 * 4])(ReLU()(conv(3, 8)(image)))
    return Graph([image, numbers], [ReLU()(CAddTable()([Linear(128, 5)(seen), Linear(7, 5)(numbers)]))])


def wide_and_deep() -> Module:
    """Numbers of users and items, whose vectors meet."""
    towers = ParallelTable().add(LookupTable(20, 6)).add(LookupTable(30, 6))
    return stacked(towers, ConcatTable().add(CMulTable()).add(CAddTable()), JoinTable(1, 1), Linear(12, 1))


def towers_behind_a_split() -> Module:
    """A ParallelTable whose table comes from a layer."""
    return stacked(SplitTable(2), ParallelTable().add(Linear(5, 4)).add(stacked(Linear(5, 4), ReLU())), CAddTable())


def scaled_by_plane() -> Module:
    """A convolution plus something that is broadcast."""
    table = ConcatTable().add(conv(16, 20)).add(stacked(conv(16, 20), View([20, 64]), Mean(3), View([20, 1, 1])))
    return stacked(table, CAddTable(), ReLU())


def volumes() -> Module:
    model = stacked(
        VolumetricConvolution(2, 4, 3, 3, 3, 1, 1, 1, 1, 1, 1), ReLU(), VolumetricMaxPooling(2, 2, 2, 2, 2, 2)
    )
    return model.add(View([32])).add(Linear(32, 2))  # type: ignore[attr-defined, no-any-return]


def places() -> Module:
    """Numbers whose vectors look at those before them."""
    attention = MultiHeadAttention(6, 2, is_causal=True)
    return stacked(LookupTable(20, 6), attention, FeedForwardNetwork(6, 8, 1.0))


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(1, 20, shape)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


MODELS: dict[str, tuple[Callable[[], Module], Any]] = {
    "two inputs": (two_inputs, [normal(2, 3, 4, 4), normal(2, 7)]),
    "nested table": (
        lambda: stacked(FlattenTable(), SelectTable(2), Linear(3, 2)),
        [normal(2, 4), [normal(2, 3), normal(2, 5)]],
    ),
    "embedding": (lambda: stacked(LookupTable(20, 6), View([54]), Linear(54, 3)), numbers(4, 9)),
    "embedding of a part": (
        lambda: stacked(ConcatTable().add(stacked(Narrow(2, 1, 3), LookupTable(20, 6), Sum(2))).add(Select(2, 4))),
        numbers(4, 9),
    ),
    "pairs of numbers": (wide_and_deep, [numbers(5), numbers(5)]),
    "split and added": (lambda: stacked(SplitTable(2), CAddTable()), normal(3, 4, 5)),
    "split and joined": (lambda: stacked(Tanh(), SplitTable(2), JoinTable(1, 1), Linear(20, 2)), normal(3, 4, 5)),
    "towers behind a split": (towers_behind_a_split, normal(3, 2, 5)),
    "single image": (lambda: stacked(conv(3, 16), ReLU(), View([16 * 64]), Linear(1024, 3)), normal(1, 3, 8, 8)),
    "turned image": (
        lambda: stacked(Transpose([(3, 4)]), conv(3, 8), Transpose([(3, 4)]), SpatialMaxPooling(2, 2, 2, 2)),
        normal(2, 3, 8, 6),
    ),
    "turned rows": (lambda: stacked(Transpose([(1, 2)]), Linear(3, 4)), normal(3, 5)),
    "rows as images": (lambda: stacked(Linear(4, 32), View([2, 4, 4]), conv(2, 8)), normal(3, 4)),
    "part of an image": (lambda: stacked(Narrow(2, 2, 16), conv(16, 16), Narrow(3, 2, 5), conv(16, 8, 1)),
    normal(2, 18, 9, 9)),
    "flattened part": (lambda: stacked(Narrow(3, 2, 3), View([2 * 3 * 5]), Linear(30, 2)), normal(2, 2, 6, 5)),
    "broadcast sum": (scaled_by_plane, normal(2, 16, 8, 8)),
    "volume": (volumes, normal(2, 2, 4, 4, 4)),
    "attention": (places, numbers(4, 9)),
    "words": (lambda: transformer_language_model(20, 8, 2, 16, 2), numbers(4, 9)),
    "words of two languages": (lambda: transformer_translator(20, 6, 20, 8, 2, 16, 2), [numbers(4, 9), numbers(4, 6)]),
    "words to translate": (lambda: transformer_translator(20, 6, 20, 8, 2, 16, 2), numbers(4, 9)),
}  # fmt: skip


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("name", MODELS)
def test_a_plan_computes_the_model(name: str, backend: str) -> None:
    build, x = MODELS[name]
    model = build().evaluate()
    expected = list(leaves(model.forward(x)))
    shape = shapes(x)
    with kernels.using(backend):
        plan = compile(model, shape)
        results = [list(leaves(plan(x))) for _ in range(2)]
    assert plan.input_shape == shape
    for result, again, wanted in zip(*results, expected, strict=True):
        assert result.shape == wanted.shape
        assert np.array_equal(result, again)
        np.testing.assert_allclose(result, wanted, atol=2e-5 * max(1.0, float(np.abs(wanted).max())))


def shapes(x: Any) -> Any:
    return [shapes(part) for part in x] if isinstance(x, list) else x.shape


@pytest.mark.parametrize("name", ["two inputs", "pairs of numbers", "embedding", "words to translate"])
def test_any_number_of_rows(name: str) -> None:
    """Integers are filled up with ones, which are places of a LookupTable."""
    build, x = MODELS[name]
    model = build().evaluate()
    plan = compile(model, shapes(x))
    more = [np.concatenate([leaf, leaf, leaf[:1]]) for leaf in leaves(x)]
    given = more if isinstance(x, list) else more[0]
    for got, expected in zip(leaves(plan.predict(given)), leaves(model.forward(given)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@dataclass(eq=False)
class Positive(Module):
    """The rows of (N, D) whose first element is positive: as many as there are."""

    is_dynamic = True

    def apply(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        kept = x[:, 0] > 0

        def pull(grad: np.ndarray) -> np.ndarray:
            back = np.zeros_like(x)
            back[kept] = grad
            return back

        return x[kept], pull


def found() -> Module:
    """Rows that are chosen by their data, then everything that plans make steps of."""
    image = Input()
    rows = Linear(12, 4)(View([12])(image))
    chosen = Positive()(rows)
    seen = ReLU()(Linear(4, 3)(chosen))
    total = CAddTable()([seen, Linear(4, 3)(chosen)])
    return Graph([image], [rows, total, SelectTable(1)(ConcatTable().add(Identity()).add(Tanh())(total))])


def test_sizes_may_depend_on_data() -> None:
    model = found().evaluate()
    plan = compile(model, (6, 3, 2, 2))
    counts = set()
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((6, 3, 2, 2), dtype=np.float32)
        got, expected = plan(x), model.forward(x)
        counts.add(len(got[1]))
        for ours, wanted in zip(got, expected, strict=True):
            assert ours.shape == wanted.shape
            np.testing.assert_allclose(ours, wanted, atol=1e-5)
    assert len(counts) > 1
    with pytest.raises(ValueError, match="call the plan itself, with whole batches"):
        plan.predict(np.zeros((7, 3, 2, 2), np.float32))


def test_selected_elements_are_as_many_as_the_mask_has() -> None:
    values, mask = Input(), Input()
    model = Graph([values, mask], [ReLU()(MaskedSelect()([Tanh()(values), mask]))]).evaluate()
    plan = compile(model, [(3, 4), (3, 4)])
    for seed in range(3):
        x = [normal(3, 4), np.random.default_rng(seed).integers(0, 2, (3, 4))]
        np.testing.assert_allclose(plan(x), model.forward(x), atol=1e-6)


def test_results_of_one_run_survive_the_next() -> None:
    plan = compile(stacked(Tanh(), Positive()), (4, 2))
    first = plan(np.ones((4, 2), np.float32))
    plan(np.full((4, 2), 2, np.float32))
    np.testing.assert_array_equal(first, np.full((4, 2), np.tanh(np.float32(1))))


def test_a_size_that_changes_unannounced_is_an_error() -> None:
    class Unannounced(Positive):
        is_dynamic = False

    plan = compile(Unannounced(), (3, 2))
    with pytest.raises(ValueError, match=r"got a result of shape \(0, 2\), expected \(3, 2\).*set is_dynamic = True"):
        plan(-np.ones((3, 2), np.float32))


def test_wrong_inputs_are_refused() -> None:
    plan = compile(wide_and_deep(), [(5,), (5,)])
    with pytest.raises(ValueError, match=r"got input \[\(5,\), \(4,\)\], expected \[\(5,\), \(5,\)\]"):
        plan([numbers(5), numbers(4)])
    with pytest.raises(ValueError, match=r"expected rows as of \[\(5,\), \(5,\)\], as many in each array"):
        plan.predict([numbers(5), numbers(4)])
    for no_rows in ([numbers(5)], numbers(5), [numbers(5), np.float32(1)], [numbers(5), 1.0]):
        with pytest.raises(ValueError, match=r"expected rows as of \[\(5,\), \(5,\)\]"):
            plan.predict(no_rows)
    with pytest.raises(ValueError, match="got 'five' in the input shape"):
        compile(Linear(3, 2), ("five", 3))
    with pytest.raises(ValueError, match="expected at most 16777216 in size"):
        plan([np.full(5, (1 << 24) + 1), numbers(5)])
    with pytest.raises(ValueError, match="ParallelTable: got a table of 3 entries, expected 2"):
        compile(
            stacked(ConcatTable().add(Identity()).add(Identity()).add(Identity()), towers_behind_a_split()[1]), (5, 5)
        )
    with pytest.raises(ValueError, match=r"expected a table of 2 entries"):
        compile(towers_behind_a_split(), (3, 3, 5))
    with pytest.raises(ValueError, match=r"Linear: got input \(3, 4\), expected \(N, 3\)"):
        compile(Linear(3, 2), (3, 4))
    with pytest.raises(ValueError, match=r"SpatialConvolution 'first': got input \(1, 4, 8, 8\), expected \(N, 3"):
        compile(conv(3, 8).set_name("first"), (1, 4, 8, 8))
    with pytest.raises(ValueError, match="an output whose rows are not those of the input"):
        compile(Transpose([(1, 2)]), (3, 4)).predict(np.zeros((3, 4), np.float32))


def test_a_plan_of_no_rows_takes_none() -> None:
    for model, row in ((Linear(3, 2), (3,)), (LookupTable(5, 4), (6,))):
        plan = compile(model, (0, *row))
        assert plan.predict(np.zeros((0, *row), np.float32)).shape == model.forward(np.zeros((0, *row))).shape
        with pytest.raises(ValueError, match="got 1 rows for a plan of none, expected none"):
            plan.predict(np.ones((1, *row), np.float32))


def test_a_table_may_become_another_array_of_its_shape() -> None:
    """The plan reads the model's own, wherever it lies by then."""
    model, numbers = LookupTable(5, 4), np.array([[1, 5, 2]])
    plan = compile(model, (1, 3))
    for table in (np.arange(20.0).reshape(5, 4), np.arange(20, dtype=np.float32).reshape(4, 5).T):
        model.weight.value = table
        np.testing.assert_array_equal(plan(numbers), table[numbers - 1])
    model.weight.value = np.zeros((2, 4), np.float32)
    with pytest.raises(ValueError, match=r"got weight \(2, 4\), expected \(5, 4\)" if uses("native") else "."):
        plan(numbers)


def test_explanations_take_what_the_plan_takes() -> None:
    plan = compile(Linear(3, 2), (4, 3))
    with pytest.raises(ValueError, match=r"got input \(1, 3\), expected \(4, 3\)"):
        plan.explain(np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="got 0 repeats, expected at least one"):
        plan.explain(repeats=0)
