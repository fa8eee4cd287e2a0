"""The list of layers: whole, with shapes, and the page made from it as it is now."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlcore.nn
from dlcore.nn.__main__ import families, main, page, shapes

PAGE = Path(__file__).parents[3] / "docs/layers.md"


def test_the_page_says_what_the_docstrings_say():
    assert PAGE.read_text("utf-8") == page(), "run: python -m dlcore.nn --markdown > docs/layers.md"


def test_every_layer_and_criterion_says_what_it_takes():
    kinds = [kind for _, found in families() for kind in found]
    assert len({kind.__name__ for kind in kinds}) == len(kinds) > 200
    assert [kind.__name__ for kind in kinds if not shapes(kind)] == []
    assert [kind.__name__ for kind in kinds if getattr(dlcore.nn, kind.__name__) is not kind] == []


def test_one_is_shown_whole(capsys):
    main(["LSTM"])
    shown = capsys.readouterr().out
    assert shown.startswith("LSTM(input_size") and "Source: " in shown and "from dlcore.nn import LSTM" in shown


def test_a_wrong_name_leads_to_those_that_are_near():
    with pytest.raises(
        SystemExit, match="got 'SpatialConvolutoin', expected a layer or criterion, such as SpatialConvolution"
    ):
        main(["SpatialConvolutoin"])
