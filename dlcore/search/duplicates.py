"""Groups of duplicates from verified pairs, without chaining.

Pairs above the threshold form connected components; if one wrong pair ties unrelated pictures together, average linkage
over the similarities of *all* pairs of the component cuts it again (Sokal and Michener 1958), so that a picture stays
only where it resembles the group and not merely one member. A component of too many pictures for that is taken apart
into stars first, a picture and those that are paired with it (Aslam, Pelekhov and Rus 2004): pictures that are nearly
equal stay together, however many they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

Indices = NDArray[np.int64]
Similarity = Callable[[Indices, Indices], NDArray[np.float64]]
Condensed = NDArray[np.float64]
"""Similarities of all pairs i < j of some items, in scipy's order."""
MAX_COMPONENT = 1000
"""Most items of a component whose pairs are all compared."""
_AT_ONCE = 65536


@dataclass(frozen=True)
class Group:
    """Members of one group in ascending order, and the most typical one, which has the highest mean similarity to the
    others."""

    members: Indices
    representative: int


def group_pairs(
    count: int, pairs: tuple[Indices, Indices], similarity: Similarity, threshold: float, method: str = "average"
) -> list[Group]:
    """Groups of two and more among items 0 .. count - 1, in order of their smallest member.

    pairs: candidates as two index arrays (P,). similarity: takes two index arrays, gives values in [0, 1]. A pair is an
    edge if it reaches `threshold`; a group is a cluster whose linkage by `method` ("average" or "complete") stays
    within 1 - threshold. The result does not depend on the order of the pairs.
    """
    if method not in ("average", "complete"):
        raise ValueError(f"group_pairs: got method {method!r}, expected 'average' or 'complete' (others chain)")
    i, j = pairs
    scores = similarity(i, j)
    strong = scores >= threshold
    graph = coo_matrix((scores[strong], (i[strong], j[strong])), shape=(count, count)).tocsr()

    def clusters(members: Indices) -> list[Group]:
        return [group for one in _measured([members], similarity) for group in _clusters(*one, threshold, method)]

    _, labels = connected_components(graph, directed=False)
    components = [members for members in _equal_labels(labels) if len(members) > 1]
    small = [members for members in components if len(members) <= MAX_COMPONENT]
    groups = [group for one in _measured(small, similarity) for group in _clusters(*one, threshold, method)]
    large = (members for members in components if len(members) > MAX_COMPONENT)
    groups += [group for members in large for group in _stars(members, graph, clusters)]
    return sorted(groups, key=lambda group: int(group.members[0]))


def with_copies(groups: Sequence[Group], copy_of: Indices) -> list[Group]:
    """Groups of distinct items as groups of all N, in order of their smallest member.

    copy_of (N,): which distinct item each one equals; several that equal the same one are a group already. The
    representative is the first of those that equal the group's.
    """
    first = np.unique(copy_of, return_index=True)[1]
    group_of, chosen = np.arange(len(first)), np.arange(len(first))
    for group in groups:
        group_of[group.members], chosen[group.members[0]] = group.members[0], group.representative
    labels = group_of[copy_of]
    parts = [part for part in _equal_labels(labels) if len(part) > 1]
    found = [Group(part, int(first[chosen[labels[part[0]]]])) for part in parts]
    return sorted(found, key=lambda group: int(group.members[0]))


def _equal_labels(labels: NDArray[np.integer]) -> list[Indices]:
    """Positions of each label, in ascending order."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _stars(members: Indices, graph: csr_matrix, clusters: Callable[[Indices], list[Group]]) -> Iterator[Group]:
    """Groups of a large component: around the item that is most similar to most others, then around the next free one.

    Of each star, the cluster with its centre is a group, and the others stay free; a star above MAX_COMPONENT is a
    group as a whole.
    """
    part = graph[members][:, members]
    both = (part + part.T).tocsr()
    strength = np.round(np.asarray(both.sum(axis=1)).ravel(), 6)
    is_free = np.ones(len(members), bool)
    for centre in np.argsort(-strength, kind="stable"):
        if not is_free[centre]:
            continue
        is_free[centre] = False
        near = both.indices[both.indptr[centre] : both.indptr[centre + 1]]
        star = members[np.sort(np.append(near[is_free[near]], centre))]
        found = clusters(star) if len(star) <= MAX_COMPONENT else [Group(star, int(members[centre]))]
        for group in found:
            if members[centre] in group.members:
                is_free[np.searchsorted(members, group.members)] = False
                yield group


def _measured(components: Sequence[Indices], similarity: Similarity) -> Iterator[tuple[Indices, Condensed]]:
    """Each component with the similarities of all its pairs; those of many components are computed at once, and a
    component of two needs none."""
    waiting: list[Indices] = []
    count = 0
    for number, members in enumerate(components, 1):
        waiting.append(members)
        count += _pair_count(members)
        if number == len(components) or count >= _AT_ONCE:
            pairs = [np.triu_indices(len(part) if len(part) > 2 else 0, 1) for part in waiting]
            i, j = (
                np.concatenate([part[ends[side]] for part, ends in zip(waiting, pairs, strict=True)]) for side in (0, 1)
            )
            found = np.split(similarity(i, j) if len(i) else np.empty(0), np.cumsum([len(ends[0]) for ends in pairs]))
            yield from zip(waiting, found[:-1], strict=True)
            waiting, count = [], 0


def _pair_count(members: Indices) -> int:
    return len(members) * (len(members) - 1) // 2


def _clusters(component: Indices, condensed: Condensed, threshold: float, method: str) -> Iterator[Group]:
    """The clusters of two and more in a component; a component of two is one cluster, since its members are paired."""
    if len(component) == 2:
        yield Group(component, int(component[0]))
    if len(component) < 3:
        return
    labels = fcluster(linkage(1 - condensed, method), 1 - threshold + 1e-9, "distance")
    matrix = squareform(condensed)
    for inside in _equal_labels(labels):
        if len(inside) > 1:
            members = component[inside]
            yield Group(members, _representative(members, matrix[np.ix_(inside, inside)]))


def _representative(members: Indices, matrix: NDArray[np.float64]) -> int:
    """The member most similar to the others on average; among equals, the smallest."""
    return int(members[np.argmax(np.round(matrix.sum(axis=1), 6))])
