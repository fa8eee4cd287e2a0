"""The pictures of the lake that a training learns from and is judged on, each with its label.

Pictures of one product, `<sku>/<n>`, are all on one side of the split, on whichever day they came: else a network would
be judged on what it has learnt by heart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spark_jobs.mistakes import Mistake
from spark_jobs.pictured_rows import HANDED_OUT, to_all, withdrawn_now
from spark_jobs.running.runner import Job
from spark_jobs.sql import literal
from spark_jobs.stages.decode import read_scaled
from spark_jobs.training_config import DATASETS, METADATA, MOST, Rows, TrainingConfig

PIXELS = pa.schema([("day", pa.date32()), ("key", pa.string()), ("crop", pa.int32()), ("label", pa.int32()),
                    ("pixels", pa.binary())])  # fmt: skip
"""Rows as the network's side has them: pixels (side, side, 3) uint8, row by row; label from 1."""
PLACE = ("day", "key", "crop")
NO_LABEL = "no_label"
WITHDRAWN = "withdrawn"
PIECE_BYTES = 256 << 20
"""How much of the pixels is brought to one process at a time."""
MOST_BYTES = 8 << 30
"""Memory for the pixels that one process trains on, at most."""
ON_CLUSTER = 8
"""Bytes that a worker needs for a byte of its pixels while it writes them down: as floats, as records and together."""
_OF_SPLIT = 1_000_000


@dataclass(frozen=True)
class Labelled:
    """Rows (day, key, crop, image, label, is_validation) that are used, and what is known of them.

    classes: labels in the order of their numbers, from 1.   counts: pictures by class, for training and for validation.
    left_out: rows by why they are not used.   digest: the same for the same rows.
    """

    rows: Any
    classes: tuple[str, ...]
    training: Mapping[str, int]
    validation: Mapping[str, int]
    left_out: Mapping[str, int]
    digest: str

    def count(self, is_validation: bool) -> int:
        """The pictures of one side of the split."""
        return sum((self.validation if is_validation else self.training).values())

    def pixels(self, side: int, is_validation: bool, condition: str = "true") -> Any:
        """The rows of one side of the split, as PIXELS says; those that meet a condition on their key."""
        from pyspark.sql.pandas.types import from_arrow_schema

        numbers = {name: number for number, name in enumerate(self.classes, 1)}
        made = partial(pixel_batches, side=side, numbers=numbers)
        chosen = self.rows.where(f"is_validation = {str(is_validation).lower()} AND {condition}")
        return chosen.select(*PLACE, "label", "image").mapInArrow(made, from_arrow_schema(PIXELS))

    def require_room(self, side: int, is_validation: bool, workers: int = 0) -> None:
        """Refuse more pictures than one process holds in memory, or each of a cluster's `workers` does.

        Raises:
            Mistake: they are more.
        """
        count = self.count(is_validation)
        size = count * side * side * 3 * (ON_CLUSTER if workers else 1) / max(workers, 1)
        if size > MOST_BYTES:
            advice = "more workers" if workers else "a cluster (a connection of type spark)"
            raise Mistake(
                f"got {count:,} pictures of {side} pixels, {size / 2**30:.1f} GB of memory for each process, expected "
                f"at most {MOST_BYTES >> 30} GB; train on {advice}, or take fewer days or a smaller side"
            )

    def brought(self, side: int, is_validation: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The pictures (N, side, side, 3) and labels (N,) of one side of the split, in an order that depends on the
        rows alone.

        Raises:
            Mistake: see `require_room`.
        """
        self.require_room(side, is_validation)
        count = self.count(is_validation)
        size = count * side * side * 3
        pixels, labels, filled = np.empty((count, side * side * 3), np.uint8), np.empty(count, np.float32), 0
        pieces = -(-size // PIECE_BYTES)
        for piece in range(pieces):
            rows = self.pixels(side, is_validation, f"pmod(xxhash64(key), {pieces}) = {piece}")
            for batch in rows.orderBy(*PLACE).toArrow().to_batches():
                labels[filled : filled + len(batch)] = batch.column("label")
                for row in batch.column("pixels"):
                    pixels[filled] = np.frombuffer(row.as_buffer(), np.uint8)
                    filled += 1
        return pixels.reshape(count, side, side, 3), labels


def labelled(job: Job[Any], config: TrainingConfig) -> Labelled:
    """The pictures that the config asks for; the job must have pinned their datasets.

    Raises:
        Mistake: there are none with a label, on one side of the split or at all, or too many different labels.
    """
    from pyspark.sql import functions as F

    facts, told = _facts(job, config), [F.count("*").alias("rows"), F.expr("bit_xor(mark) AS mark")]
    groups = facts.groupBy("left_out", "label", "is_validation").agg(*told).limit(4 * MOST).collect()
    used = [row for row in groups if row["left_out"] is None]
    classes = sorted({row["label"] for row in used})
    if len(groups) == 4 * MOST or len(classes) > MOST:
        raise Mistake(
            f"[rows] label {config.rows.label!r} has more than {MOST:,} values, expected classes; take another"
        )
    training, validation = (
        {row["label"]: int(row["rows"]) for row in used if row["is_validation"] == side} for side in (False, True)
    )
    left_out: dict[str, int] = {}
    for row in groups:
        if row["left_out"] is not None:
            left_out[row["left_out"]] = left_out.get(row["left_out"], 0) + row["rows"]
    _check(config, classes, training, validation, left_out)
    mark = 0
    for row in used:
        mark ^= row["mark"]
    total = sum(training.values()) + sum(validation.values())
    rows = facts.where("left_out IS NULL")
    return Labelled(rows, tuple(classes), training, validation, left_out, f"{total}-{mark & (1 << 64) - 1:016x}")


def _check(
    config: TrainingConfig, classes: list[str], training: Mapping[str, int], validation: Mapping[str, int],
    left_out: Mapping[str, int],
) -> None:  # fmt: skip
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "none"
    if not training or not validation:
        raise Mistake(
            f"[rows] got {sum(training.values())} pictures to learn from and {sum(validation.values())} to be judged "
            f"on, expected some of both; load more products, or change validation_share (left out: {reasons})"
        )
    if config.is_labelled and len(classes) < 2:
        raise Mistake(f"[rows] got only the label {classes[0]!r}, expected two classes or more (left out: {reasons})")
    if unseen := sorted(set(classes) - set(training)):
        raise Mistake(
            f"[rows] all pictures of the label {unseen[0]!r} are for validation; load more products of it, or change "
            f"the seed or validation_share"
        )


def _facts(job: Job[Any], config: TrainingConfig) -> Any:
    """Every row of the days: PLACE, image, label, left_out (null if the row is used), is_validation, mark."""
    from pyspark.sql import functions as F

    asked, contract = config.rows, DATASETS[config.rows.dataset]
    rows = _labels(job, asked, _of_days(job.read(asked.dataset), asked))
    keys = withdrawn_now(job).withColumn("is_withdrawn", F.lit(True))
    rows = rows.join(to_all(keys, keys.count() <= HANDED_OUT), "key", "left")
    split = f"pmod(xxhash64(regexp_replace(key, '/[^/]*$', ''), {config.training.seed}), {_OF_SPLIT})"
    marked = ", ".join(f"`{name}`" for name in (*contract.audited_columns(), "asked"))
    left_out = (
        f"CASE WHEN reason <> 'ok' THEN reason WHEN is_withdrawn THEN '{WITHDRAWN}' "
        f"WHEN asked IS NULL AND {str(config.is_labelled).lower()} THEN '{NO_LABEL}' END"
    )
    return rows.withColumn("left_out", F.expr(left_out)).selectExpr(
        *[name if name in contract.key else f"0 AS {name}" for name in PLACE],
        "image",
        "if(left_out IS NULL, coalesce(asked, ''), NULL) AS label",
        "left_out",
        f"{split} < {round(config.training.validation_share * _OF_SPLIT)} AS is_validation",
        f"xxhash64({marked}) AS mark",
    )


def _labels(job: Job[Any], asked: Rows, rows: Any) -> Any:
    """The rows with the label that is `asked` for, null if there is none."""
    from pyspark.sql import functions as F

    if not asked.label.startswith(METADATA):
        text = f"nullif(trim(`{asked.label}`), '')" if asked.label else "CAST(NULL AS STRING)"
        return rows.withColumn("asked", F.expr(text))
    cell = literal(asked.label.removeprefix(METADATA))
    cells = _of_days(job.read("raw_images", ("day", "key", "metadata")), asked)
    cells = cells.selectExpr("day", "key", f"nullif(trim(metadata[{cell}]), '') AS asked")
    return rows.join(cells, ["day", "key"], "left")


def _of_days(rows: Any, asked: Rows) -> Any:
    if asked.first_day:
        rows = rows.where(f"day >= DATE '{asked.first_day}'")
    return rows.where(f"day <= DATE '{asked.last_day}'") if asked.last_day else rows


def datasets(asked: Rows) -> tuple[str, ...]:
    """The datasets that hold pictures and labels."""
    return (asked.dataset, "raw_images") if asked.label.startswith(METADATA) else (asked.dataset,)


def pixel_batches(batches: Iterable[pa.RecordBatch], side: int, numbers: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    """Rows with the canonical JPEG in `image` and their label's name -> rows as PIXELS says."""
    for batch in batches:
        pixels = [read_scaled(image.as_py(), side).tobytes() for image in batch.column("image")]
        labels = pa.array([numbers[label.as_py()] for label in batch.column("label")], pa.int32())
        columns = [batch.column(name) for name in PLACE]
        yield pa.RecordBatch.from_arrays([*columns, labels, pa.array(pixels, pa.binary())], schema=PIXELS)
