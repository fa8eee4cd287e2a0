"""The price and copyright reports as they are served: the first rows of the CSV files that `export_reports` writes.

A file is read again when it has changed. The datasets in the lake have all rows, and the evidence.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock

from dlcore.search.store import Store, time_of
from spark_jobs.settings import Settings

REPORTS = ("price_monitoring", "picture_copyright")
MOST_CASES, MOST_BYTES = 20_000, 64 << 20
_KEYS = ("key", "original_key", "lowest_key", "highest_key")
Case = dict[str, str]


@dataclass(frozen=True)
class Report:
    """The first cases of a report. written: the time it was written, in seconds since 1970. has_more: whether the file
    goes on."""

    cases: Sequence[Case]
    written: float
    has_more: bool


@dataclass
class CaseFiles:
    """One worker's reports of the settings' set of codes."""

    settings: Settings
    _read: dict[str, tuple[tuple[float, int], Report]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def report(self, name: str) -> Report:
        """One of the REPORTS.

        Raises:
            FileNotFoundError: it has not been written yet.
            ValueError: the file is not such a report.
        """
        store = Store(self.settings.exports)
        file = f"{self.settings.table(name).rpartition('.')[2]}.csv"
        store.files.invalidate_cache()
        entry = store.files.info(f"{store.root}/{file}")
        state = time_of(entry) or 0.0, int(entry["size"])
        with self._lock:
            known = self._read.get(name)
        if known and known[0] == state:
            return known[1]
        report = _report(store.read(file, 0, min(MOST_BYTES, state[1])), state[0], state[1] > MOST_BYTES)
        with self._lock:
            self._read[name] = state, report
        return report


def shown(report: Report, words: str, withdrawn: Collection[str], **exact: str) -> list[Case]:
    """The cases of a report that contain all the words and have the given values, without cases of pictures that were
    taken down."""
    wanted = words.lower().split()

    def passes(case: Case) -> bool:
        if any(case.get(name, "") in withdrawn for name in _KEYS):
            return False
        if any(value and case.get(name, "") != value for name, value in exact.items()):
            return False
        text = " ".join(case.values()).lower() if wanted else ""
        return all(word in text for word in wanted)

    return [case for case in report.cases if passes(case)]


def values_of(report: Report, column: str) -> list[str]:
    """The different values of a column, the most frequent first."""
    counts: dict[str, int] = {}
    for case in report.cases:
        counts[case[column]] = counts.get(case[column], 0) + 1
    return sorted(counts, key=lambda value: (-counts[value], value))


def _report(data: bytes, written: float, is_cut: bool) -> Report:
    try:
        lines = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace" if is_cut else "strict"), newline=""))
        names = next(lines)
        if "group" not in names or "key" not in names:
            raise ValueError(f"got columns {names[:20]}")
        rows = list(_rows(lines, names))
    except (ValueError, StopIteration, csv.Error) as error:
        raise ValueError(f"got no report ({error}); run export_reports to write it again") from None
    rows = rows[:-1] if is_cut else rows  # the last one may be cut off
    return Report(rows[:MOST_CASES], written, is_cut or len(rows) > MOST_CASES)


def _rows(lines: Iterator[list[str]], names: list[str]) -> Iterator[Case]:
    for number, line in enumerate(lines):
        if number > MOST_CASES:
            return
        if len(line) == len(names):
            yield {
                name: cell.removeprefix("'") if cell.startswith(_QUOTED) else cell
                for name, cell in zip(names, line, strict=True)
            }


_QUOTED = tuple(f"'{sign}" for sign in "=+-@\t\r")
"""The beginning of a text that a spreadsheet would have taken for a formula: see `csv_file`."""
