"""What the pipeline has published, read back from the lake: for reports and for scores against a truth file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa

from spark_jobs.running import sessions
from spark_jobs.scoring.evaluation import Address
from spark_jobs.scoring.published_scores import (
    SMALL_SIDE,
    WHOLE_SIDE,
    Published,
    Row,
    by_address,
    small_batches,
    small_pictures,
)
from spark_jobs.settings import Settings

_COLUMNS = {
    "images": ("day", "key", "reason", "sha256"),
    "detections": ("day", "key", "reason", "objects", "guesses", "model_version"),
    "crops": ("day", "key", "crop", "reason", "x_min", "y_min", "x_max", "y_max", "label", "score", "source"),
    "features": ("day", "key", "crop", "reason", "code", "model_version", "computed_by"),
    "duplicates": ("day", "key", "crop", "reason", "group", "size", "is_representative", "evidence"),
}
_REPORTS = ("price_monitoring", "picture_copyright")
_SMALL = "day date, key string, pixels binary"
_FIRST_CROP = "crop = 0"


@contextmanager
def lake(settings: Settings) -> Iterator[Any]:
    """A session on the Spark Connect server that nobody else uses, released at the end.

    Raises:
        ConnectionError: nothing listens there.
    """
    spark = sessions.connected(settings.connect_url, settings)
    try:
        yield spark
    finally:
        spark.stop()


def read_published(spark: Any, settings: Settings) -> Published:
    """All published rows of every day, and small pictures of the used images and crops, made on the workers."""
    tables = {
        dataset: by_address(spark.table(settings.table(dataset)).select(*columns).toArrow())
        for dataset, columns in _COLUMNS.items()
    }
    prices, copies = (_rows(spark, settings.table(dataset)) for dataset in _REPORTS)
    images = spark.table(settings.table("images"))
    crops = spark.table(settings.table("crops")).where(_FIRST_CROP)
    wholes, parts = (
        small_pictures(_small(frame, settings, side), side)
        for frame, side in ((images, WHOLE_SIDE), (crops, SMALL_SIDE))
    )
    return Published(
        **tables, price_monitoring=prices, picture_copyright=copies, whole_pictures=wholes, crop_pictures=parts
    )


def _rows(spark: Any, table: str) -> list[Row]:
    """The rows of a report; none if it was never made, as in a lake of an earlier version."""
    return list(spark.table(table).toArrow().to_pylist()) if spark.catalog.tableExists(table) else []


def _small(frame: Any, settings: Settings, side: int) -> pa.Table:
    rows = frame.select("day", "key", "reason", "image").repartition(settings.partitions)
    return rows.mapInArrow(partial(small_batches, side=side), _SMALL).toArrow()


def read_images(spark: Any, settings: Settings, dataset: str, addresses: Sequence[Address]) -> dict[Address, bytes]:
    """The image bytes of some rows of `raw_images`, `images` or `crops` (the first crop); rows without any are left
    out."""
    if not addresses:
        return {}
    rows = spark.table(settings.table(dataset))
    rows = rows.where(_FIRST_CROP) if dataset == "crops" else rows
    keys = sorted({key for _, key in addresses})
    found = rows.where(rows.key.isin(keys)).where("image IS NOT NULL").select("day", "key", "image")
    wanted = set(addresses)
    return {address: row["image"] for address, row in by_address(found.toArrow()).items() if address in wanted}
