"""Decide whether a pair of similar codes is a pair of duplicates: several cues of the pair give one probability.

The learned code sees through mirrors, frames, rotations and new backgrounds but may take a recoloured article for the
same; the luminance hash is reliable for copies in another tone or without colour; the grid of colours shows a hue
shift. A logistic regression over these cues and a few of their products weighs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.search.codes import Codes, Indices
from dlcore.search.signatures import GRID, LOW_HASH_BYTES, chroma_numbers, mirrored_hash

Floats = NDArray[np.float64]
CUES = (
    "code", "descriptor", "hash", "low_hash", "whole", "second_code", "second_descriptor", "hue", "turn", "grid",
    "grey",
)  # fmt: skip
PRODUCTS = (
    ("hash", "grey"),
    ("descriptor", "grey"),
    ("hash", "descriptor"),
    ("descriptor", "descriptor"),
    ("hue", "hue"),
    ("hue", "descriptor"),
    ("turn", "hash"),
    ("hash", "hash"),
    ("whole", "whole"),
    ("whole", "descriptor"),
    ("whole", "grey"),
    ("whole", "hue"),
    ("descriptor", "second_descriptor"),
    ("second_descriptor", "second_descriptor"),
    ("second_descriptor", "hash"),
    ("second_descriptor", "whole"),
    ("second_descriptor", "grey"),
    ("second_descriptor", "hue"),
)
_LATER = 6  # products of the second half's cues
INPUTS: tuple[str | tuple[str, str], ...] = (
    *(name for name in CUES if not name.startswith("second")),
    *PRODUCTS[:-_LATER],
    *(name for name in CUES if name.startswith("second")),
    *PRODUCTS[-_LATER:],
)
"""The inputs that a verifier weighs, in the order of its weights. Earlier verifiers, which know no second half, have
only the first ones."""
LENGTHS = (21, len(INPUTS))
"""The numbers of weights that a verifier can have."""
FIRST_BITS = 128
"""Number of bits of a code that describe the crop. The bits beyond them, its second half, describe the whole
picture."""
PLAIN = CUES[:7]
"""The cues that are cheap to compute."""
COLOURS = {"hue": 1.0, "turn": 2.0, "grid": 2.0, "grey": 1.0}
"""The other cues; each is from 0 to this."""
_HUES = 12
_GREY_CHROMA = 5.0
_PAIRS = 2048
_NEARLY_EQUAL = 0.99  # a cosine that equal rows are above, however it is rounded


@dataclass(frozen=True)
class Signatures:
    """The signatures of N pictures, row by row.

    codes (N, B) uint8 · descriptors (N, D) float16 or float32 · hashes (N, 32) uint8 of the crops · wholes (N, 32)
    uint8, hashes of the whole images · chroma (N, 128) int8.
    """

    codes: Codes
    descriptors: NDArray[np.floating]
    hashes: Codes
    wholes: Codes
    chroma: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.codes)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All signatures, in order."""
        return self.codes, self.descriptors, self.hashes, self.wholes, self.chroma

    def take(self, rows: NDArray[np.integer]) -> Signatures:
        """The signatures of these rows."""
        return Signatures(*(array[rows] for array in self.arrays()))

    def distinct(self) -> tuple[Indices, Indices]:
        """The rows (M,) that equal no earlier row, in order, and which of these M each row equals (N,)."""
        if not len(self):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        columns = [np.ascontiguousarray(array).view(np.uint8) for array in self.arrays()]
        whole = np.concatenate(columns, axis=1)
        rows = whole.view(np.dtype((np.void, whole.shape[1])))[:, 0]
        _, first, equals = np.unique(rows, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return first[order], np.argsort(order)[equals]


def joined(first: Signatures, second: Signatures) -> Signatures:
    """The rows of one after those of the other."""
    return Signatures(*(np.concatenate(both) for both in zip(first.arrays(), second.arrays(), strict=True)))


def cues(signatures: Signatures, i: Indices, j: Indices) -> Floats:
    """Cues of the pairs (i, j), both (P,) -> (P, len(CUES)); 0 is no difference, except `grey`.

    code: share of differing bits · descriptor: 1 - cosine · hash, low_hash: share of differing bits of the luminance
    hash, all of it and its coarse part, the smaller of direct and mirrored · whole: the same of the whole image's hash
    · second_code, second_descriptor: code and descriptor of the second half alone, 0 where there is none · hue: how far
    the two hue histograms of the middle disagree · turn: 1 - cosine of the hue shift that aligns the colour grids,
    times their coherence · grid: 1 - correlation of the colour grids · grey: near 1 when either picture has hardly any
    colour; hue, turn and grid are then near 0.
    """
    parts = [
        _cues(signatures, i[start : start + _PAIRS], j[start : start + _PAIRS]) for start in range(0, len(i), _PAIRS)
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(CUES)))


def plain_cues(first: Signatures, second: Signatures) -> Floats:
    """The first cues of pairs, each a row of one and the same row of the other -> (P, len(PLAIN)): see `cues`."""
    starts = range(0, len(first), _PAIRS)
    rows = (np.arange(start, min(start + _PAIRS, len(first))) for start in starts)
    parts = [_plain(first.take(some), second.take(some)) for some in rows]
    return np.concatenate(parts) if parts else np.empty((0, len(PLAIN)))


@dataclass(frozen=True)
class Verifier:
    """Logistic regression over cues and their products: P(duplicate) = sigmoid(bias + weights . inputs).

    weights: those of the first of INPUTS, as many as there are.
    """

    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        if len(self.weights) not in LENGTHS:
            raise ValueError(
                f"Verifier: got {len(self.weights)} weights, expected one of {LENGTHS}; calibrate anew, or install the "
                "version that made it"
            )

    def probability(self, pair_cues: Floats) -> Floats:
        """P(duplicate) of pairs from their cues (P, len(CUES)) -> (P,)."""
        weighed = (_inputs(pair_cues)[:, : len(self.weights)] * np.array(self.weights)).sum(
            axis=1
        )  # a matrix product rounds by how many rows there are
        return _sigmoid(weighed + self.bias)

    def ceiling(self, plain: Floats) -> Floats:
        """The highest P(duplicate) that pairs can have if only their first cues (P, len(PLAIN)) are known -> (P,)."""
        weight = dict.fromkeys(INPUTS, 0.0) | dict(zip(INPUTS, self.weights, strict=False))
        known = {name: plain[:, column] for column, name in enumerate(PLAIN)}
        most = np.full(len(plain), self.bias)
        for name, values in known.items():
            most += weight[name] * values
        slope = {name: np.full(len(plain), weight[name]) for name in COLOURS}
        for a, b in PRODUCTS:
            if a in known and b in known:
                most += weight[a, b] * known[a] * known[b]
            elif a in known or b in known:
                colour, plain_cue = (b, a) if a in known else (a, b)
                slope[colour] += weight[a, b] * known[plain_cue]
            elif a != b:
                most += max(weight[a, b], 0.0) * COLOURS[a] * COLOURS[b]
        for name, top in COLOURS.items():
            most += _highest(slope[name], weight.get((name, name), 0.0), top)
        return _sigmoid(most)


def fit_verifier(
    pair_cues: Floats, is_duplicate: NDArray[np.bool_], weights: Floats | None = None, ridge: float = 1e-3
) -> Verifier:
    """Fit a verifier to pairs whose truth is known, by Newton's method on the log-loss with a small ridge.

    weights: how much each pair counts, (P,); negatives that stand for many count more.
    """
    x = np.concatenate([_inputs(pair_cues), np.ones((len(pair_cues), 1))], axis=1)
    importance = np.ones(len(x)) if weights is None else weights
    importance = importance / importance.sum()
    penalty = ridge * np.append(np.ones(x.shape[1] - 1), 0.0) * 1e-2
    solution = np.zeros(x.shape[1])
    for _ in range(50):
        p = _sigmoid(x @ solution)
        gradient = x.T @ (importance * (p - is_duplicate)) + penalty * solution
        curvature = (x * (importance * p * (1 - p))[:, None]).T @ x + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        solution -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    return Verifier(tuple(float(v) for v in solution[:-1]), float(solution[-1]))


def _cues(signatures: Signatures, i: Indices, j: Indices) -> Floats:
    first, second = signatures.take(i), signatures.take(j)
    return np.column_stack([_plain(first, second), *_colour_cues(first.chroma, second.chroma)]).astype(np.float64)


def _plain(first: Signatures, second: Signatures) -> Floats:
    """The first cues of pairs, row by row."""
    straight, mirrored = first.hashes ^ second.hashes, first.hashes ^ mirrored_hash(second.hashes)
    columns = (
        _share(first.codes ^ second.codes),
        1 - _cosine(first.descriptors, second.descriptors),
        np.minimum(_share(straight), _share(mirrored)),
        np.minimum(_share(straight[:, :LOW_HASH_BYTES]), _share(mirrored[:, :LOW_HASH_BYTES])),
        np.minimum(_share(first.wholes ^ second.wholes), _share(first.wholes ^ mirrored_hash(second.wholes))),
        *_second_half(first, second),
    )
    return np.stack(columns, axis=1).astype(np.float64)


def _second_half(first: Signatures, second: Signatures) -> tuple[Floats, Floats]:
    """second_code and second_descriptor of pairs, row by row."""
    codes = first.codes[:, FIRST_BITS // 8 :] ^ second.codes[:, FIRST_BITS // 8 :]
    if not codes.shape[1] or first.descriptors.shape[1] <= FIRST_BITS:
        return np.zeros(len(first)), np.zeros(len(first))
    return _share(codes), 1 - _cosine(first.descriptors[:, FIRST_BITS:], second.descriptors[:, FIRST_BITS:])


def _highest(slope: Floats, bend: float, top: float) -> Floats:
    """The maximum of slope x + bend x^2 for x from 0 to `top`, row by row."""
    highest = np.maximum(0.0, slope * top + bend * top**2)
    if bend < 0:
        between = (slope > 0) & (slope < -2 * bend * top)
        peak = np.divide(-slope, 2 * bend, out=np.zeros_like(slope), where=between)
        highest = np.where(between, slope * peak + bend * peak**2, highest)
    return np.asarray(highest)


def _colour_cues(first: NDArray[np.int8], second: NDArray[np.int8]) -> tuple[Floats, Floats, Floats, Floats]:
    """hue, turn, grid and grey of pairs of colour grids (P, 128)."""
    middle = _middle_weights()
    a, b = chroma_numbers(first), chroma_numbers(second)
    energy_a, energy_b = (np.sqrt((middle * np.abs(x) ** 2).sum(axis=(1, 2))) for x in (a, b))
    has_colour = 1 - np.exp(-((np.minimum(energy_a, energy_b) / _GREY_CHROMA) ** 2))
    norm = np.maximum(energy_a * energy_b, 1e-6)
    products = np.stack([(middle * a.conj() * other).sum(axis=(1, 2)) / norm for other in (b, b[:, :, ::-1])])
    best = products[np.argmax(products.real, axis=0), np.arange(len(a))]
    coherence = np.abs(best)
    turn = coherence - best.real
    overlap = np.minimum(_hue_histogram(a, middle), _hue_histogram(b, middle)).sum(axis=1)
    return has_colour * (1 - overlap), has_colour * turn, has_colour * (1 - best.real), 1 - has_colour


def _hue_histogram(grid: NDArray[np.complex64], middle: NDArray[np.float32]) -> Floats:
    """(P, 12): share of each hue in the colour of the middle; every cell is divided between its two nearest hues."""
    place = np.angle(grid) / (2 * np.pi) * _HUES
    place[place < 0] += _HUES
    low = place.astype(np.int32)
    rest = place - low
    strength = middle * np.abs(grid)
    row = (np.arange(len(grid), dtype=np.int32) * _HUES)[:, None, None]
    around = np.arange(_HUES + 2, dtype=np.int32) % _HUES
    cells = np.stack([row + around[low], row + around[low + 1]])
    weights = np.stack([strength * (1 - rest), strength * rest])
    histogram = np.bincount(cells.ravel(), weights.ravel(), len(grid) * _HUES).reshape(-1, _HUES)
    shares: Floats = histogram / np.maximum(histogram.sum(axis=1, keepdims=True), 1e-6)
    return shares


def _middle_weights() -> NDArray[np.float32]:
    """(8, 8) weights that fall off from the middle, where the product is, and sum to 1."""
    place = (np.arange(GRID) - (GRID - 1) / 2) / GRID
    bell = np.exp(-((place / 0.28) ** 2)).astype(np.float32)
    weights = np.outer(bell, bell)
    return np.asarray(weights / weights.sum(), np.float32)


def _inputs(pair_cues: Floats) -> Floats:
    """Cues and their products (P, len(INPUTS))."""
    of = {name: pair_cues[:, column] for column, name in enumerate(CUES)}
    columns = [of[name] if isinstance(name, str) else of[name[0]] * of[name[1]] for name in INPUTS]
    return np.stack(columns, axis=1)


def _share(difference: Codes) -> Floats:
    """Share of set bits of each row (P, B) -> (P,)."""
    size = difference.shape[1]
    words = np.ascontiguousarray(difference).view(np.uint64) if size % 8 == 0 else difference
    counts = np.bitwise_count(words)
    bits = sum(
        (counts[:, column].astype(np.int64) for column in range(counts.shape[1])), np.zeros(len(counts), np.int64)
    )
    share: Floats = bits / (8 * size)
    return share


def _cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """Cosine of the rows of two arrays (P, D) -> (P,); 1 for equal rows whatever they hold, 0 for others that have none
    (0, NaN)."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    norms = np.stack([np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)])
    has_cosine = (np.isfinite(norms) & (norms > 0)).all(axis=0)
    cosine: Floats = np.zeros(len(a))
    cosine[has_cosine] = np.einsum("pd,pd->p", a[has_cosine], b[has_cosine]) / norms[:, has_cosine].prod(axis=0)
    near = np.flatnonzero(~has_cosine | (cosine > _NEARLY_EQUAL))
    one, other = a[near], b[near]
    cosine[near[((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)]] = 1.0
    return cosine


def _sigmoid(x: Floats) -> Floats:
    result: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return result
