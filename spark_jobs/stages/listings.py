"""What a shop says about a picture, as columns, read from the metadata of `raw_images`, which has each row's cells as
they came.

Nothing is copied: Parquet reads this one column, earlier days have it too, and a corrected mapping applies at once to
all days. A column that a table does not have is null everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from spark_jobs.sql import literal

NAMES = ("shop", "price", "currency", "owner", "first_seen", "title")
"""The columns that reports and filters know."""
SOURCE = ("day", "key", "metadata")
"""The columns of `raw_images` that are read."""

_TAKEN = ("day", "key", "crop", "label", "code", "thumbnail")
_FILTER = re.compile(rf"(?!(?:{'|'.join(_TAKEN)})\Z)[a-z][a-z0-9_]{{0,62}}\Z")
_EDGES = r"^[\\p{Sc}\\p{L}\\s]+|[\\p{Sc}\\p{L}.\\s]+$"
_PLAIN = r"^[0-9]+([.][0-9]+)?$"
_ENGLISH = r"^[0-9]{1,3}(,[0-9]{3})+([.][0-9]{1,2})?$"
_CONTINENTAL = r"^([0-9]+|[0-9]{1,3}([.][0-9]{3})+),[0-9]{1,2}$"


def qualifiers(mapping: str) -> dict[str, str]:
    """Column -> the cell of a row that holds it, as the setting `metadata_columns` says; by default the cell of the
    same name.

    >>> qualifiers("shop=merchant, price=unit_price")["price"], qualifiers("")["price"]
    ('unit_price', 'price')

    Raises:
        ValueError: an entry is not `column=cell`, or names no column.
    """
    found = dict(zip(NAMES, NAMES, strict=True))
    for entry in filter(None, (part.strip() for part in mapping.split(","))):
        name, equals, cell = (part.strip() for part in entry.partition("="))
        if not (equals and cell and name in NAMES):
            raise ValueError(
                f"PIPELINE_METADATA_COLUMNS: got {entry!r}, expected column=cell with one of {', '.join(NAMES)}, for "
                f"example "
                "shop=merchant,price=unit_price"
            )
        found[name] = cell
    return found


def filter_names(setting: str) -> tuple[str, ...]:
    """The columns that an index can be filtered by, as the setting `index_filters` names them; `none` for none.

    >>> filter_names("shop, price"), filter_names("none")
    (('shop', 'price'), ())

    Raises:
        ValueError: a name has other characters than small letters, digits and underscores, comes twice, or is a filter
            of every index.
    """
    names = [name.strip() for name in setting.split(",")] if setting.strip() != "none" else []
    wrong = [name for name in names if not _FILTER.match(name) or names.count(name) > 1]
    if wrong:
        raise ValueError(
            f"PIPELINE_INDEX_FILTERS: got {wrong[0]!r}, expected different names of small letters, digits and "
            f"underscores, but none "
            f"of {', '.join(_TAKEN)}, for example shop,owner,price"
        )
    return tuple(names)


def listings(raw_images: Any, mapping: str, others: Sequence[str] = ()) -> Any:
    """Rows of `raw_images` with SOURCE (a DataFrame) -> day, key and NAMES; what cannot be read as a price or a time is
    null.

    price: a positive double; 12.50, 1,234.50 and 1.234,50 are read, with or without a currency before or behind.
    currency: in capitals.
    first_seen: a timestamp; UTC if the cell gives no time zone.   others: more cells, as text, under their own names.
    """
    cells = qualifiers(mapping)
    text = {name: f"metadata[{literal(cell)}]" for name, cell in cells.items()}
    columns = {name: f"nullif(trim({text[name]}), '')" for name in ("shop", "owner", "title")}
    columns["currency"] = f"nullif(upper(trim({text['currency']})), '')"
    columns["price"] = f"nullif({_price(text['price'])}, 0D)"
    columns["first_seen"] = f"try_cast({text['first_seen']} AS timestamp)"
    columns |= {name: f"metadata[{literal(name)}]" for name in others if name not in NAMES}
    return raw_images.selectExpr("day", "key", *[f"{sql} AS `{name}`" for name, sql in columns.items()])


def unreadable(mapping: str) -> dict[str, str]:
    """The run report's name for a count -> Spark SQL over `raw_images` for the rows whose price or time cannot be
    read."""
    cells = qualifiers(mapping)
    price, seen = (f"metadata[{literal(cells[name])}]" for name in ("price", "first_seen"))
    return {
        "price": f"trim({price}) <> '' AND {_price(price)} IS NULL",
        "first_seen": f"trim({seen}) <> '' AND try_cast({seen} AS timestamp) IS NULL",
    }


def _price(text: str) -> str:
    """Spark SQL for a text as a number; null if it can be read in two ways. 1.234 is a plain number: 1.234."""
    number = f"regexp_replace(trim({text}), '{_EDGES}', '')"
    return (
        f"CASE WHEN {number} RLIKE '{_PLAIN}' THEN try_cast({number} AS double) "
        f"WHEN {number} RLIKE '{_ENGLISH}' THEN try_cast(replace({number}, ',', '') AS double) "
        f"WHEN {number} RLIKE '{_CONTINENTAL}' THEN try_cast(replace(replace({number}, '.', ''), ',', '.') AS double) "
        f"END"
    )
