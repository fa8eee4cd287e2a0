"""The day sheets as they are served. A sheet is kept in memory for a moment, since a page asks for many pictures of it.

`spark_jobs.stages.day_sheet` says what a sheet is and who draws it.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from data_contracts.reasons import Reason
from spark_jobs.stages.day_sheet import Sheet, days_of, read_picture, read_rows, read_sheet, store_of

logger = logging.getLogger(__name__)

FRESH_S = 5.0
KEPT_SHEETS = 8
Row = Mapping[str, Any]

SHOWN: Mapping[str, Callable[[Row], bool]] = {
    "found": lambda row: row["reason"] == Reason.OK and row.get("score") is not None,
    "missed": lambda row: row["reason"] == Reason.OK and row.get("score") is None,
    "members": lambda row: bool(row.get("is_member")),
    "refused": lambda row: row["reason"] != Reason.OK,
}
"""The kinds of pictures that a page of a day shows, and which pictures each has."""

ORDERS: Mapping[str, tuple[str, Callable[[Row], Any]]] = {
    "chance": ("sample", lambda row: 0),
    "score": ("score", lambda row: row.get("score") or 0.0),
    "blur": ("blur", lambda row: row.get("blur") or 0.0),
    "entropy": ("sample", lambda row: row.get("entropy") or 0.0),
    "key": ("sample", lambda row: row["key"]),
}
"""Orders, worst first; each with the choice of `draw_days` that it sorts if the sheet has only part of the day."""


@dataclass(frozen=True)
class Shown:
    """What a page of a day asks for. kind: one of SHOWN. order: one of ORDERS. reason, label: only those with it; empty
    for all."""

    kind: str = "found"
    order: str = "score"
    reason: str = ""
    label: str = ""


@dataclass
class DaySheets:
    """One worker's sheets beside an index."""

    index: str
    _fresh: dict[str, tuple[float, Any]] = field(default_factory=dict)
    _rows: OrderedDict[str, list[dict[str, Any]]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def days(self) -> list[str]:
        """The days that have a sheet, the newest first."""
        days: list[str] = self._recent("days", lambda: days_of(store_of(self.index)))
        return days

    def newest(self, most: int) -> list[Sheet]:
        """The newest sheets, newest first. A sheet that is damaged or has just been removed is left out, and the others
        are shown."""
        found = []
        for day in self.days()[:most]:
            try:
                found.append(self.sheet(day))
            except (FileNotFoundError, ValueError) as error:
                logger.error("the sheet of %s is left out: %s", day, error)
        return found

    def sheet(self, day: str) -> Sheet:
        """The sheet of a day.

        Raises:
            FileNotFoundError: it has none.
            ValueError: it is damaged.
        """
        sheet: Sheet = self._recent(day, lambda: read_sheet(store_of(self.index), day))
        return sheet

    def rows(self, sheet: Sheet) -> list[dict[str, Any]]:
        """The rows of a sheet; see `read_rows`."""
        with self._lock:
            if sheet.files in self._rows:
                self._rows.move_to_end(sheet.files)
                return self._rows[sheet.files]
        rows = read_rows(store_of(self.index), sheet)
        with self._lock:
            self._rows[sheet.files] = rows
            while len(self._rows) > KEPT_SHEETS:
                self._rows.popitem(last=False)
        return rows

    def shown(self, sheet: Sheet, asked: Shown, withdrawn: Collection[str]) -> list[tuple[int, dict[str, Any]]]:
        """Rows of a sheet with their numbers, in the wanted order, without pictures that were taken down."""
        choice, order = ORDERS[asked.order]
        rows, is_all = self.rows(sheet), sheet.pictures == sum(sheet.totals.values())
        found = [
            (number, row)
            for number, row in enumerate(rows)
            if SHOWN[asked.kind](row)
            and (is_all or asked.kind != "found" or choice in row["chosen"])
            and asked.reason in ("", row["reason"])
            and asked.label in ("", *labels_of(row))
            and not is_hidden(row, withdrawn)
        ]
        return sorted(found, key=lambda pair: (order(pair[1]), pair[0]))

    def picture(self, sheet: Sheet, number: int, withdrawn: Collection[str]) -> bytes:
        """The JPEG of a row; empty if there is none or it was taken down."""
        rows = self.rows(sheet)
        if not 0 <= number < len(rows) or is_hidden(rows[number], withdrawn):
            return b""
        return read_picture(store_of(self.index), sheet, rows[number])

    def face(self, sheet: Sheet, number: int, withdrawn: Collection[str]) -> bytes:
        """The JPEG of one of the pictures that stand for a day, without reading the sheet's rows; empty as above."""
        if not 0 <= number < len(sheet.faces) or sheet.faces[number]["key"] in withdrawn:
            return b""
        return read_picture(store_of(self.index), sheet, sheet.faces[number])

    def _recent(self, name: str, read: Callable[[], Any]) -> Any:
        with self._lock:
            since, value = self._fresh.get(name, (-FRESH_S, None))
        if time.monotonic() - since < FRESH_S:
            return value
        value = read()
        with self._lock:
            self._fresh[name] = time.monotonic(), value
        return value


def is_hidden(row: Row, withdrawn: Collection[str]) -> bool:
    """Whether a picture was taken down, before the sheet was drawn or since."""
    return row["reason"] == Reason.WITHDRAWN or row["key"] in withdrawn


def labels_of(row: Row) -> list[str]:
    """The labels found in a picture, each once."""
    return sorted({thing["label"] for thing in row.get("objects") or []})
