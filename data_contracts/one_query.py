"""The expectation of a contract, apart from `contract.py` because it imports Great Expectations."""

from __future__ import annotations

from typing import Any, ClassVar

from great_expectations.expectations import UnexpectedRowsExpectation

_ROWS, _COUNT = "unexpected_rows_query.table", "unexpected_rows_query.row_count"


class NoRowsOfOneQuery(UnexpectedRowsExpectation):
    """Expect that a query returns no row; at most 200 are reported.

    The expectation that it replaces computes the query twice, for the rows and for their number, each time over all
    rows of a day.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = (_ROWS,)

    def _validate(self, metrics: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        return super()._validate({**metrics, _COUNT: len(metrics[_ROWS])}, *arguments, **named)
