"""Measure sets of codes and of duplicate groups: bit statistics, retrieval, pairwise precision and recall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dlcore.search.codes import Codes, distances, unpack

Labels = NDArray[np.integer]


def bit_entropy(codes: Codes, bits: int | None = None) -> NDArray[np.float64]:
    """Entropy of each bit over `codes` (N, B) -> (bits,): 1 if half of the codes have it set, 0 if all agree."""
    p = unpack(codes, bits).mean(axis=0, dtype=np.float64)
    return -_x_log2_x(p) - _x_log2_x(1 - p)


def bit_correlation(codes: Codes, bits: int | None = None) -> float:
    """Mean absolute correlation between different bits; 0 for independent bits. Constant bits count as uncorrelated."""
    values = unpack(codes, bits).astype(np.float64)
    values -= values.mean(axis=0)
    norm = np.sqrt((values**2).sum(axis=0))
    cosine = values.T @ values / np.maximum(np.outer(norm, norm), 1e-12)
    off_diagonal = ~np.eye(len(cosine), dtype=bool)
    return float(np.abs(cosine[off_diagonal]).mean())


def retrieval(codes: Codes, groups: Labels, k: int = 10) -> dict[str, float]:
    """`map` and `recall_at_<k>` over the codes that have partners, each ranked by Hamming distance against all others.

    `groups` (N,): codes with equal labels are relevant to each other; one with a negative label is relevant to none (a
    distractor). Ties are ranked pessimistically, irrelevant codes first. `map` divides by the number of relevant codes,
    recall_at_k by at most k.
    """
    return retrieval_by_distance(distances(codes, codes).astype(np.float64), groups, k)


def retrieval_by_distance(apart: NDArray[np.floating], groups: Labels, k: int = 10) -> dict[str, float]:
    """The same as `retrieval` from a matrix of distances (N, N)."""
    relevant = (groups[:, None] == groups[None, :]) & (groups >= 0)[:, None]
    np.fill_diagonal(relevant, False)
    scores = [_query_scores(apart[i], relevant[i], int(i), k) for i in np.flatnonzero(relevant.any(axis=1))]
    precision, recall = np.mean(scores, axis=0) if scores else (0.0, 0.0)
    return {"map": float(precision), f"recall_at_{k}": float(recall)}


def pair_scores(predicted: Sequence[int] | Labels, truth: Sequence[int] | Labels) -> dict[str, float]:
    """Pairwise `precision`, `recall`, `f1` and `false_merges` of groups against true groups, both (N,) integer labels.

    A pair counts as predicted if its two predicted labels are equal, and as true if its true labels are; a negative
    label equals nothing. false_merges is the number of predicted groups that hold members of more than one true group.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    found = _pair_mask(predicted)
    true = _pair_mask(truth)
    both = int((found & true).sum())
    precision = both / max(int(found.sum()), 1) if found.any() else 1.0
    recall = both / max(int(true.sum()), 1) if true.any() else 1.0
    merged = sum(_is_mixed(truth[predicted == group]) for group in np.unique(predicted[predicted >= 0]))
    f1 = 2 * precision * recall / max(precision + recall, 1e-12)
    return {"precision": precision, "recall": recall, "f1": f1, "false_merges": merged}


def _query_scores(apart: NDArray[np.floating], relevant: NDArray[np.bool_], query: int, k: int) -> tuple[float, float]:
    """The average precision of one query, and its recall among the first k."""
    others = np.arange(len(apart)) != query
    order = np.lexsort((relevant[others], apart[others]))
    hits = relevant[others][order]
    at = np.flatnonzero(hits)
    average_precision = float(np.mean(np.arange(1, len(at) + 1) / (at + 1)))
    return average_precision, float(hits[:k].sum() / min(len(at), k))


def _pair_mask(labels: Labels) -> NDArray[np.bool_]:
    """(N, N) upper triangle: which pairs share a label that is not negative."""
    same = (labels[:, None] == labels[None, :]) & (labels >= 0)[:, None]
    return np.triu(same, 1)


def _is_mixed(members: Labels) -> bool:
    """Whether a predicted group of two or more holds more than one true group; a distractor is a group of its own."""
    distinct = len(np.unique(members[members >= 0])) + int((members < 0).sum())
    return distinct > 1


def _x_log2_x(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return p * np.log2(np.where(p > 0, p, 1.0))
