"""What the trigger form, the command line and REST may say of a number: the same for all, and nothing is made fit in
silence."""

from __future__ import annotations

import pytest

from tests.plugins.airflow_process import answer

ASK = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
dags, answers = DagBag("dags").dags, []
for dag, name, value in json.loads(sys.argv[1]):
    try:
        answers.append([dags[dag].params.get_param(name).resolve(value)])
    except Exception as error:
        answers.append(type(error).__name__)
print(json.dumps(answers))
"""
TAKEN = {
    ("image_pipeline", "limit"): [5, "5", None],
    ("image_pipeline", "margin"): [0, 0.2, "0.2", ".5", "1", None],
    ("day_check", "late_days"): [1, "14"],
}
REFUSED = {
    ("image_pipeline", "limit"): [-5, "-5", 0, "0", "abc", 2.5, "", True],
    ("image_pipeline", "margin"): [7, "7", -0.1, "-0.1", "abc", "1.5"],
    ("day_check", "late_days"): [0, 401, None, "abc"],
}

pytestmark = pytest.mark.airflow


def test_a_wrong_number_is_refused_and_a_right_one_is_kept(tmp_path):
    taken, refused = (
        [(*param, value) for param, values in table.items() for value in values] for table in (TAKEN, REFUSED)
    )
    answers = answer(ASK, tmp_path, [*taken, *refused])
    assert answers == [[value] for *_, value in taken] + ["ParamValidationError"] * len(refused)
