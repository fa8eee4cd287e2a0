"""The prediction of a step: its arithmetic, with numbers that are easy to follow, and what it refuses."""

from __future__ import annotations

import argparse

import pytest

from dlcore.models.inception import inception_v1_no_aux_classifier
from dlcore.models.lenet import build_model
from dlcore.spark.plan import NETWORKS, Machine, Network, Setting, bits_of, counts, main, predicted, received_bytes

MACHINE = Machine(
    "none", job_ms=20, task_ms=0.5, add_ms=1, change_ms=4, copy_ms=0.25, round_ms=3, widen_ms=2
)  # fmt: skip
SMALL, LARGE = Network(2_000_000, 10, 5), Network(100_000_000, 50, 20)


def test_one_job_exchanges_all_gradients():
    setting = Setting(SMALL, workers=4, batch=8, bandwidth=1e9)
    assert setting.jobs == 1
    found = predicted(setting, MACHINE)
    assert received_bytes(setting) == 3 * 8e6
    assert found.compute_s == pytest.approx(0.080)
    assert found.schedule_s == pytest.approx(0.020 + 4 * 0.0005)
    assert found.network_s == pytest.approx(3 * 64e6 / 1e9)
    assert found.arithmetic_s == pytest.approx(0.001 * (4 * 2 * 1 + 2 * 4 + 2 * 0.25))
    assert found.sync_s == pytest.approx(0.022 + 0.192 + 0.0165)
    assert found.share == pytest.approx(found.sync_s / (found.sync_s + 0.080))
    # weights twice, gradients of three steps, of each three times weights and momentum, four that are fetched
    assert found.memory_bytes == pytest.approx(8e6 * (2 + 3 + 3 * 2 + 4) + 40e6)


def test_two_jobs_exchange_slices():
    setting = Setting(LARGE, workers=10, batch=4, bandwidth=10e9, rate=2)
    assert setting.jobs == 2
    found = predicted(setting, MACHINE)
    assert received_bytes(setting) == pytest.approx(2 * 0.9 * 400e6)
    assert found.compute_s == pytest.approx(0.1)
    assert found.schedule_s == pytest.approx(2 * (0.020 + 10 * 0.0005))
    assert found.network_s == pytest.approx(0.576)
    assert found.arithmetic_s == pytest.approx(0.001 * (100 * 1 + 10 * 4 + 200 * 0.25))
    assert found.memory_bytes == pytest.approx(400e6 * (2 + 3 + 3 * 2 / 10 + 1) + 80e6)


def test_half_the_bytes_cost_their_rounding():
    whole, half = (Setting(LARGE, 10, 4, 10e9, wire) for wire in ("fp32", "fp16"))
    assert received_bytes(half) == received_bytes(whole) / 2
    more = predicted(half, MACHINE).arithmetic_s - predicted(whole, MACHINE).arithmetic_s
    assert more == pytest.approx(0.001 * (110 * 3 + 200 * 2))


def test_one_worker_receives_nothing():
    assert predicted(Setting(LARGE, 1, 4, 1.0), MACHINE).network_s == 0


def test_the_weights_are_those_of_the_models():
    for name, model in {"lenet": build_model(10), "inception_v1": inception_v1_no_aux_classifier(1000)}.items():
        assert sum(parameter.value.size for parameter in model.named_parameters().values()) == NETWORKS[name].weights


def test_it_prints_a_line_for_each_power_of_two(capsys):
    main(["--model", "inception_v1", "--workers", "12", "--bandwidth", "10Gb"])
    first, _, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("inception_v1: 6,998,552 weights, 32 records") and "AMD EPYC" in first
    assert (
        [int(line.split()[0]) for line in rest if not line.startswith("published: ")] == [1, 2, 4, 8, 12] == counts(12)
    )
    assert any("128 nodes" in line for line in rest)


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("--bandwidth", "10GB", "expected bits a second, such as 10Gb"),
        ("--bandwidth", "0Gb", "expected bits a second"),
        ("--workers", "0", "expected at least one worker"),
        ("--batch", "0", "expected at least one worker and record"),
        ("--rate", "-1", "numbers above 0"),
        ("--model", "nobody", "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, argument, value, said):
    given = {"--model": "lenet", "--workers": "2", "--bandwidth": "1Gb"} | {argument: value}
    with pytest.raises(SystemExit):
        main([word for pair in given.items() for word in pair])
    assert said in capsys.readouterr().err


def test_bandwidths_are_bits():
    assert [bits_of(text) for text in ("10Gb", "2.5 Gbit/s", "100Mb")] == [10e9, 2.5e9, 100e6]
    with pytest.raises(argparse.ArgumentTypeError):
        bits_of("10")
