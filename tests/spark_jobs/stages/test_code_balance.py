"""The balance of codes' bits, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from spark_jobs.stages.code_balance import BITS, balance, bit_sums, drift


def sums_of(bits: np.ndarray) -> dict[str, int]:
    return {"count": len(bits), **{f"bit_{number}": int(total) for number, total in enumerate(bits.sum(axis=0))}}


def test_shares_and_drift_are_those_of_the_bits() -> None:
    generator = np.random.default_rng(7)
    first, second = generator.random((300, BITS)) < 0.5, generator.random((200, BITS)) < np.linspace(0, 1, BITS)
    found, reference = balance(sums_of(second)), balance(sums_of(first))
    assert set(bit_sums()) == set(sums_of(first))
    assert (found["lowest_share"], found["highest_share"]) == (0.0, 1.0)
    assert drift(found, reference) == pytest.approx(np.abs(second.mean(axis=0) - first.mean(axis=0)).mean(), abs=1e-4)
    assert drift(found, found) == 0.0


def test_chance_alone_drifts_as_the_docstring_says() -> None:
    generator = np.random.default_rng(8)
    days = [balance(sums_of(generator.random((400, BITS)) < 0.5)) for _ in range(2)]
    assert drift(days[0], days[1]) == pytest.approx(0.56 / np.sqrt(400), rel=0.2)


def test_a_day_without_codes_has_no_shares() -> None:
    empty = balance(dict.fromkeys(bit_sums(), None))
    assert empty == {"count": 0, "ones": [0] * BITS}
    assert drift(empty, empty) is None
