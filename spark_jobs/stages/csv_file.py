"""Write rows as a CSV file (RFC 4180) that people open in a spreadsheet: one task writes it, and it is seen whole or
not at all."""

from __future__ import annotations

import csv
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from dlcore.search.store import Store

WRITTEN = pa.schema([("rows", pa.int64())])
"""One row of `write_csv`: how many rows the file has."""
_FORMULA = tuple("=+-@\t\r")


def write_csv(
    batches: Iterable[pa.RecordBatch], folder: str, name: str, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """Write rows in their order to the file `name` of a folder (a URI), below a line with the columns' names ->
    WRITTEN.

    Numbers and times are written as they are, lists with `; ` between their parts. A text that a spreadsheet would take
    for a formula gets an apostrophe before it: titles come from shops, and a formula can fetch and send data.
    """
    rows = 0
    with tempfile.TemporaryFile(
        "w+", encoding="utf-8-sig", newline=""
    ) as file:  # some spreadsheets know UTF-8 by its mark alone
        lines = csv.writer(file)
        lines.writerow(columns)
        for batch in batches:
            for row in batch.to_pylist():
                lines.writerow([cell_of(row[column]) for column in columns])
            rows += len(batch)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as data:
            Store(folder).publish(name, data)
    yield pa.RecordBatch.from_pylist([{"rows": rows}], WRITTEN)


def cell_of(value: Any) -> Any:
    """A value as a cell.

    >>> cell_of("=HYPERLINK(A1)"), cell_of(-1.5), cell_of(["a", "b"]), cell_of(None)
    ("'=HYPERLINK(A1)", -1.5, 'a; b', '')
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return cell_of("; ".join(map(str, value)))
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
