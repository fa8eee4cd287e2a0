"""The list of withdrawn keys beside every set's index."""

from __future__ import annotations

import pytest

from spark_jobs.stages import withdrawn_keys as listed
from spark_jobs.stages.withdrawn_keys import withdrawn_keys, write_keys


def test_the_list_is_beside_every_index_and_read_again_soon(tmp_path):
    (tmp_path / "index-v2").mkdir()
    (tmp_path / "index-of-nothing.txt").write_text("no index")
    index = f"file://{tmp_path}/index"
    assert withdrawn_keys(index) == frozenset()
    assert write_keys(index, ["b", "a"]) == [index, f"{index}-v2"]
    assert withdrawn_keys(index, 3600.0) == frozenset(), "what was read lately is not read again"
    assert withdrawn_keys(index, 0.0) == withdrawn_keys(f"{index}-v2") == {"a", "b"}
    write_keys(index, [])
    assert withdrawn_keys(index, 0.0) == frozenset()


@pytest.mark.parametrize("text", ["", "[]", '{"keys": 3}', '{"key": []}'])
def test_a_damaged_list_shows_nothing(tmp_path, text):
    (tmp_path / listed.FILE).write_text(text)
    with pytest.raises(ValueError, match=r"run spark_jobs\.withdraw"):
        withdrawn_keys(f"file://{tmp_path}")
