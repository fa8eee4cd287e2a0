"""Find, without labels, how alike two pictures of the catalogue at hand must be to count as duplicates.

Pictures of the catalogue are changed as shops change them, and cut out anew: a picture and its changed copy are
duplicates; a picture and the changed copy of another are not, nor is a picture with its hue turned by 60 degrees and
more. The threshold is the lowest at which the groups of the whole catalogue may be expected to reach the wanted
precision (`wrong_pairs.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dlcore.search.codes import Indices, distances, pairs_within
from dlcore.search.verification import CUES, Signatures, Verifier, cues, joined
from dlcore.stored_file import read_whole, write_whole
from spark_jobs.stages.candidates import Chance
from spark_jobs.stages.changed_copies import LOOK_ALIKES, NEW_BACKDROP, ORIGINAL, RECOLOURED
from spark_jobs.stages.signature_rows import signatures_of
from spark_jobs.stages.wrong_pairs import LOWEST, by_chance, mixture_of

FILE = "calibration.json"

Floats = NDArray[np.float64]
_CODE, _WHOLE = CUES.index("code"), CUES.index("whole")
_NEAR = 3  # bits
_FOUND = 0.5  # share of the changed copies below which a threshold is said to find few
_SUSPECT = 0.2  # P(duplicate) from which on two pictures of the sample may be duplicates
LEAST = 0.8
"""P(duplicate) below which no pair counts as one, whatever the sample says."""


@dataclass(frozen=True)
class Calibration:
    """What `find_duplicates` needs to know.

    threshold: least P(duplicate) of the verifier.
    code_distance, hash_distance: bits within which a pair is verified at all, by the code and by the whole image's
        hash.
    expected: precision and recall that the sample promises, recall by transform, share of recoloured pictures that
    pass.
    """

    verifier: Verifier
    threshold: float
    code_distance: int
    hash_distance: int
    model_version: str
    expected: dict[str, Any] = field(default_factory=dict)

    def write(self, uri: str) -> None:
        """Write `calibration.json` into the folder at `uri`, replacing an older one."""
        write_whole(f"{uri.rstrip('/')}/{FILE}", json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, uri: str) -> Calibration:
        """The calibration in the folder at `uri`.

        Raises:
            FileNotFoundError: there is none.
        """
        try:
            values = json.loads(read_whole(f"{uri.rstrip('/')}/{FILE}"))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"no {FILE} at {uri}; run calibrate_duplicates first") from error
        return cls(**{**values, "verifier": verifier_from(values["verifier"])})


def verifier_from(values: dict[str, Any]) -> Verifier:
    """A verifier from what `asdict` gave."""
    return Verifier(tuple(values["weights"]), float(values["bias"]))


@dataclass(frozen=True)
class ChangedViews:
    """Signatures of changed copies. For each row, `source` is the picture it was made from, and `change` what was done
    to it."""

    signatures: Signatures
    source: Indices
    change: NDArray[np.str_]


@dataclass(frozen=True)
class Target:
    """What the groups must reach: the precision of the pairs and the share of recoloured pictures that may pass; and
    what that may cost.

    candidates: most others that a picture may have by chance within the distance of the codes, and again within that of
        the hashes.
    """

    precision: float = 0.95
    recoloured: float = 0.05
    candidates: float = 20.0

    def missed(self, expected: Mapping[str, Any]) -> str | None:
        """Which of the two targets the expected shares miss, in words; None if they reach both."""
        misses = []
        if expected["precision"] < self.precision:
            misses.append(f"a precision of {expected['precision']:.3f}, asked for are {self.precision}")
        if expected[RECOLOURED] > self.recoloured:
            misses.append(
                f"{expected[RECOLOURED]:.1%} of recoloured pictures, at most {self.recoloured:.1%} are to pass"
            )
        return " and ".join(misses) or None

    def cost(self, expected: Mapping[str, Any]) -> str | None:
        """What reaching the targets costs, in words, if less than half of the changed copies are found; else None."""
        if expected["recall"] >= _FOUND:
            return None
        return f"{expected['recall']:.1%} of changed copies are found, so most duplicates will stay apart"


@dataclass(frozen=True)
class Population:
    """The catalogue that a sample of distinct pictures stands for.

    pictures: how many distinct ones there are.
    found: takes a calibration; gives a function that counts their pairs within its distances that have at least a
        probability.
    before: the distances in use. They are kept while those that would be chosen are near: with larger ones, all
        pictures must be compared anew.
    scale: how many of the pairs that `found` counts each pair that was seen stands for.
    """

    pictures: int
    found: Callable[[Calibration], Callable[[float], float]]
    before: tuple[int, int] | None = None
    scale: float = 1.0

    @classmethod
    def of_whole(cls, catalogue: Signatures) -> Population:
        """The population of a sample that is the whole catalogue."""
        return cls(len(catalogue), lambda calibration: _counter(_found(calibration, catalogue)))


def _counter(probabilities: Floats) -> Callable[[float], float]:
    return lambda threshold: float((probabilities >= threshold).sum())


def calibrate(
    verifier: Verifier,
    model_version: str,
    originals: Signatures,
    copies: ChangedViews,
    catalogue: Signatures,
    target: Target | None = None,
    population: Population | None = None,
) -> Calibration:
    """Thresholds for a catalogue, from a sample of its pictures (`originals`) and their changed copies.

    Pictures of the catalogue with equal signatures count once, since they are compared once.
    population: what `catalogue` is a sample of; by default it is all there is.

    If no threshold reaches the target, the highest is chosen: `target.missed(calibration.expected)` says so.

    Raises:
        ValueError: there is nothing to calibrate on.
    """
    if not len(copies.source) or not len(originals):
        raise ValueError("calibrate: got no changed pictures, expected some; is there a used image in the catalogue?")
    target = target or Target()
    catalogue = catalogue.take(catalogue.distinct()[0])
    population = population or Population.of_whole(catalogue)
    is_copy = ~np.isin(copies.change, LOOK_ALIKES)
    true_cues, true = _score(verifier, originals, copies, copies.source, np.arange(len(copies.source)))
    reach = true_cues[is_copy & (true >= LEAST)]
    wanted = (
        _distance(reach[:, _CODE], originals.codes, 0.995, 0.34),
        _distance(reach[:, _WHOLE], originals.wholes, 0.9, 0.2),
    )
    limits, candidates = _within_budget(
        Calibration(verifier, LEAST, *wanted, model_version), catalogue, population, target
    )
    unset = Calibration(verifier, float(_sigmoid(LOWEST)), *limits, model_version)
    found = population.found(unset)
    wrong = _wrong_pairs(unset, originals, copies, population, found, true[is_copy])
    expected: dict[str, Any] = {}
    for threshold in _sigmoid(np.linspace(_logit(LEAST), 9, 80)):
        expected = _expected(threshold, true, copies)
        misses = wrong(float(_logit(threshold))) / max(found(float(threshold)), 1)
        expected["precision"] = float(np.clip(1 - misses, 0, 1))
        if not target.missed(expected):
            break
    is_found = (true >= threshold) & is_copy
    reached = [_is_within(true_cues[is_found], distances_of, originals).sum() for distances_of in (wanted, limits)]
    candidates["recall_lost"] = float(reached[0] - reached[1]) / max(int(is_copy.sum()), 1)
    return Calibration(
        verifier,
        float(threshold),
        *limits,
        model_version,
        {**expected, "originals": len(originals), "candidates": candidates},
    )


def _wrong_pairs(
    calibration: Calibration,
    originals: Signatures,
    copies: ChangedViews,
    population: Population,
    found: Callable[[float], float],
    true: Floats,
) -> Callable[[float], float]:
    """How many wrong pairs of a catalogue score at least so many log-odds: the larger of both estimates. found: how
    many of its pairs have at least a probability. true: P(duplicate) of the copies with their originals.
    """
    negatives, tried = _other_pictures(calibration, originals, copies)
    chance = by_chance(_logit(negatives), tried, float(_logit(LEAST)))
    twins = _twin_probabilities(calibration.verifier, copies)
    mixture = mixture_of(lambda score: found(float(_sigmoid(score))), _logit(true), _logit(twins), population.scale)
    pairs = population.pictures * (population.pictures - 1) / 2
    return lambda score: max(pairs * chance(score), mixture.wrong(score))


def _twin_probabilities(verifier: Verifier, copies: ChangedViews) -> Floats:
    """P(duplicate) of two copies of one picture: each copy and the next one, if that is of the same picture."""
    rows = np.flatnonzero(~np.isin(copies.change, LOOK_ALIKES))
    one, other = rows[:-1], rows[1:]
    is_twin = copies.source[one] == copies.source[other]
    return verifier.probability(cues(copies.signatures, one[is_twin], other[is_twin]))


def _is_within(pair_cues: Floats, limits: tuple[int, int], originals: Signatures) -> NDArray[np.bool_]:
    """Which pairs are within the distance of the codes, or within that of the whole images' hashes."""
    shares = limits[0] / (8 * originals.codes.shape[1]), limits[1] / (8 * originals.wholes.shape[1])
    return np.asarray((pair_cues[:, _CODE] <= shares[0]) | (pair_cues[:, _WHOLE] <= shares[1]))


def _within_budget(
    wanted: Calibration, catalogue: Signatures, population: Population, target: Target
) -> tuple[tuple[int, int], dict[str, Any]]:
    """The largest distances, up to the wanted ones, within which a picture has at most `target.candidates` others by
    chance; and how many are expected."""
    is_copy = _alike(wanted, catalogue, LEAST)
    joins = (catalogue.codes, wanted.code_distance), (catalogue.wholes, wanted.hash_distance)
    chances = [Chance.of(codes, is_copy) for codes, _ in joins]
    limits = [
        chance.radius(most, population.pictures, target.candidates)
        for chance, (_, most) in zip(chances, joins, strict=True)
    ]
    if population.before and all(abs(new - old) <= _NEAR for new, old in zip(limits, population.before, strict=True)):
        limits = list(population.before)
    by_chance = [population.pictures * chance.share(limit) for chance, limit in zip(chances, limits, strict=True)]
    names = ("code", "whole")
    told = {
        "pictures": population.pictures,
        "most": target.candidates,
        "wanted": {name: limit for name, (_, limit) in zip(names, joins, strict=True)},
        "expected": {name: round(count, 3) for name, count in zip(names, by_chance, strict=True)},
    }
    return (limits[0], limits[1]), told


def _expected(threshold: float, true: Floats, copies: ChangedViews) -> dict[str, Any]:
    """Share of the changed copies that a threshold finds, in all and by transform, and of the look-alikes, by kind."""
    passes = true >= threshold
    is_copy = ~np.isin(copies.change, LOOK_ALIKES)
    shares = {name: float(passes[copies.change == name].mean()) for name in sorted(set(copies.change.tolist()))}
    return {
        "recall": float(passes[is_copy].mean()) if is_copy.any() else 0.0,
        "by_transform": {name: share for name, share in shares.items() if name not in LOOK_ALIKES},
        "look_alikes": {name: shares[name] for name in LOOK_ALIKES if name in shares},
        RECOLOURED: shares.get(RECOLOURED, 0.0),
    }


def _other_pictures(calibration: Calibration, originals: Signatures, copies: ChangedViews) -> tuple[Floats, int]:
    """P(duplicate) of copies with originals other than their own, as far as the join would find them, and how many
    pairs were tried.

    Pictures of the sample that may already be duplicates of each other are left out: each of their copies would count
    as wrong. So are copies before the backdrop of another picture, which they resemble not by chance.
    """
    alike = _alike(calibration, originals, _SUSPECT)
    rows = np.flatnonzero(~np.isin(copies.change, (*LOOK_ALIKES, NEW_BACKDROP)))
    near = _is_near(calibration, copies.signatures.take(rows), originals)
    is_other = ~alike[copies.source[rows]]
    row, column = np.nonzero(near & is_other)
    _, probability = _score(calibration.verifier, originals, copies, column, rows[row])
    return probability, int(is_other.sum())


def _alike(calibration: Calibration, originals: Signatures, least: float) -> NDArray[np.bool_]:
    """(S, S): which originals are duplicates of each other with at least so much probability, themselves included."""
    near = np.triu(_is_near(calibration, originals, originals), 1)
    i, j = np.nonzero(near)
    is_alike = np.eye(len(originals), dtype=bool)
    passes = calibration.verifier.probability(cues(originals, i, j)) >= least
    is_alike[i[passes], j[passes]] = is_alike[j[passes], i[passes]] = True
    return is_alike


def _is_near(calibration: Calibration, first: Signatures, second: Signatures) -> NDArray[np.bool_]:
    """(N, M): which pairs the join would hand on."""
    by_code = distances(first.codes, second.codes) <= calibration.code_distance
    return np.asarray(by_code | (distances(first.wholes, second.wholes) <= calibration.hash_distance))


def _found(calibration: Calibration, catalogue: Signatures) -> Floats:
    """P(duplicate) of the pairs of the catalogue that the join hands on."""
    i, j = joined_pairs(catalogue, calibration.code_distance, calibration.hash_distance)
    return calibration.verifier.probability(cues(catalogue, i, j))


def joined_pairs(signatures: Signatures, code_distance: int, hash_distance: int) -> tuple[Indices, Indices]:
    """Pairs i < j whose codes or whole-image hashes are within these distances (in bits), each once, in order."""
    count = max(len(signatures), 1)
    joins = pairs_within(signatures.codes, code_distance), pairs_within(signatures.wholes, hash_distance)
    unique = np.unique(np.concatenate([i * count + j for i, j, _ in joins]))
    return unique // count, unique % count


def _score(
    verifier: Verifier, originals: Signatures, copies: ChangedViews, original: Indices, copy: Indices
) -> tuple[Floats, Floats]:
    """Cues and P(duplicate) of pairs of an original and a copy."""
    both = joined(originals, copies.signatures)
    pair_cues = cues(both, original, copy + len(originals))
    return pair_cues, verifier.probability(pair_cues)


def _distance(shares: Floats, codes: NDArray[np.uint8], quantile: float, most: float) -> int:
    """The distance in bits within which a share `quantile` of the true pairs lies; at most a share `most` of the
    bits."""
    share = float(np.quantile(shares, quantile)) if len(shares) else most
    bits: int = round(min(share, most) * 8 * codes.shape[1])
    return bits


def _logit(p: Any) -> Any:
    kept = np.clip(p, 1e-12, 1 - 1e-12)
    return np.log(kept / (1 - kept))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def read_copies(rows: pa.Table) -> tuple[Signatures, ChangedViews]:
    """Rows of `changed_copies.SCHEMA` in any order -> signatures of the originals, and of their copies."""
    rows = rows.sort_by([("day", "ascending"), ("key", "ascending"), ("change", "ascending")]).combine_chunks()
    changes = np.array(rows.column("change").to_pylist(), dtype=np.str_)
    pictures = [
        f"{day}/{key}" for day, key in zip(*(rows.column(name).to_pylist() for name in ("day", "key")), strict=True)
    ]
    is_original = changes == ORIGINAL
    place = {picture: n for n, picture in enumerate(np.array(pictures)[is_original].tolist())}
    source = np.array([place[picture] for picture, own in zip(pictures, is_original, strict=True) if not own], np.int64)
    signatures = signatures_of(rows)
    originals, copies = (signatures.take(np.flatnonzero(mask)) for mask in (is_original, ~is_original))
    return originals, ChangedViews(copies, source, changes[~is_original])
