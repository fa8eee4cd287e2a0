"""Settings that are a number of hours."""

from __future__ import annotations

from datetime import timedelta

import pytest
from dlcore_airflow.hours import hours


@pytest.mark.parametrize(("text", "expected"), [("", 6.0), ("0.5", 0.5), ("36", 36.0)])
def test_hours_of_a_setting(monkeypatch: pytest.MonkeyPatch, text: str, expected: float) -> None:
    monkeypatch.setenv("PIPELINE_STAGE_HOURS", text)
    assert hours("PIPELINE_STAGE_HOURS", 6.0) == timedelta(hours=expected)


@pytest.mark.parametrize("text", ["six", "0", "-1", "nan", "inf"])
def test_a_setting_that_is_no_number_of_hours_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PIPELINE_STAGE_HOURS", text)
    with pytest.raises(ValueError, match=f"PIPELINE_STAGE_HOURS: got '{text}', expected a number of hours"):
        hours("PIPELINE_STAGE_HOURS", 6.0)
