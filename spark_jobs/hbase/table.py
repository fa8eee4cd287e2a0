"""Create the image table and write rows to it; whatever cannot be written is reported.

The families `i:` (bytes) and `m:` (metadata) are apart because they are read apart. HBase's Thrift interface cannot
create a table that is split from the start; its own RegionSplitter can, through the setting `hbase_command`.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_jobs.hbase import row_key
from spark_jobs.hbase.scan import CellTooLarge, Gateways, HBaseError, NoAnswer

logger = logging.getLogger(__name__)

IMAGE_COLUMN = b"i:image"
ERROR_COLUMN = b"m:load_error"
IMAGE_FAMILY, METADATA_FAMILY = "i", "m"
FAMILIES = (IMAGE_FAMILY, METADATA_FAMILY)
BATCH_BYTES, BATCH_ROWS = 8 << 20, 500
MESSAGE_BYTES = 90 << 20
"""Gateways drop the connection at a Thrift message of 100 MB (libthrift's TConfiguration.DEFAULT_MAX_MESSAGE_SIZE)."""
_LARGE_CELL_BYTES = 1 << 20
_LOOKED_UP_ROWS = 50
_SPLITTER = "org.apache.hadoop.hbase.util.RegionSplitter"
_SPLIT_LIMIT_S = 180

Cells = Mapping[bytes, bytes | None]
"""Values by column; None removes a cell of an earlier load."""


def ensure_table(gateways: Gateways, table: str, salt_buckets: int, command: str) -> int:
    """Create the table, split by salt, if it is missing; return how many salts it has.

    An existing table keeps the number of salts it was made with, whatever `salt_buckets` says.
    command: the command that runs a class of HBase (see `Settings.hbase_command`).

    Raises:
        HBaseError: no gateway answers, or the table holds rows of another layout.
    """
    if table.encode() not in gateways.ask(table, lambda client: client.getTableNames()):
        _create(gateways, table, row_key.salts(salt_buckets), command)
    kept = gateways.ask(table, lambda client: client.get(table.encode(), row_key.LAYOUT_ROW, row_key.LAYOUT_COLUMN, {}))
    if kept:
        return int(kept[0].value)
    _refuse_other_layout(gateways, table)
    writer = RowWriter(gateways, table)
    writer.put(row_key.LAYOUT_ROW, {row_key.LAYOUT_COLUMN: str(salt_buckets).encode()})
    writer.flush()
    return salt_buckets


def _refuse_other_layout(gateways: Gateways, table: str) -> None:
    def has_rows(client: Any) -> bool:
        scanner = client.scannerOpen(table.encode(), b"", [], {})
        rows = client.scannerGetList(scanner, 1)
        client.scannerClose(scanner)
        return bool(rows)

    if gateways.ask(table, has_rows):
        raise HBaseError(
            f"table {table!r} has rows but no row {row_key.LAYOUT_ROW.decode()!r}: another program made it; "
            "load into a table of another name"
        )


def _create(gateways: Gateways, table: str, salts: Sequence[bytes], command: str) -> None:
    """Create the table with one region per salt if HBase's command is at hand, else with one region."""
    if len(salts) > 1 and _split(table, salts, command):
        return

    def create(client: Any) -> None:
        from Hbase_thrift import ColumnDescriptor  # made by happybase when it is imported

        if table.encode() not in client.getTableNames():
            client.createTable(table.encode(), [ColumnDescriptor(name=f"{name}:".encode()) for name in FAMILIES])

    gateways.ask(table, create, patience_s=60)


def _split(table: str, salts: Sequence[bytes], command: str) -> bool:
    """Let RegionSplitter create the table; its decimal splits of the first to the last salt are the salts
    themselves."""
    ends = ["--firstrow", salts[0].decode(), "--lastrow", salts[-1].decode()]
    arguments = [_SPLITTER, "-c", str(len(salts)), "-f", ":".join(FAMILIES), *ends, table, "DecimalStringSplit"]
    program = shlex.split(command)
    why = f"no program {program[0]!r}"
    if shutil.which(program[0]):
        try:
            ended = subprocess.run(
                [*program, *arguments], check=False, capture_output=True, text=True, timeout=_SPLIT_LIMIT_S
            )
            if ended.returncode == 0:
                return True
            why = (ended.stderr.strip() or ended.stdout.strip() or "no message").splitlines()[-1]
        except subprocess.TimeoutExpired:
            why = f"no answer within {_SPLIT_LIMIT_S} s"
    logger.warning(
        "table %s is created with one region, not one per salt (%s); set PIPELINE_HBASE_COMMAND, or split it in the "
        "HBase shell: %s",
        table,
        why,
        "; ".join(f"split '{table}', '{salt.decode()}'" for salt in salts[1:]),
    )
    return False


@dataclass
class RowWriter:
    """Puts rows in batches bounded by bytes, and repeats a put after any failure of a gateway, which is harmless.

    replaced_family: a family whose earlier cells a put removes from the row; none by default.
    refused: rows whose image HBase did not accept -> why; they are written without it, with the cell `m:load_error`.
    refused_metadata: likewise rows written without their metadata of more than 1 MB, since HBase accepted only the
        image.
    """

    gateways: Gateways
    table: str
    patience_s: float = 120.0
    replaced_family: str = ""
    refused: dict[bytes, str] = field(default_factory=dict)
    refused_metadata: dict[bytes, str] = field(default_factory=dict)
    _rows: list[tuple[bytes, Cells]] = field(default_factory=list, repr=False)
    _bytes: int = 0

    def put(self, row: bytes, cells: Cells) -> None:
        """Write a row, now or with the next batch.

        Raises:
            HBaseError: no gateway accepts the batch.
        """
        if _size_of(cells) > BATCH_BYTES:
            self.flush()
            self._put_alone(row, self._replacing([(row, cells)])[0][1])
            return
        self._rows.append((row, cells))
        self._bytes += _size_of(cells)
        if self._bytes >= BATCH_BYTES or len(self._rows) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting.

        Raises:
            HBaseError: no gateway accepts it.
        """
        rows, self._rows, self._bytes = self._rows, [], 0
        if not rows:
            return
        rows = self._replacing(rows)
        try:
            self._mutate(rows)
        except CellTooLarge:
            for row, cells in rows:
                self._put_alone(row, cells)

    def _put_alone(self, row: bytes, cells: Cells) -> None:
        """Write one row whole; if HBase refuses it, without its image, without large metadata, or with neither."""
        refusal = self._refusal(row, cells)
        if not refusal:
            return
        size_bytes = len(cells.get(IMAGE_COLUMN) or b"")
        why = f"HBase refused an image of {size_bytes} bytes: {refusal}"
        small = {name: value if len(value or b"") <= _LARGE_CELL_BYTES else None for name, value in cells.items()}
        without_metadata = {**small, IMAGE_COLUMN: cells.get(IMAGE_COLUMN)}
        if not self._refusal(row, {**cells, IMAGE_COLUMN: None, ERROR_COLUMN: why.encode()}):
            self.refused[row] = why
            return
        self.refused_metadata[row] = f"HBase refused metadata of more than {_LARGE_CELL_BYTES} bytes: {refusal}"
        if self._refusal(row, {**without_metadata, ERROR_COLUMN: self.refused_metadata[row].encode()}):
            self.refused[row] = why
            self._mutate([(row, {**small, IMAGE_COLUMN: None, ERROR_COLUMN: why.encode()})])

    def _refusal(self, row: bytes, cells: Cells) -> str:
        """Why a row is too large to be written; "" if it was written.

        Raises:
            HBaseError: it cannot be written for another reason.
        """
        size_bytes = _size_of(cells)
        if size_bytes > MESSAGE_BYTES:
            return f"more than {MESSAGE_BYTES} bytes do not fit a Thrift message"
        try:
            self._mutate([(row, cells)])
        except CellTooLarge as refusal:
            return str(refusal)
        except NoAnswer as refusal:
            if size_bytes <= BATCH_BYTES:
                raise
            return str(refusal)
        return ""

    def _replacing(self, rows: Sequence[tuple[bytes, Cells]]) -> list[tuple[bytes, Cells]]:
        """Rows that also remove the earlier cells of the replaced family that the put does not write.

        They are removed by name: removing the family first would also remove a put of the same millisecond.
        """
        if not self.replaced_family:
            return list(rows)
        there = self._columns_there([row for row, _ in rows])
        return [(row, dict.fromkeys(there.get(row, ())) | dict(cells)) for row, cells in rows]

    def _columns_there(self, rows: Sequence[bytes]) -> dict[bytes, list[bytes]]:
        """The columns of the replaced family that the rows have now."""
        left, count, there = list(rows), _LOOKED_UP_ROWS, {}
        table, columns = self.table.encode(), [self.replaced_family.encode()]

        def look_up(client: Any) -> Any:
            nonlocal count
            asked, count = left[:count], 1  # one row alone after a failure
            answer = client.getRowsWithColumns(table, asked, columns, {})
            count = min(2 * len(asked), _LOOKED_UP_ROWS)
            del left[: len(asked)]
            return answer

        while left:
            for found in self.gateways.ask(self.table, look_up, self.patience_s):
                there[found.row] = list(found.columns)
        return there

    def _mutate(self, rows: Sequence[tuple[bytes, Cells]]) -> None:
        from Hbase_thrift import BatchMutation, Mutation  # made by happybase when it is imported

        batch = [
            BatchMutation(
                row=row,
                mutations=[
                    Mutation(isDelete=value is None, column=name, value=value, writeToWAL=True)
                    for name, value in cells.items()
                ],
            )
            for row, cells in rows
        ]
        self.gateways.ask(self.table, lambda client: client.mutateRows(self.table.encode(), batch, {}), self.patience_s)


def _size_of(cells: Cells) -> int:
    return sum(len(name) + len(value or b"") for name, value in cells.items())
