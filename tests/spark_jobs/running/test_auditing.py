"""How a job imports Great Expectations. What an audit finds: tests/data_contracts."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import gc, json, sys
from spark_jobs.running import auditing
auditing.import_in_background().join()
kept, collects, waits = gc.get_freeze_count(), gc.isenabled(), "scipy.stats.distributions" not in sys.modules
from great_expectations.expectations import UnexpectedRowsExpectation
from scipy import stats
print(json.dumps([kept, collects, waits, float(stats.norm.cdf(0.0))]))
"""


def test_the_import_leaves_out_what_no_audit_uses_and_all_of_it_works() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    kept, collects, waits, half = json.loads(done.stdout)
    assert kept > 100_000
    assert (collects, waits, half) == (True, True, 0.5)
