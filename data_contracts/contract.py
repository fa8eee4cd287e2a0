"""A contract: what the rows of one dataset are, and the rules that every published row keeps.

The columns are declared as arrow types, from which come the arrow schema (what a stage returns), the Spark schema (what
`mapInArrow` declares) and the columns of the Iceberg table. The rules become a Great Expectations suite, built when it
is asked for: importing a contract imports neither Spark nor Great Expectations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_contracts.reasons import REASONS

BATCH = "{batch}"
"""Great Expectations puts the audited rows here."""


@dataclass(frozen=True)
class Column:
    """One column. `is_payload` marks image bytes, which no audit ever reads; `is_required` columns are never null."""

    name: str
    type: pa.DataType
    meaning: str
    is_required: bool = False
    is_payload: bool = False


@dataclass(frozen=True)
class Rule:
    """What every row must keep.

    name: in reports and messages.   meaning: what is right, for people.
    query: Spark SQL over `{batch}` that returns the key of each bad row, so that no row returned means kept.
    """

    name: str
    meaning: str
    query: str


@dataclass(frozen=True)
class RowRule:
    """A rule about one row alone. bad: Spark SQL condition that is true for a bad row."""

    name: str
    meaning: str
    bad: str


DAY = Column("day", pa.date32(), "the day the image belongs to", is_required=True)
KEY = Column("key", pa.string(), "the image's key, `<sku>/<n>`", is_required=True)
CROP = Column("crop", pa.int32(), "which object of the image, 0 for the only one", is_required=True)
REASON = Column("reason", pa.string(), "'ok' when the image is used, else why not", is_required=True)


@dataclass(frozen=True)
class Contract:
    """What one dataset promises.

    dataset: the table's name.   owner: who answers for it.   version: counts up when columns or rules change.
    key: columns that are unique together, `day` first.   columns: all of them, in order.
    row_rules: about one row alone.   input_rules: about a row of `output` beside its row of `input`, the first dataset
    that the stage reads.   table_rules: about several rows. All besides the rules that every dataset has.
    is_partitioned: by day; a dataset over all days is overwritten whole and is not.
    """

    dataset: str
    owner: str
    version: int
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    row_rules: tuple[RowRule, ...] = ()
    input_rules: tuple[RowRule, ...] = ()
    table_rules: tuple[Rule, ...] = ()
    is_partitioned: bool = True

    def arrow_schema(self) -> pa.Schema:
        """The columns as a pyarrow schema, every field nullable: what a stage's batches look like."""
        return pa.schema([(column.name, column.type) for column in self.columns])

    def spark_schema(self) -> Any:
        """The columns as a `pyspark.sql.types.StructType`; needs pyspark, but no session."""
        from pyspark.sql.pandas.types import from_arrow_schema

        return from_arrow_schema(self.arrow_schema())

    def audited_columns(self) -> tuple[str, ...]:
        """The columns an audit reads: all but the image bytes."""
        return tuple(column.name for column in self.columns if not column.is_payload)

    def rules(self, input_keys: tuple[str, ...] = (), input_view: str = "") -> tuple[Rule, ...]:
        """Every rule of the dataset, as queries.

        input_keys, input_view: the key columns and the temporary view of the pinned input; without them the rules
        that compare with the input are left out (the first stage has none).
        """
        of_rows = tuple(self._of_row(rule) for rule in (_KNOWN_REASON, *self.row_rules))
        always = (self._required(), self._unique(), *of_rows, *self.table_rules)
        if not input_keys:
            return always
        compared = tuple(self._beside_input(rule, input_keys, input_view) for rule in (_KEPT_REASON, *self.input_rules))
        return (*always, self._same_keys(input_keys, input_view), *compared)

    def suite(self, rules: Iterable[Rule]) -> Any:
        """The rules as a `great_expectations.ExpectationSuite`, one expectation a rule, `meta["rule"]` its name."""
        import great_expectations as gx
        from great_expectations.expectations import UnexpectedRowsExpectation

        expectations = [
            UnexpectedRowsExpectation(
                unexpected_rows_query=rule.query, description=rule.meaning, meta={"rule": rule.name}
            )
            for rule in rules
        ]
        return gx.ExpectationSuite(name=f"{self.dataset} v{self.version}", expectations=expectations)

    def _of_row(self, rule: RowRule) -> Rule:
        keys = ", ".join(self.key)
        return Rule(rule.name, rule.meaning, f"SELECT {keys} FROM {BATCH} WHERE coalesce({rule.bad}, false)")

    def _required(self) -> Rule:
        names = [column.name for column in self.columns if column.is_required]
        bad = " OR ".join(f"{name} IS NULL" for name in names)
        return self._of_row(RowRule("required_columns", f"{', '.join(names)} are never null", f"({bad})"))

    def _unique(self) -> Rule:
        keys = ", ".join(self.key)
        query = f"SELECT {keys} FROM {BATCH} GROUP BY {keys} HAVING count(*) > 1"
        return Rule("unique_keys", f"({keys}) is unique", query)

    def _same_keys(self, input_keys: tuple[str, ...], input_view: str) -> Rule:
        keys = ", ".join(input_keys)
        query = (
            f"SELECT {keys} FROM {input_view} EXCEPT SELECT {keys} FROM {BATCH} "
            f"UNION ALL (SELECT {keys} FROM {BATCH} EXCEPT SELECT {keys} FROM {input_view})"
        )
        return Rule("same_keys_as_input", "every row of the pinned input has its row, and there is no other", query)

    def _beside_input(self, rule: RowRule, input_keys: tuple[str, ...], input_view: str) -> Rule:
        keys = ", ".join(f"output.{name}" for name in self.key)
        using = ", ".join(input_keys)
        query = (
            f"SELECT {keys} FROM {BATCH} AS output JOIN {input_view} AS input USING ({using}) "
            f"WHERE coalesce({rule.bad}, false)"
        )
        return Rule(rule.name, rule.meaning, query)


def list_of(words: Iterable[str]) -> str:
    """Words as a Spark SQL list for `IN`.

    >>> list_of(["ok", "blank"])
    "('ok', 'blank')"
    """
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


_KNOWN_REASON = RowRule("known_reason", "the reason is of the closed list", f"reason NOT IN {list_of(REASONS)}")

_KEPT_REASON = RowRule(
    "kept_reason", "a row that is not used keeps its reason", "input.reason <> 'ok' AND output.reason <> input.reason"
)
