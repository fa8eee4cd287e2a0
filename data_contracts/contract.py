"""A contract: the columns of one dataset, and the rules that every published row keeps.

The columns are declared as arrow types. From these come the arrow schema (what a stage returns), the Spark schema (what
`mapInArrow` declares) and the columns of the Iceberg table. The rules become a Great Expectations suite, which is built
on demand: importing a contract imports neither Spark nor Great Expectations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_contracts.reasons import REASONS

BATCH = "{batch}"
"""Great Expectations replaces this by the audited rows."""
SAMPLES = 3
_UNIQUE = "unique_keys"
_WINDOW = " OVER ("


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

    name: as reports and messages call it.   meaning: what the rule requires, for people.
    bad: Spark SQL condition that is true for a bad row; null means that the row keeps the rule. It may look at other
        rows, through a window or a subquery of BATCH.
    """

    name: str
    meaning: str
    bad: str


DAY = Column("day", pa.date32(), "the day the image belongs to", is_required=True)
KEY = Column("key", pa.string(), "the image's key, `<sku>/<n>`", is_required=True)
CROP = Column("crop", pa.int32(), "number of the object in the image, from 0", is_required=True)
REASON = Column("reason", pa.string(), "'ok' if the image is used, else why it is not", is_required=True)


ONE_MODEL_VERSION = Rule(
    "one_model_version",
    "all rows were computed by one version of their model",
    f"model_version <> (SELECT min(model_version) FROM {BATCH})",
)
"""The rule for a dataset that a model computes. It is a subquery, since a window would bring all rows to one task."""


@dataclass(frozen=True)
class Contract:
    """What one dataset promises.

    dataset: the table's name.   owner: who answers for it.   version: counts up when columns or rules change.
    key: columns that are unique together, `day` first.   columns: all of them, in order.
    own_rules: rules about the rows of the dataset alone.   input_rules: rules about a row `output` beside its row
        `input` in the first dataset that the stage reads. Both come on top of the rules that every dataset has.
    is_partitioned: whether the table is partitioned by day. A run over all days replaces all rows of its dataset or a
    part of them; such a dataset is partitioned if it is read day by day.
    is_one_for_one: whether it has a row for each row of the first dataset that the stage reads.
    """

    dataset: str
    owner: str
    version: int
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    own_rules: tuple[Rule, ...] = ()
    input_rules: tuple[Rule, ...] = ()
    is_partitioned: bool = True
    is_one_for_one: bool = True

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

    def rules(self, has_input: bool) -> tuple[Rule, ...]:
        """Every rule of the dataset; `has_input`: including those that compare it with what the stage read."""
        return self._all_own_rules() + (self._all_input_rules() if has_input else ())

    def violations(self, input_keys: tuple[str, ...] = (), input_view: str = "") -> str:
        """Spark SQL over `{batch}`: a row for each broken rule (`rule`, `rows`, up to three `samples`), none if all
        hold.

        All rules are one query, and so take one pass over the rows: a job for each rule took longer than the stage
        itself.
        input_keys, input_view: the key columns and the view of the pinned input; none for a stage without input.
        """
        own, own_marks = self._marked_rows()
        if input_keys:
            same = " AND ".join(f"output.{name} = input.{name}" for name in input_keys)
            keys = [
                f"coalesce(output.{name}, input.{name})" if name in input_keys else f"output.{name}"
                for name in self.key
            ]
            rows = f"{own} AS output FULL OUTER JOIN {input_view} AS input ON {same}"
            marks = f"concat({own_marks}, {_marks(self._all_input_rules())})"
        else:
            keys, rows, marks = list(self.key), own, own_marks
        place = ", ".join(f"CAST({key} AS STRING)" for key in keys)
        marked = f"SELECT concat_ws('/', {place}) AS place, {marks} AS marks FROM {rows}"
        marked = f"SELECT place, explode(marks) AS rule FROM ({marked}) WHERE concat_ws('', marks) <> ''"
        counted = (
            f"SELECT *, row_number() OVER (PARTITION BY rule ORDER BY place) AS n FROM ({marked}) WHERE rule IS NOT "
            f"NULL"
        )
        samples = f"collect_list(place) FILTER (WHERE n <= {SAMPLES})"
        return f"SELECT rule, max(n) AS rows, {samples} AS samples FROM ({counted}) GROUP BY rule"

    def _marked_rows(self) -> tuple[str, str]:
        """Spark SQL for the rows with the rules of their own that they break, and for an array of these, empty for no
        row.

        Rules that look at a single row come first: what they need is not sorted. Those about keys come last, since the
        rows then stay in that order when they are joined with the input.
        """
        rules = self._all_own_rules()
        steps: tuple[list[Rule], ...] = ([], [], [])
        for rule in rules:
            steps[2 if rule.name == _UNIQUE else 1 if _WINDOW in rule.bad else 0].append(rule)
        rows, marks = BATCH, []
        for number, some in enumerate(steps):
            if some:
                rows = f"(SELECT *, {_marks(some)} AS marks_{number} FROM {rows})"
                marks.append(f"coalesce(marks_{number}, array())")
        return rows, f"concat({', '.join(marks)})"

    def suite(self, violations: str) -> Any:
        """The contract as a `great_expectations.ExpectationSuite`: the query of its violations returns no row."""
        import great_expectations as gx

        from data_contracts.one_query import NoRowsOfOneQuery

        expectation = NoRowsOfOneQuery(
            unexpected_rows_query=violations,
            description=f"the rows keep contract {self.dataset} version {self.version}",
        )
        return gx.ExpectationSuite(name=f"{self.dataset} version {self.version}", expectations=[expectation])

    def _all_own_rules(self) -> tuple[Rule, ...]:
        required = [column.name for column in self.columns if column.is_required]
        is_null = " OR ".join(f"{name} IS NULL" for name in required)
        keys = ", ".join(self.key)
        return (
            Rule("required_columns", f"{', '.join(required)} are never null", f"({is_null})"),
            Rule(_UNIQUE, f"({keys}) is unique", f"row_number() OVER (PARTITION BY {keys} ORDER BY {keys}) > 1"),
            Rule("known_reason", "the reason is in the closed list", f"reason NOT IN {list_of(REASONS)}"),
            *self.own_rules,
        )

    def _all_input_rules(self) -> tuple[Rule, ...]:
        return (
            Rule(
                "same_keys_as_input",
                "every row of the pinned input has a row here, and there are no other rows",
                "(output.key IS NULL OR input.key IS NULL)",
            ),
            Rule(
                "kept_reason",
                "a row that is not used keeps its reason",
                "input.reason <> 'ok' AND output.reason <> input.reason",
            ),
            *self.input_rules,
        )


def _marks(rules: Iterable[Rule]) -> str:
    """Spark SQL for an array with the names of the rules that a row breaks, null for those that it keeps."""
    return "array(" + ", ".join(f"if({rule.bad}, '{rule.name}', NULL)" for rule in rules) + ")"


def list_of(words: Iterable[str]) -> str:
    """Words as a Spark SQL list for `IN`.

    >>> list_of(["ok", "blank"])
    "('ok', 'blank')"
    """
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"
