"""Groups of duplicates from verified pairs, without chaining.

Pairs above the threshold form connected components; a component of unrelated pictures that one wrong pair ties
together is cut again by average linkage over the similarities of *all* its pairs (Sokal and Michener 1958), so that a
picture stays only where it resembles the group and not merely one member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

Indices = NDArray[np.int64]
Similarity = Callable[[Indices, Indices], NDArray[np.float64]]
MAX_COMPONENT = 1000


@dataclass(frozen=True)
class Group:
    """Members of one group in ascending order, and the most typical one: the highest mean similarity to the others."""

    members: Indices
    representative: int


def group_pairs(
    count: int, pairs: tuple[Indices, Indices], similarity: Similarity, threshold: float, method: str = "average"
) -> list[Group]:
    """Groups of two and more among items 0 .. count - 1, in order of their smallest member.

    pairs: candidates as two index arrays (P,). similarity: of two index arrays, values in [0, 1]. A pair
    is an edge when it reaches `threshold`; a group is a cluster whose linkage by `method` ("average" or "complete")
    stays within 1 - threshold. The answer does not depend on the order of the pairs.
    """
    if method not in ("average", "complete"):
        raise ValueError(f"group_pairs: got method {method!r}, expected 'average' or 'complete' (others chain)")
    i, j = pairs
    scores = similarity(i, j)
    groups = [
        Group(members, _representative(members, matrix))
        for component in _components(count, i, j, scores, threshold)
        for members, matrix in _clusters(component, similarity, threshold, method)
    ]
    return sorted(groups, key=lambda group: int(group.members[0]))


def _components(count: int, i: Indices, j: Indices, scores: NDArray[np.float64], threshold: float) -> Iterator[Indices]:
    """Connected components of two and more; one above MAX_COMPONENT is cut again by a higher threshold."""
    strong = scores >= threshold
    i, j, scores = i[strong], j[strong], scores[strong]
    _, labels = connected_components(coo_matrix((np.ones(len(i)), (i, j)), shape=(count, count)), directed=False)
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if 1 < len(members) <= MAX_COMPONENT:
            yield members
        elif len(members) > MAX_COMPONENT:
            yield from _cut(members, i, j, scores, threshold)


def _cut(members: Indices, i: Indices, j: Indices, scores: NDArray[np.float64], threshold: float) -> Iterator[Indices]:
    """Components of a too large component at a higher threshold; pieces of MAX_COMPONENT where no threshold helps."""
    higher = threshold + (1 - threshold) / 2
    if 1 - higher < 1e-6:
        yield from np.array_split(members, -(-len(members) // MAX_COMPONENT))
        return
    inside = np.isin(i, members)
    rank = np.searchsorted(members, i[inside]), np.searchsorted(members, j[inside])
    for piece in _components(len(members), *rank, scores[inside], higher):
        yield members[piece]


def _clusters(
    component: Indices, similarity: Similarity, threshold: float, method: str
) -> Iterator[tuple[Indices, NDArray[np.float64]]]:
    """Clusters of two and more of a component, each with its matrix of similarities."""
    rows, columns = np.triu_indices(len(component), 1)
    condensed = similarity(component[rows], component[columns])
    labels = fcluster(linkage(1 - condensed, method), 1 - threshold + 1e-9, "distance")
    matrix = squareform(condensed)
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        if len(inside) > 1:
            yield component[inside], matrix[np.ix_(inside, inside)]


def _representative(members: Indices, matrix: NDArray[np.float64]) -> int:
    """The member most similar to the others on average; the smallest of equals."""
    return int(members[np.argmax(np.round(matrix.sum(axis=1), 6))])
