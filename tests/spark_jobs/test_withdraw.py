"""What the command that takes pictures down leaves and says beside the table of decisions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dlcore.search.entries import Entries
from dlcore.search.index import publish
from spark_jobs import withdraw
from spark_jobs.settings import Settings
from spark_jobs.stages.withdrawn_keys import FILE


def test_the_list_is_that_of_the_last_decision_and_beside_the_index_of_every_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path), "PIPELINE_CODES": "v2"})
    for name in ("index-v1", "index-v2"):
        (tmp_path / name).mkdir()
    seen = iter([["first"], ["first", "second"], ["first", "second"]])
    monkeypatch.setattr(withdraw, "keys_now", lambda *_: next(seen))
    keys, places = withdraw.write_list(settings, None)
    assert keys == ["first", "second"]
    assert places == [f"file://{tmp_path}/{name}" for name in ("index", "index-v1", "index-v2")]
    for name in ("index", "index-v1", "index-v2"):
        assert json.loads((tmp_path / name / FILE).read_text()) == {"keys": keys}


def test_keys_that_the_index_does_not_have_are_named(tmp_path: Path) -> None:
    index = f"file://{tmp_path}/index"
    assert withdraw.not_indexed(index, ["sku1/0"]) == []
    nothing = np.empty(0, np.uint8)
    entries = Entries(
        np.zeros((1, 16), np.uint8), np.array(["2026-11-02"], "M8[D]"), [b"sku1/0"], np.zeros(1, np.int16), [b""],
        [b""],
        np.zeros(1, np.int64), nothing,
    )  # fmt: skip
    publish(index, entries, "model-1")
    assert withdraw.not_indexed(index, ["sku1/0", "sku1"]) == ["sku1"]
