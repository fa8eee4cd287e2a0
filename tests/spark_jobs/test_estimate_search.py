"""The estimate of a catalogue's search, beside sums made by hand."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from spark_jobs import estimate_search
from spark_jobs.estimate_search import Catalogue, costs, queries_s
from spark_jobs.pipeline import EXIT_MISTAKE

SHOP = Catalogue(pictures=380e6, day=1e6, bits=128)


def test_a_shop_by_hand() -> None:
    # 7.22e16 pairs: 5.55e5 s by code and 2.06e6 s by hash; 1.52e10 candidates: 4.34e4 s; 380e6 pictures: 7.6e4 s
    assert costs(SHOP)["duplicates, from nothing"].core_s == pytest.approx(2.738e6, rel=0.005)
    # 3.805e14 pairs: 2.93e3 s and 1.09e4 s; 4e7 candidates: 114 s; 1e6 new pictures: 200 s; 380e6 known: 3.8e3 s
    assert costs(SHOP)["duplicates, a day"].core_s == pytest.approx(1.791e4, rel=0.005)
    # 16 bytes of code, 256 of descriptor, 192 of hashes and colours
    assert costs(SHOP)["duplicates, from nothing"].disk_bytes == pytest.approx(380e6 * 464)
    assert queries_s(SHOP) == pytest.approx(2.1e9 / 380e6)


def answer(*arguments: str) -> tuple[int, str]:
    application = typer.Typer()
    application.command()(estimate_search.main)
    result = CliRunner().invoke(application, arguments)
    return result.exit_code, result.output + str(result.exception or "")


def test_the_command_prints_each_piece_of_work() -> None:
    code, text = answer("--pictures", "380e6", "--day", "1e6", "--bits", "128", "--cores", "1200")
    assert code == 0
    assert "duplicates, from nothing" in text and "0.634" in text and "queries/s of one core" in text


def test_what_was_not_measured_is_refused() -> None:
    code, text = answer("--pictures", "1e6", "--bits", "96")
    assert code == EXIT_MISTAKE and "expected bits of [64, 128, 256, 512]" in text
