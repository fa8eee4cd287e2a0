"""Audits of staged rows: the rules of a contract, checked by Great Expectations on the snapshot nobody can read yet."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from threading import Thread
from typing import Any

from data_contracts.contract import Contract
from spark_jobs.pipeline import Stage
from spark_jobs.running.run_report import BrokenRule


class BrokenContract(Exception):
    """Staged rows break rules of their contract; trying again would give the same rows."""

    def __init__(self, contract: Contract, broken: Sequence[BrokenRule]) -> None:
        """contract: the broken contract.   broken: the rules that do not hold, at least one."""
        self.broken = list(broken)
        rules = "; ".join(
            f"{rule.rule} ({rule.meaning}): {rule.rows} rows, for example {', '.join(rule.samples)}" for rule in broken
        )
        super().__init__(
            f"contract {contract.dataset} version {contract.version} is broken, so nothing was published: {rules}"
        )


def load_contract(stage: Stage) -> Contract | None:
    """The contract that the stage table names; None for a stage that writes no rows."""
    if stage.contract is None:
        return None
    module, _, name = stage.contract.partition(":")
    contract = getattr(importlib.import_module(module), name)
    if not isinstance(contract, Contract):
        raise TypeError(f"{stage.contract}: got {type(contract).__name__}, expected a Contract")
    return contract


def import_in_background() -> Thread:
    """Start importing Great Expectations (seconds of CPU) while Spark writes; join the thread before auditing."""
    # It would report each use over the network.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    thread = Thread(target=_import, name="import great_expectations", daemon=True)
    thread.start()
    return thread


def _import() -> None:
    """Import Great Expectations in half of the CPU time that a plain import takes."""
    if "great_expectations" not in sys.modules:
        _import_when_used("scipy", "stats")  # only expectations about distributions use it
        # The collector would look at half a million objects that stay, again and again and once more at the end.
        gc.disable()
        try:
            import great_expectations.expectations
        finally:
            gc.freeze()
            gc.enable()
    import great_expectations.expectations  # noqa: F401 (waits for a thread that is importing it)

    # It would tell each audit's temporary folder in the log.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)


def _import_when_used(package: str, name: str) -> None:
    """Put a module of a package in its place so that it is executed when something of it is first asked for."""
    full_name = f"{package}.{name}"
    if full_name in sys.modules:
        return
    spec = importlib.util.find_spec(full_name)
    if spec is None or spec.loader is None:
        raise ImportError(f"got no module {full_name}, expected one: run `make install`", name=full_name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules[full_name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(sys.modules[package], name, module)


def broken_rules(
    frame: Any, contract: Contract, input_keys: tuple[str, ...] = (), input_view: str = ""
) -> list[BrokenRule]:
    """The rules that the rows of a DataFrame break, in the order of the rules.

    frame: only the audited columns, never image bytes.   input_keys, input_view: see `Contract.violations`.

    Raises:
        RuntimeError: the rules cannot be computed, which says nothing about the rows.
    """
    suite = contract.suite(contract.violations(input_keys, input_view))
    verdict = _batch(frame, contract.dataset).validate(suite, result_format="COMPLETE").results[0]
    failures = [
        info["exception_message"] for info in _exceptions(verdict.exception_info) if info.get("raised_exception")
    ]
    if failures:
        cause = failures[0].splitlines()[0]
        raise RuntimeError(f"the rules of contract {contract.dataset} could not be computed: {cause}")
    found = {row["rule"]: row for row in verdict.result["details"]["unexpected_rows"]}
    return [
        BrokenRule(rule.name, rule.meaning, found[rule.name]["rows"], list(found[rule.name]["samples"]))
        for rule in contract.rules(has_input=bool(input_keys))
        if rule.name in found
    ]


def check_count(contract: Contract, rows_in: int | None, rows_out: int | None) -> None:
    """Raise BrokenContract if a table, after a run replaced a part of it, has not as many rows as its input. The rules
    themselves only see the replaced rows."""
    if contract.is_one_for_one and None not in (rows_in, rows_out) and rows_in != rows_out:
        rule = next(rule for rule in contract.rules(has_input=True) if rule.name == "same_keys_as_input")
        raise BrokenContract(contract, [BrokenRule(rule.name, f"{rule.meaning}: {rows_in} and {rows_out} rows", 1, [])])


def _batch(frame: Any, name: str) -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_or_update_spark(name, persist=False)
    definition = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    return definition.get_batch({"dataframe": frame})


def _exceptions(info: dict[str, Any]) -> list[dict[str, Any]]:
    """The records, whether Great Expectations gives one or one per metric."""
    return [info] if "raised_exception" in info else list(info.values())
