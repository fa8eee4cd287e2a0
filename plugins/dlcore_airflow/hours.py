"""Settings of the DAGs that are a number of hours."""

from __future__ import annotations

import math
import os
from datetime import timedelta


def hours(variable: str, default: float) -> timedelta:
    """The hours that an environment variable says; the default when it is unset or empty.

    Raises:
        ValueError: it is no positive number.
    """
    text = os.environ.get(variable) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{variable}: got {text!r}, expected a number of hours, for example {default:g}")
    return timedelta(hours=number)
