"""Plans in fewer bits against the same plan in fp32, and against slow loops over whole numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dlcore import kernels
from dlcore.activity import Array, leaves
from dlcore.errors import ModelFormatError
from dlcore.inference import Plan, agreement, calibrate, compile, load_calibration
from dlcore.inference.forms import Form, integers, scaled
from dlcore.inference.ranges import Observed, chosen
from dlcore.kernels import cpu
from dlcore.nn.layer import Linear, ReLU, Sequential, SpatialConvolution
from dlcore.nn.module import Module
from dlcore.rng import RNG

from .test_plan import MODELS, conv, randomised, vgg_like

needs_bf16 = pytest.mark.skipif(cpu.instruction_set() != "avx512", reason="no kernels for bf16 on this CPU")
BITS = {"bf16": 0.04, "int8": 0.12}
"""Precision -> the largest error, as a share of the largest value, in small networks with random weights."""


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def lowered(model: Module, shape: tuple[int, ...], precision: str) -> Plan:
    calibration = calibrate(model, values(8, *shape[1:], seed=1)) if precision == "int8" else None
    return compile(model, shape, precision, calibration=calibration, force=True)


def precisions(plan: Plan) -> list[str]:
    """What the table of a plan says of each step."""
    table = plan.explain(repeats=1).splitlines()
    start, end = table[0].index("precision"), table[0].index("precision") + 12
    return [row[start:end].strip() for row in table[1:-1]]


@needs_bf16
@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("name", MODELS)
def test_few_bits_give_nearly_the_same(name: str, precision: str) -> None:
    build, shape = MODELS[name]
    RNG.set_seed(1)
    model, x = randomised(build()), values(*shape)
    plan = lowered(model, shape, precision)
    for wanted, got in zip(leaves(compile(model, shape)(x)), leaves(plan(x)), strict=True):
        assert np.abs(wanted - got).max() < BITS[precision] * np.abs(wanted).max()
    assert precision in precisions(plan)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_without_onednn_a_plan_is_fp32(precision: str) -> None:
    model, x = randomised(vgg_like()), values(2, 3, 11, 15)
    calibration = calibrate(model, values(8, 3, 11, 15, seed=1))
    with kernels.using("reference"):
        plan = compile(model, x.shape, precision, calibration=calibration)
        np.testing.assert_array_equal(plan(x), compile(model, x.shape)(x))


def test_results_between_convolutions_stay_in_eight_bits() -> None:
    plan = lowered(randomised(vgg_like()), (2, 3, 11, 15), "int8")
    assert precisions(plan) == ["fp32 to s8", "int8", "int8", "u8", "int8", "s8", "int8", "int8", "fp32"]


def test_a_row_in_eight_bits_does_not_depend_on_its_batch() -> None:
    model, x = randomised(vgg_like()), values(5, 3, 11, 15)
    calibration = calibrate(model, values(8, 3, 11, 15, seed=1))
    one, two = (compile(model, (rows, 3, 11, 15), "int8", calibration=calibration).predict(x) for rows in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("stride", [1, 2])
def test_threads_give_the_same_in_every_run(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu._threads, "count", 2)
    narrow = SpatialConvolution(24, 48, 1, 1, stride, stride)
    model, x = Sequential().add(conv(3, 24)).add(ReLU()).add(narrow).add(conv(48, 8)), values(8, 3, 32, 32)
    plan = compile(model, x.shape, "int8", calibration=calibrate(model, x))
    first = plan(x)
    for _ in range(60):
        np.testing.assert_array_equal(plan(x), first)


def test_a_product_in_eight_bits_adds_whole_numbers() -> None:
    model, x = Sequential().add(Linear(40, 6)).add(ReLU()), values(3, 40)
    plan = compile(model, x.shape, "int8", calibration=calibrate(model, x, "min_max"))
    linear = model.modules[0]
    largest, limit = np.abs(x).max(), 127 if cpu.multiplies_bytes() else 63
    steps = np.abs(linear.weight.value).max(axis=1) / limit
    given = np.rint(x * np.float32(127 / largest)).astype(int)
    whole = np.rint(linear.weight.value / steps[:, None]).astype(int)
    wanted = np.array([[sum(a * b for a, b in zip(row, weights, strict=True)) for weights in whole] for row in given])
    wanted = np.maximum(wanted * steps * (largest / 127) + linear.bias.value, 0)
    np.testing.assert_allclose(plan(x), wanted, atol=largest / 127 * np.abs(linear.weight.value).max() * 1.5)


def test_weights_of_each_plane_have_a_scale_of_their_own() -> None:
    weight = np.array([[1000.0, -500.0], [0.001, 0.0005], [0, 0]], np.float32)
    found = scaled(weight, np.ones(3, np.float32), 6.0, Form("u8", 0.5), None, Form("u8", 0.25))
    limit = 127 if cpu.multiplies_bytes() else 63
    assert found.weight[:, 0].tolist() == [limit, limit, 0]
    wrong = np.abs(found.weight * found.factors[:, None] * 0.25 / 0.5 - weight)
    assert (wrong <= 0.501 * np.abs(weight).max(axis=1, keepdims=True) / limit).all()
    assert (found.ceiling, found.divisor) == (24.0, 1.0)


_WITHOUT_VNNI = """
import numpy as np
from dlcore.inference import calibrate, compile
from dlcore.nn.layer import Linear, Sequential, SpatialConvolution
signs = lambda *shape: np.random.default_rng(0).choice(np.float32([-1, 1]), shape)
cases = [(SpatialConvolution(8, 16, 3, 3, 1, 1, 1, 1), signs(2, 8, 6, 6)), (SpatialConvolution(64, 8, 1, 1), signs(2, 64, 6, 6))]
cases += [(SpatialConvolution(16, 16, 3, 3, 1, 1, 1, 1, 16), signs(2, 16, 6, 6)), (Linear(64, 8), signs(2, 64))]
for layer, x in cases:
    layer.weight.value[...] = signs(*layer.weight.value.shape)
    layer.weight.value[0] = x[0] = 1
    exact = compile(Sequential().add(layer), x.shape)(x)
    plan = compile(Sequential().add(layer), x.shape, "int8", calibration=calibrate(layer, x, "min_max"))
    print(np.abs(plan(x) - exact).max() / np.abs(exact).max())
"""


def test_the_largest_weights_are_exact_without_vnni() -> None:
    """Nothing overflows in sixteen bits, and no bit is lost twice."""
    environment = {**os.environ, "DLCORE_ISA": "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_VNNI], env=environment, capture_output=True, text=True, check=True
    )
    errors = [float(line) for line in done.stdout.split()]
    assert len(errors) == 4
    assert max(errors) < 1e-5


@pytest.mark.parametrize(("low", "high", "form"), [(0, 51, Form("u8", 0.2)), (-1.27, 1, Form("s8", 0.01))])
def test_a_range_without_negative_values_has_all_bits_above_zero(low: float, high: float, form: Form) -> None:
    found = integers(low, high)
    assert found.number == form.number
    assert found.scale == pytest.approx(form.scale)


def test_values_of_another_sign_than_the_samples_are_not_cut_off() -> None:
    model, x = Sequential().add(Linear(40, 6)).add(Linear(6, 4)), np.abs(values(8, 40))
    plan, exact = lowered(model, x.shape, "int8"), compile(model, x.shape)
    assert precisions(plan)[0] == "fp32 to s8"
    assert np.abs(plan(-x) - exact(-x)).max() < BITS["int8"] * np.abs(exact(-x)).max()


@needs_bf16
def test_weights_of_products_alone_may_be_stored_in_bf16() -> None:
    model, x = randomised(vgg_like()), values(2, 3, 11, 15)
    plan = compile(model, x.shape, product_weights="bf16")
    found = precisions(plan)
    assert found.count("bf16") == 2
    assert found[: found.index("bf16")].count("fp32") >= 3
    np.testing.assert_allclose(plan(x), compile(model, x.shape)(x), atol=2e-3)


def test_ranges_take_in_what_the_method_says() -> None:
    rng = np.random.default_rng(3)
    parts = [np.maximum(rng.laplace(size=50_000), 0).astype(np.float32) for _ in range(4)]
    found = Observed()
    for part in parts:
        found.widen(part)
    for part in parts:
        found.count(part)
    together = np.concatenate(parts)
    assert chosen(found, "min_max") == (0, together.max())
    low, high = chosen(found, "percentile")
    assert low == 0
    assert high == pytest.approx(np.percentile(together[together > 0], 99.99), rel=0.01)
    assert together.std() * 5 < chosen(found, "kl")[1] <= together.max()


def test_an_outlier_is_cut_off_but_by_the_whole_range() -> None:
    samples = values(64, 3, 11, 15)
    samples[7, 1, 5, 5] = 1000
    model = randomised(vgg_like())
    widest = {method: calibrate(model, samples, method).ranges[0][2] for method in ("min_max", "percentile", "kl")}
    assert widest["min_max"] == 1000
    assert widest["percentile"] < 10
    assert widest["kl"] < 100


def test_agreement_counts_errors_and_choices() -> None:
    model, x = randomised(vgg_like()), values(16, 3, 11, 15)
    plan = lowered(model, (4, 3, 11, 15), "int8")
    exact = compile(model, (4, 3, 11, 15))
    found = agreement(exact, plan, x)[0]
    assert 0 < found.mean_error <= found.largest_error < 0.05
    assert found.cosine > 0.999
    assert found.same_choice >= 0.75
    assert agreement(exact, exact, x)[0].largest_error == 0


def test_a_calibration_is_saved_and_read(tmp_path: Path) -> None:
    model, path = randomised(vgg_like()), tmp_path / "calibration.json"
    calibration = calibrate(compile(model, (1, 3, 11, 15)), values(4, 3, 11, 15))
    calibration.save(path)
    assert load_calibration(path) == calibration
    with pytest.raises(ValueError, match=r"calibration of .*calibrate this model anew"):
        compile(Sequential().add(conv(3, 4)), (1, 3, 11, 15), "int8", calibration=calibration)


_LIKE = '{"format": "dlcore calibration 1", "ranges": [], "method": "kl"'
DAMAGED = (
    "", "[]", "{}", "[" * 100_000, '{"ranges": []}', '{"format": "dlcore calibration 1"}', _LIKE + "}",
    _LIKE + ', "samples": [1]}', _LIKE + ', "samples": Infinity}', _LIKE + ', "samples": 1, "method": ["kl"]}',
)  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_calibration_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(content)
    with pytest.raises(ModelFormatError, match=r"expected what Calibration\.save wrote"):
        load_calibration(path)


def test_a_range_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    calibrate(Linear(3, 2), values(4, 3)).save(path)
    found = json.loads(path.read_text())
    found["ranges"][0][1] = float("-inf")
    path.write_text(json.dumps(found))
    with pytest.raises(ModelFormatError, match="the range"):
        load_calibration(path)


def test_what_cannot_be_calibrated_is_refused() -> None:
    model = Linear(3, 2)
    with pytest.raises(ValueError, match="got method 'mean'"):
        calibrate(model, values(4, 3), "mean")
    with pytest.raises(ValueError, match="expected at least one"):
        calibrate(model, values(0, 3))
    with pytest.raises(ValueError, match="expected finite numbers"):
        calibrate(model, np.full((1, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="int8 without a calibration"):
        compile(model, (1, 3), "int8")
    with pytest.raises(ValueError, match="product_weights 'int4'"):
        compile(model, (1, 3), product_weights="int4")
