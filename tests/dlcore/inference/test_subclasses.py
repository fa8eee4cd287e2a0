"""A subclass that keeps its parent's `apply` is planned as its parent; one that has its own is left as it is."""

from __future__ import annotations

from dataclasses import dataclass
from types import MethodType
from typing import Any

import numpy as np
import pytest

from dlcore.inference import compile
from dlcore.nn.layer import (
    CAddTable,
    Concat,
    ConcatTable,
    Identity,
    Linear,
    ReLU,
    Sequential,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialMaxPooling,
)
from dlcore.nn.module import Module


@dataclass(eq=False)
class PlainStack(Sequential):
    """A Sequential with a constructor of its own."""

    def __post_init__(self) -> None:
        self.add(NamedConvolution(3, 16, 3, 3, 1, 1, 1, 1)).add(PlainNormalization(16)).add(PlainReLU())
        self.add(PlainPooling(2, 2, 2, 2))


class PlainReLU(ReLU):
    """ReLU."""


class PlainPooling(SpatialMaxPooling):
    """SpatialMaxPooling."""


class PlainNormalization(SpatialBatchNormalization):
    """SpatialBatchNormalization."""


class NamedConvolution(SpatialConvolution):
    """SpatialConvolution."""


class Doubled:
    """Twice what the parent gives."""

    def apply(self, x: Any) -> tuple[Any, Any]:
        y, pullback = super().apply(x)  # type: ignore[misc]
        return 2 * y, lambda grad: pullback(2 * grad)


class DoubledStack(Doubled, PlainStack):
    """Twice a Sequential."""


class DoubledReLU(Doubled, ReLU):
    """Twice a ReLU."""


class DoubledPooling(Doubled, SpatialMaxPooling):
    """Twice a pooling."""


class DoubledConvolution(Doubled, SpatialConvolution):
    """Twice a convolution."""


class DoubledSum(Doubled, CAddTable):
    """Twice a sum."""


class DoubledConcat(Doubled, Concat):
    """Twice a Concat."""


class DoubledIdentity(Doubled, Identity):
    """Twice the input."""


class Undoubled(DoubledStack):
    """A Sequential again: what its parent changes does not count."""

    apply = Sequential.apply


def conv(planes_in: int, planes: int) -> SpatialConvolution:
    return SpatialConvolution(planes_in, planes, 3, 3, 1, 1, 1, 1)


def stacked(*layers: Module) -> Sequential:
    model = Sequential()
    for layer in layers:
        model.add(layer)
    return model


def test_subclasses_that_keep_apply_are_taken_apart_and_fused() -> None:
    assert compile(PlainStack(), (1, 3, 16, 16)).steps in (["Convolution"], ["Convolution", "PlainPooling"])
    assert compile(Undoubled(), (1, 3, 16, 16)).steps == compile(PlainStack(), (1, 3, 16, 16)).steps


OWN: dict[str, tuple[Any, list[str]]] = {
    "container": (DoubledStack, ["DoubledStack"]),
    "relu": (lambda: stacked(conv(3, 16), DoubledReLU()), ["Convolution", "DoubledReLU"]),
    "pooling": (lambda: stacked(conv(3, 16), DoubledPooling(2, 2, 2, 2)), ["Convolution", "DoubledPooling"]),
    "convolution": (
        lambda: stacked(DoubledConvolution(3, 16, 3, 3, 1, 1, 1, 1), ReLU()),
        ["DoubledConvolution", "ReLU"],
    ),
    "sum": (
        lambda: stacked(ConcatTable().add(conv(3, 16)).add(conv(3, 16)), DoubledSum()),
        ["Convolution", "Convolution", "DoubledSum"],
    ),
    "concat": (lambda: DoubledConcat(2).add(conv(3, 4)).add(ReLU()), ["DoubledConcat"]),
    "identity": (lambda: stacked(conv(3, 4), DoubledIdentity()), ["Convolution", "DoubledIdentity"]),
    "several users": (
        lambda: stacked(
            ConcatTable().add(PlainStack()).add(DoubledStack()), ConcatTable().add(CAddTable()).add(DoubledSum())
        ),
        [],
    ),
}


@pytest.mark.parametrize("case", OWN)
def test_an_apply_of_its_own_counts(case: str) -> None:
    build, steps = OWN[case]
    model = build().evaluate()
    x = np.random.default_rng(1).standard_normal((2, 3, 16, 16), dtype=np.float32)
    plan = compile(model, x.shape)
    assert not steps or plan.steps == steps
    for got, expected in zip(np.atleast_1d(plan(x)), np.atleast_1d(model.forward(x)), strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5)


def test_an_apply_of_one_module_counts() -> None:
    model = stacked(Linear(3, 4), ReLU())

    def negative(_: Module, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return -x, lambda grad: -grad

    model[0].apply = MethodType(negative, model[0])
    np.testing.assert_array_equal(compile(model, (1, 3))(np.full((1, 3), -2, np.float32)), np.full((1, 3), 2))


def test_a_batch_normalisation_of_another_format_is_not_folded() -> None:
    """Its planes are the last dimension, whatever the convolution's are."""
    norm = SpatialBatchNormalization(8, data_format="NHWC")
    norm.set_running_mean(np.arange(8, dtype=np.float32))
    model = stacked(conv(3, 8), norm).evaluate()
    x = np.random.default_rng(1).standard_normal((2, 3, 5, 8), dtype=np.float32)
    np.testing.assert_allclose(compile(model, x.shape)(x), model.forward(x), atol=2e-5)
