"""Connected components of a graph that is too large for one process, computed with DataFrames only.

Large-star and small-star in turn (Kiveris et al. 2014, "Connected components in MapReduce and beyond"): each round
joins every node's neighbours to the smallest of them, until each component is a star around its smallest node. The
rounds grow with the logarithm of the longest path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

OF_ONE_TASK = 1_000_000
"""Most pairs that one task takes, some 0.3 GB. Beyond that Spark computes, and each of its rounds costs seconds,
however few pairs there are."""
_IN_A_BATCH = 100_000


def components(pairs: Any, one: str, other: str, of_one_task: int = OF_ONE_TASK) -> Any:
    """Pairs of nodes in two string columns -> (`node`, `component`), each node once; a component is named after its
    smallest node."""
    if pairs.count() <= of_one_task:
        # The pairs are brought to one task; with coalesce(1), that task would also read the whole table they are in.
        return pairs.select(one, other).repartition(1).mapInArrow(component_batches, "node string, component string")
    edges = pairs.selectExpr(f"greatest({one}, {other}) AS node", f"least({one}, {other}) AS root").distinct()
    state = None
    while True:
        edges = _small_star(_large_star(edges)).localCheckpoint()
        now = edges.selectExpr("count(*)", "bit_xor(xxhash64(node, root))").collect()[0]
        if now == state:
            break
        state = now
    roots = edges.selectExpr("root AS node", "root AS component").distinct()
    return edges.selectExpr("node", "root AS component").unionByName(roots)


def _large_star(edges: Any) -> Any:
    """Every larger neighbour of a node is joined to the smallest of the node and its neighbours."""
    both = edges.selectExpr("node", "root AS near").unionByName(edges.selectExpr("root AS node", "node AS near"))
    smallest = "least(node, min(near) OVER (PARTITION BY node)) AS root"
    return (
        both.selectExpr("node AS centre", "near AS node", smallest)
        .where("node > centre")
        .select("node", "root")
        .distinct()
    )


def _small_star(edges: Any) -> Any:
    """A node and its smaller neighbours are joined to the smallest of these."""
    smallest = edges.selectExpr("node", "root AS near", "min(root) OVER (PARTITION BY node) AS root")
    others = smallest.where("near <> root").selectExpr("near AS node", "root")
    return smallest.select("node", "root").unionByName(others).distinct()


def component_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All pairs of a graph, two columns of names -> rows (node, component)."""
    given = list(batches)
    if not given:
        return
    ends = [pa.chunked_array([batch.column(side) for batch in given]) for side in (0, 1)]
    names = pa.chunked_array([chunk for column in ends for chunk in column.chunks]).unique().sort()
    one, other = (pc.index_in(column, value_set=names).to_numpy() for column in ends)
    graph = coo_matrix((np.ones(len(one), bool), (one, other)), shape=(len(names), len(names)))
    _, labels = connected_components(graph, directed=False)
    first = np.unique(labels, return_index=True)[1]  # names are in order
    found = pa.table({"node": names, "component": names.take(pa.array(first[labels]))})
    yield from found.to_batches(max_chunksize=_IN_A_BATCH)
