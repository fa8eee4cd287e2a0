"""Connected components in DataFrames and in one task, beside a search from every node."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from spark_jobs.running.components import OF_ONE_TASK, component_batches, components
from tests.spark_jobs.lake import Lake


def graph(seed: int) -> list[tuple[str, str]]:
    """Sparse random pairs of 60 nodes, and a path of 17."""
    rng = np.random.default_rng(seed)
    pairs = {tuple(sorted(pair)) for pair in rng.integers(0, 60, (25, 2)).tolist() if pair[0] != pair[1]}
    path = rng.permutation(np.arange(100, 117)).tolist()
    return [(f"{a:03}", f"{b:03}") for a, b in [*pairs, *pairwise(path)]]


def searched(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The smallest node that can be reached from each."""
    found: dict[str, str] = {}
    for node in sorted({end for pair in pairs for end in pair}):
        waiting = [node]
        while waiting:
            at = waiting.pop()
            if at not in found:
                found[at] = node
                waiting += [b if a == at else a for a, b in pairs if at in (a, b)]
    return found


@pytest.mark.parametrize("seed", range(3))
def test_in_one_task(seed: int) -> None:
    pairs = graph(seed)
    table = pa.table({"one": [a for a, _ in pairs], "other": [b for _, b in pairs]})
    (found,) = component_batches(table.to_batches(max_chunksize=7))
    assert dict(zip(*found.to_pydict().values(), strict=True)) == searched(pairs)
    assert list(component_batches([])) == []


def test_as_many_nodes_as_one_task_takes() -> None:
    half = OF_ONE_TASK // 2
    one, other = (np.char.mod("%032d", np.arange(start, start + half)) for start in (0, half))
    table = pa.table({"one": pa.array(one.tolist()), "other": pa.array(other.tolist())})
    found = pa.Table.from_batches(component_batches(table.to_batches(max_chunksize=50_000)))
    np.testing.assert_array_equal(found["node"].to_numpy(), np.concatenate([one, other]))
    np.testing.assert_array_equal(found["component"].to_numpy(), np.concatenate([one, one]))


@pytest.mark.spark
def test_in_rounds(lake: Lake) -> None:
    spark, pairs = lake.connect(), graph(9)
    frame = spark.createDataFrame(pairs, "one string, other string")
    found = [(row["node"], row["component"]) for row in components(frame, "one", "other", of_one_task=0).collect()]
    spark.stop()
    assert len(found) == len(dict(found))
    assert dict(found) == searched(pairs)
