"""Recommenders, and the autoencoder, against the same sums written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.activity import Array
from dlcore.inference import compile
from dlcore.models.autoencoder import autoencoder
from dlcore.models.ncf import neural_cf
from dlcore.models.wide_and_deep import Columns, wide_and_deep
from dlcore.nn.module import Module

COLUMNS = Columns(
    wide_dims=(5, 7, 100), indicator_dims=(3, 4), embed_in_dims=(10, 20), embed_out_dims=(4, 6), continuous=2
)


def values(model: Module) -> dict[str, Array]:
    """New weights, all of about one size, so that each of them matters."""
    rng = np.random.default_rng(0)
    for parameter in model.named_parameters().values():
        parameter.value[...] = rng.standard_normal(parameter.value.shape) / 3
    model.evaluate()
    return {name: parameter.value.astype(np.float64) for name, parameter in model.named_parameters().items()}


def log_softmax(scores: Array) -> Array:
    exps = np.exp(scores - scores.max())
    return np.log(exps / exps.sum())


def perceptron(p: dict[str, Array], name: str, x: Array, count: int) -> Array:
    for i in range(1, count + 1):
        x = np.maximum(p[f"{name}{i}.weight"] @ x + p[f"{name}{i}.bias"], 0)
    return x


def test_neural_cf() -> None:
    model = neural_cf(6, 9, 3, 4, 5, (7, 6), True, 2)
    p, pairs = values(model), np.array([[1, 9], [6, 1], [3, 4]])
    for (user, item), found in zip(pairs - 1, model.forward(pairs), strict=True):
        hidden = perceptron(p, "mlp", np.r_[p["mlp_user.weight"][user], p["mlp_item.weight"][item]], 2)
        both = np.r_[p["mf_user.weight"][user] * p["mf_item.weight"][item], hidden]
        np.testing.assert_allclose(found, log_softmax(p["score.weight"] @ both + p["score.bias"]), atol=1e-5)
    np.testing.assert_allclose(compile(model, pairs.shape)(pairs), model.forward(pairs), atol=1e-5)


# By hand: 9,746 users and items of 40 numbers each; 40 x 40, 40 x 20 and 20 x 10 with biases; (10 + 20) x 5 with
# biases.
def test_neural_cf_has_the_size_of_its_tables() -> None:
    sizes = {name: p.value.size for name, p in neural_cf(6040, 3706, 5).named_parameters().items()}
    assert sum(sizes.values()) == 9746 * 40 + 1640 + 820 + 210 + 155
    assert sum(p.value.size for p in neural_cf(6040, 3706, 5, include_mf=False).named_parameters().values()) == (
        9746 * 20 + 1640 + 820 + 210 + 55
    )


def rows() -> list[Array]:
    rng = np.random.default_rng(1)
    wide = np.array([[1, 6, 13], [5, 12, 112], [2, 8, 50]])
    return [
        wide, rng.integers(0, 2, (3, 7)).astype(np.float32), np.array([[1, 20], [10, 1], [4, 7]]),
        rng.standard_normal((3, 2), dtype=np.float32),
    ]  # fmt: skip


def wide_scores(p: dict[str, Array], wide: Array) -> Array:
    """A linear layer of a row of 112 zeros and ones."""
    ones = np.zeros(112)
    ones[wide - 1] = 1
    return ones @ p["wide_linear.weight"] + p["wide_bias.bias"]


def deep_scores(p: dict[str, Array], indicator: Array, numbers: Array, continuous: Array) -> Array:
    looked_up = [p[f"embed{i}.weight"][number - 1] for i, number in enumerate(numbers, start=1)]
    hidden = perceptron(p, "deep", np.r_[indicator, *looked_up, continuous], 3)
    return p["deep_linear.weight"] @ hidden + p["deep_linear.bias"]


def test_wide_and_deep() -> None:
    model, x = wide_and_deep(3, COLUMNS), rows()
    p = values(model)
    for i, found in enumerate(model.forward(x)):
        wide, *deep = (part[i] for part in x)
        np.testing.assert_allclose(found, log_softmax(wide_scores(p, wide) + deep_scores(p, *deep)), atol=1e-5)
    assert model.output_shape([(None, *part.shape[1:]) for part in x]) == (None, 3)
    np.testing.assert_allclose(compile(model, [part.shape for part in x])(x), model.forward(x), atol=1e-5)


def test_either_part_stands_alone() -> None:
    wide, deep = wide_and_deep(3, COLUMNS, "wide"), wide_and_deep(3, COLUMNS, "deep")
    x = rows()
    p, q = values(wide), values(deep)
    np.testing.assert_allclose(wide.forward(x[0])[1], log_softmax(wide_scores(p, x[0][1])), atol=1e-5)
    expected = log_softmax(deep_scores(q, *(part[1] for part in x[1:])))
    np.testing.assert_allclose(deep.forward(x[1:])[1], expected, atol=1e-5)


def test_wrong_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="got model_type 'tall', expected one of"):
        wide_and_deep(2, COLUMNS, "tall")
    with pytest.raises(ValueError, match="expected columns for 'deep'"):
        wide_and_deep(2, Columns(wide_dims=(3,)), "deep")
    with pytest.raises(ValueError, match="got 1 embed_in_dims and 2 embed_out_dims"):
        Columns(embed_in_dims=(3,), embed_out_dims=(1, 2))


def test_the_autoencoder_restores_by_its_code() -> None:
    model = autoencoder(3, 12)
    p, x = values(model), np.random.default_rng(2).random((2, 3, 4), dtype=np.float32)
    for picture, found in zip(x, model.forward(x), strict=True):
        code = np.maximum(p["encoder.weight"] @ picture.reshape(12) + p["encoder.bias"], 0)
        np.testing.assert_allclose(
            found, 1 / (1 + np.exp(-(p["decoder.weight"] @ code + p["decoder.bias"]))), atol=1e-6
        )
    assert autoencoder().output_shape((None, 28, 28)) == (None, 784)
