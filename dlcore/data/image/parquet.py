"""Files of pictures: found in folders, and kept in Parquet as BigDL keeps them, a row of uri and bytes each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.data.files import read_limited
from dlcore.data.image.feature import BYTES, URI, ImageFeature
from dlcore.settings import settings

_ROWS = 64
"""Number of pictures that are in memory at once."""
_COLUMNS = f"{URI} string, {BYTES} binary"


def picture_files(path: str | Path) -> list[Path]:
    """The files of a folder and its subfolders, a single file, or the files of a pattern, by path, without hidden ones.

    Raises:
        FileNotFoundError: there are none.
    """
    place = Path(path)
    if has_magic(str(place)):
        found = sorted(Path(each) for each in glob(str(place), recursive=True) if Path(each).is_file())
    elif place.is_dir():
        inside = (each for each in place.rglob("*") if each.is_file())
        found = sorted(
            each for each in inside if not any(part.startswith(".") for part in each.relative_to(place).parts)
        )
    else:
        found = [place] if place.is_file() else []
    if not found:
        raise FileNotFoundError(
            f"{place}: got no files, expected pictures there; give a folder of pictures, a picture or a pattern"
        )
    return found


def store_pictures(files: Sequence[Path], output: Path, parts: int) -> None:
    """Write `files` to the new folder `output`, whole or not at all.

    Raises:
        FileExistsError: the folder exists.
        ValueError: parts below 1.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if output.exists():
        raise FileExistsError(f"{output}: got a folder that exists, expected a new one")
    if parts < 1:
        raise ValueError(f"write_parquet: got partition_num {parts}, expected at least 1")
    schema = pa.schema([(URI, pa.string()), (BYTES, pa.binary())])
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        for number, places in enumerate(np.array_split(np.arange(len(files)), parts)):
            with pq.ParquetWriter(partial / f"part-{number:05}.parquet", schema) as writer:
                for start in range(0, len(places), _ROWS):
                    some = [files[place] for place in places[start : start + _ROWS]]
                    columns = [[str(file) for file in some], [read_limited(file) for file in some]]
                    writer.write_table(pa.table(columns, schema=schema))
        partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def stored_pictures(path: Path) -> list[ImageFeature]:
    """The pictures of a Parquet file, or of those of a folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it has other columns, is damaged or larger than DLCORE_MAX_DATA_BYTES.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise FileNotFoundError(f"{path}: got no Parquet files, expected those that write_parquet wrote")
    limit, found, size = settings().max_data_bytes, [], 0
    for uri, content in (row for file in files for row in _rows(file)):
        size += len(content)
        if size > limit:
            raise ValueError(
                f"{path}: got more than {limit} bytes, expected at most as many; raise DLCORE_MAX_DATA_BYTES"
            )
        found.append(ImageFeature.of_file(content, uri))
    return found


def _rows(file: Path) -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as stored:
            if not {URI, BYTES} <= set(stored.schema_arrow.names):
                raise ValueError(f"{file}: got columns {stored.schema_arrow.names}, expected {_COLUMNS}")
            for batch in stored.iter_batches(_ROWS, columns=[URI, BYTES]):
                yield from zip(
                    batch[URI].to_pylist(), (bytes(each or b"") for each in batch[BYTES].to_pylist()), strict=True
                )
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{file}: got a damaged Parquet file ({error}), expected one that write_parquet wrote"
        ) from error


def store_with_spark(path: str | Path, output: str | Path, sc: Any, parts: int) -> None:
    """Write the pictures of a path that Spark can read, with Spark."""
    files = sc.binaryFiles(str(path), parts).map(lambda file: (file[0].removeprefix("file:"), bytearray(file[1])))
    _session(sc).createDataFrame(files, _COLUMNS).write.parquet(str(output))


def spark_pictures(path: str | Path, sc: Any) -> Any:
    """An RDD of the pictures that `store_with_spark`, or `store_pictures`, wrote."""
    rows = _session(sc).read.parquet(str(path)).select(URI, BYTES).rdd
    return rows.map(lambda row: ImageFeature.of_file(bytes(row[1]), row[0]))


def _session(sc: Any) -> Any:
    from pyspark.sql import SparkSession

    return SparkSession(sc)
