"""Find verified pairs of distinct pictures: compare two blocks, and choose which of a catalogue's blocks are compared.

A picture is defined by its signatures, wherever and however often it is shown, so whether two pictures are a pair never
changes. The pairs of a catalogue are the earlier ones whose pictures both still exist, and those of new pictures with
all. Whatever days came, went or were replaced meanwhile, comparing all with all would find the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isqrt
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dlcore.search.codes import Codes, Indices
from dlcore.search.join import joined
from dlcore.search.store import Store
from dlcore.search.verification import CUES, cues, plain_cues
from dlcore.search.verification import joined as joined_signatures
from spark_jobs.stages.calibration import LEAST, Calibration
from spark_jobs.stages.picture_blocks import PICTURE, Block, Bundle, Pictures, open_block
from spark_jobs.stages.signature_rows import signatures_of

PAIRS = pa.schema(
    [
        ("picture", pa.string()),
        ("other", pa.string()),
        ("distance", pa.int32()),
        ("whole_distance", pa.int32()),
        ("similarity", pa.float32()),
        ("probability", pa.float64()),
    ]
)
"""Rows of `compared_tiles`: two pictures, the smaller name first, and how alike they are."""
PAIR_ROW = "picture string, other string, distance int, whole_distance int, similarity float, probability double"
"""The same, for Spark."""
CANDIDATES = "candidates"
FILES = pa.schema([("file", pa.string()), ("candidates", pa.int64())])
"""Rows of `pair_files`: a file of pairs, null if there are none, and how many candidates were verified for them."""
FILE_ROW = "file string, candidates bigint"
NEAR = pa.schema([("picture", pa.string()), ("other", pa.string()), ("step", pa.int32())])
"""Rows of `near_batches`: two pictures, and `step_of` their probability."""
NEAR_ROW = "picture string, other string, step int"

_BUNDLED = (1 << 20, 1 << 19, 1 << 18, 1 << 17, 1 << 16, 1)  # pictures: a million take some 0.5 GB in the task
_MOST_PARTS = 4
_DIVIDED = 1 << 18  # pictures of a bundle that several tasks may share
_GATHERED = 16384
_IN_FILE = 1 << 19  # pairs: 100 MB
_STEPS = 400
_AT_ONCE = 65536
_DIGITS = 6  # of what is kept: the last ones depend on how many pairs are looked at at once
_DESCRIPTOR = CUES.index("descriptor")


@dataclass(frozen=True)
class Limits:
    """Which pairs are kept: those with codes or hashes of whole images within these bits, and with at least this
    probability.

    verifier: names everything that decides a pair's probability, and the least one.
    """

    code: int
    whole: int
    least: float
    verifier: str

    @classmethod
    def of(cls, calibration: Calibration) -> Limits:
        """The limits of a calibration. Its threshold moves with the catalogue, so pairs below it, down to LEAST, are
        kept for the next."""
        least = min(LEAST, calibration.threshold)
        decides = json.dumps([calibration.model_version, asdict(calibration.verifier), least])
        name = hashlib.sha256(decides.encode()).hexdigest()[:16]
        return cls(calibration.code_distance, calibration.hash_distance, least, name)


def bundles_of(blocks: Sequence[Block], tiles: int) -> list[tuple[Block, ...]]:
    """Blocks in bundles, new ones apart from known ones. Bundles are as large as possible, since larger ones take less
    time, but leave at least so many tiles if there can be so many."""
    for most in _BUNDLED:
        found = [bundle for is_new in (True, False) for bundle in _packed(blocks, is_new, most)]
        if tile_count(found) * _most_parts(found) >= tiles:
            break
    return found


def _most_parts(bundles: Sequence[tuple[Block, ...]]) -> int:
    """How many tasks may share a tile. To choose how a small one is joined takes as long as the join itself."""
    return _MOST_PARTS if max((_rows(bundle) for bundle in bundles), default=0) >= _DIVIDED else 1


def _rows(bundle: Sequence[Block]) -> int:
    return sum(block.rows for block in bundle)


def part_count(bundles: Sequence[tuple[Block, ...]], tasks: int) -> int:
    """How many tasks share each tile, so that there are at least so many tasks if there can be so many."""
    return max(1, min(_most_parts(bundles), math.ceil(tasks / max(tile_count(bundles), 1))))


def _packed(blocks: Sequence[Block], is_new: bool, most: int) -> list[tuple[Block, ...]]:
    """The blocks of one kind, in order, in bundles of at most so many pictures, or of one larger block."""
    bundles: list[list[Block]] = []
    held = most
    for block in blocks:
        if block.is_new != is_new:
            continue
        if held + block.rows > most:
            bundles.append([])
            held = 0
        bundles[-1].append(block)
        held += block.rows
    return [tuple(bundle) for bundle in bundles]


def tile_count(bundles: Sequence[tuple[Block, ...]]) -> int:
    """How many pairs of bundles there are to compare."""
    new = sum(bundle[0].is_new for bundle in bundles)
    return new * (len(bundles) - new) + new * (new + 1) // 2


def tile(bundles: Sequence[tuple[Block, ...]], number: int) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """The pair of bundles with a number, from 0: first the new ones with each other and themselves, then each known one
    with each new one."""
    new = [bundle for bundle in bundles if bundle[0].is_new]
    among = len(new) * (len(new) + 1) // 2
    if number < among:
        row = (isqrt(8 * number + 1) - 1) // 2
        return new[row], new[number - row * (row + 1) // 2]
    old = [bundle for bundle in bundles if not bundle[0].is_new]
    row, column = divmod(number - among, len(new))
    return old[row], new[column]


def compared_tiles(
    batches: Iterable[pa.RecordBatch],
    index: str,
    bundles: Sequence[tuple[Block, ...]],
    calibration: Calibration,
    parts: int = 1,
) -> Iterator[pa.RecordBatch]:
    """Numbers of tasks (`id`) -> rows of PAIRS, and for each a last row CANDIDATES, whose `probability` is how many
    were verified. parts: how many tasks share a tile.
    """
    for batch in batches:
        for number in batch.column("id").to_pylist():
            one, another = tile(bundles, number // parts)
            left, right = (Bundle([open_block(index, block.name) for block in blocks]) for blocks in (one, another))
            part = number % parts, parts
            yield from verified_pairs(left, None if one == another else right, calibration, part)


def pair_files(
    batches: Iterable[pa.RecordBatch], index: str, folder: str, compared: Callable[..., Iterator[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    """Numbers of tasks (`id`) -> rows of FILES: the pairs that `compared` finds, as files of a folder below an index.

    The comparison takes hours, so its pairs must not be lost with the machine that found them.
    """
    for batch in batches:
        for number in range(len(batch)):
            waiting: list[pa.RecordBatch] = []
            verified = 0
            for pairs in compared([batch.slice(number, 1)]):
                is_count = pc.equal(pairs.column(PICTURE), CANDIDATES)
                verified += int(pc.sum(pairs.filter(is_count).column("probability")).as_py() or 0)
                waiting.append(pairs.filter(pc.invert(is_count)))
                if sum(map(len, waiting)) >= _IN_FILE:
                    yield _file_row(index, folder, waiting, 0)
                    waiting = []
            yield _file_row(index, folder, waiting, verified)


def _file_row(index: str, folder: str, pairs: Sequence[pa.RecordBatch], candidates: int) -> pa.RecordBatch:
    table = pa.Table.from_batches(pairs, PAIRS)
    file = f"{folder}/{uuid4().hex}.arrow" if len(table) else None
    if file:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, PAIRS) as writer:
            writer.write_table(table)
        Store(index).write(file, memoryview(sink.getvalue()))
    return pa.RecordBatch.from_pylist([{"file": file, "candidates": candidates}], FILES)


def pairs_of_files(batches: Iterable[pa.RecordBatch], index: str, files: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Numbers of files (`id`) -> their rows of PAIRS."""
    for batch in batches:
        for number in batch.column("id").to_pylist():
            yield from pa.ipc.open_file(Store(index).read(files[number])).read_all().to_batches()


def verified_pairs(
    left: Bundle, right: Bundle | None, calibration: Calibration, part: tuple[int, int] = (0, 1)
) -> Iterator[pa.RecordBatch]:
    """Rows of PAIRS between two sets of pictures, or within one, and a last row that counts the candidates.

    part: of how many parts of these pairs which one, from 0.
    """
    limits, candidates = Limits.of(calibration), 0
    other = left if right is None else right
    for i, j in _candidates(left, right, limits, part):
        candidates += len(i)
        for start in range(0, len(i), _AT_ONCE):
            one, another = i[start : start + _AT_ONCE], j[start : start + _AT_ONCE]
            plain = left.take(one, has_colours=False).signatures, other.take(another, has_colours=False).signatures
            # Colours, which cost more, are looked at where they may decide.
            ceiling = calibration.verifier.ceiling(plain_cues(*plain))
            likely = np.flatnonzero(ceiling >= limits.least - 10.0**-_DIGITS)
            yield _verified(left.take(one[likely]), other.take(another[likely]), calibration, limits)
    yield pa.RecordBatch.from_pylist([{"picture": CANDIDATES, "similarity": 0.0, "probability": candidates}], PAIRS)


def _candidates(
    left: Bundle, right: Bundle | None, limits: Limits, part: tuple[int, int]
) -> Iterator[tuple[Indices, Indices]]:
    """Positions of the pairs whose codes or whole images' hashes are near, each once."""
    other = left if right is None else right
    for i, j, _ in joined(left.codes, None if right is None else right.codes, limits.code, part=part):
        yield i, j
    # The first part has most to verify of one join, the last part of the other.
    part = part[1] - 1 - part[0], part[1]
    for i, j, _ in joined(left.wholes, None if right is None else right.wholes, limits.whole, part=part):
        is_far = _apart(left.codes[i], other.codes[j]) > limits.code
        yield i[is_far], j[is_far]


def _verified(left: Pictures, right: Pictures, calibration: Calibration, limits: Limits) -> pa.RecordBatch:
    """The pairs that are kept, of each row of one table and the same row of the other."""
    names, count = np.stack([left.names, right.names]), len(left)
    both = joined_signatures(left.signatures, right.signatures)
    # The smaller name comes first, so that who was compared with whom rounds nothing else.
    one, other = np.where(names[0] < names[1], 0, count), np.where(names[0] < names[1], count, 0)
    one, other = one + np.arange(count), other + np.arange(count)
    pair_cues = cues(both, one, other)
    probability = calibration.verifier.probability(pair_cues).round(_DIGITS)
    kept = np.flatnonzero(probability >= limits.least)
    one, other = one[kept], other[kept]
    columns = [
        *(pa.array(names_of).cast(pa.string()) for names_of in np.sort(names[:, kept], axis=0)),
        pa.array(_apart(both.codes[one], both.codes[other])),
        pa.array(_apart(both.wholes[one], both.wholes[other])),
        pa.array(np.clip(1 - pair_cues[kept, _DESCRIPTOR], -1, 1).round(_DIGITS).astype(np.float32)),
        pa.array(probability[kept]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PAIRS)


def _apart(one: Codes, other: Codes) -> NDArray[np.int32]:
    differing: NDArray[np.int32] = np.bitwise_count(one ^ other).sum(axis=1, dtype=np.int32)
    return differing


def step_of(probability: float) -> int:
    """Probabilities from 0 to 1 as steps that are fine enough near 1 for the threshold: equal steps in log-odds, 20 to
    a unit."""
    kept = min(max(probability, 1e-9), 1 - 1e-9)
    return round(20 * math.log(kept / (1 - kept)) + _STEPS)


def near_batches(
    batches: Iterable[pa.RecordBatch], sample: pa.Table, calibration: Calibration
) -> Iterator[pa.RecordBatch]:
    """Pictures with their signatures -> rows of NEAR: the pairs that they form with those of a sample.

    Other tasks may give the same pairs, of other rows of the same pictures.
    """
    few = _bundle(sample)
    seen: set[str] = set(sample.column(PICTURE).to_pylist())
    for rows in _gathered(_unseen(batch, seen) for batch in batches):
        found = pa.Table.from_batches(verified_pairs(_bundle(rows), few, calibration))
        pairs = found.filter(pc.not_equal(found.column(PICTURE), CANDIDATES))
        steps = pa.array(map(step_of, pairs.column("probability").to_pylist()), pa.int32())
        yield from pairs.select([PICTURE, "other"]).append_column("step", steps).cast(NEAR).to_batches()


def _unseen(batch: pa.RecordBatch, seen: set[str]) -> pa.RecordBatch:
    """The rows whose picture is not yet among those `seen`; it is added there."""
    is_first = []
    for name in batch.column(PICTURE).to_pylist():
        is_first.append(name not in seen)
        seen.add(name)
    return batch.filter(pa.array(is_first, pa.bool_()))


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows of small batches in tables of thousands, which take hardly more time than few rows."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= _GATHERED:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if any(map(len, waiting)):
        yield pa.Table.from_batches(waiting)


def _bundle(rows: pa.Table) -> Bundle:
    return Bundle([Pictures(np.array(rows.column(PICTURE).to_pylist(), np.bytes_), signatures_of(rows))])
