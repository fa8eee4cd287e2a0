"""Read settings of the DAGs that are numbers of hours."""

from __future__ import annotations

import math
import os
from datetime import timedelta


def hours(variable: str, default: float) -> timedelta:
    """The hours in an environment variable; the default if it is unset or empty.

    Raises:
        ValueError: the value is not a positive number.
    """
    text = os.environ.get(variable) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"{variable}: got {text!r}, expected a number of hours, for example {default:g}")
    return timedelta(hours=number)
