"""What HBase contains, found out within seconds from names and keys alone, for checks before a job."""

from __future__ import annotations

from contextlib import closing
from datetime import date

from spark_jobs.hbase import row_key
from spark_jobs.hbase.scan import Gateways, ReadLimits, Scan, scan_batches
from spark_jobs.hbase.source import salt_buckets
from spark_jobs.settings import Settings

PATIENCE_S = 10.0
_COUNTED_ROWS = 1000
_KEYS_ONLY = b"FirstKeyOnlyFilter() AND KeyOnlyFilter()"


def table_names(settings: Settings) -> list[str]:
    """The tables of HBase.

    Raises:
        HBaseError: no gateway answers.
    """
    with closing(_gateways(settings)) as gateways:
        names = gateways.ask(settings.hbase_table, lambda client: client.getTableNames(), PATIENCE_S)
    return sorted(name.decode() for name in names)


def has_day(settings: Settings, table: str, day: date) -> bool:
    """Whether a table of our layout has any row of a day; only the first key of each salt is read.

    Raises:
        HBaseError: no gateway answers, or the table or its layout row is missing.
    """
    limits = ReadLimits(batch_rows=1, patience_s=PATIENCE_S)
    with closing(_gateways(settings)) as gateways:
        ranges = row_key.day_ranges(day, salt_buckets(gateways, table))
        for part in ranges:
            with closing(scan_batches(gateways, Scan(table.encode(), (), *part, condition=_KEYS_ONLY), limits)) as rows:
                if any(rows):
                    return True
    return False


def count_between(settings: Settings, first: date, last: date) -> int:
    """How many rows the image table has for the days from first to last; one scan per salt reads their keys alone.

    Raises:
        HBaseError: no gateway answers, or the table or its layout row is missing.
    """
    with closing(_gateways(settings)) as gateways:
        salts = salt_buckets(gateways, settings.hbase_table)
        ends = zip(row_key.day_ranges(first, salts), row_key.day_ranges(last, salts), strict=True)
        table, limits = settings.hbase_table.encode(), ReadLimits(batch_rows=_COUNTED_ROWS)
        scans = [Scan(table, (), begin, stop, condition=_KEYS_ONLY) for (begin, _), (_, stop) in ends]
        return sum(len(batch) for scan in scans for batch in scan_batches(gateways, scan, limits))


def _gateways(settings: Settings) -> Gateways:
    return Gateways(settings.gateways(), settings.hbase_wire, PATIENCE_S)
