"""The limits of what comes from files: numbers from the environment, or an error that names the variable."""

from __future__ import annotations

import pytest

from dlcore.settings import LIMITS, Settings


@pytest.mark.parametrize("name", LIMITS)
def test_limits_come_from_the_environment(monkeypatch, name):
    variable = f"DLCORE_{name.upper()}"
    monkeypatch.delenv(variable, raising=False)
    assert getattr(Settings.from_environment(), name) == getattr(Settings(), name) > 1 << 26
    monkeypatch.setenv(variable, "123")
    assert getattr(Settings.from_environment(), name) == 123
    for wrong in ("", "-1", "4 GiB"):
        monkeypatch.setenv(variable, wrong)
        with pytest.raises(ValueError, match=f"{variable}: got '{wrong}', expected a whole number"):
            Settings.from_environment()
