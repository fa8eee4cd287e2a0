"""A new user's first quarter of an hour: the imports, and the program that README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def run(program, folder):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    arguments = [sys.executable, "-c", program]
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_program_of_the_readme_trains_validates_predicts_saves_and_loads(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    done = run(program + "\nassert score > 0.95, score", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[Epoch 20][Iteration 1000] Top1Accuracy is" in done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_names_come_from_the_packages_and_import_little(tmp_path):
    program = """
import sys
import dlcore, dlcore.nn, dlcore.optim
assert "numpy" not in sys.modules, "import dlcore brings numpy"
from dlcore.optim import Optimizer, Adam, MaxEpoch, Top1Accuracy, SGD
from dlcore.nn import *
assert Sequential().add(Linear(2, 1).set_init_method(Xavier(), Zeros())) and MSECriterion()
import dlcore.nn.layer
assert Linear is dlcore.nn.layer.Linear and "Linear" in dir(dlcore.nn)
"""
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "right"), [("Softmax", "SoftMax"), ("MSECriterium", "MSECriterion")])
def test_a_name_slightly_off_gets_the_right_one_suggested(name, right):
    import dlcore.nn

    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; did you mean '{right}'\\?"):
        getattr(dlcore.nn, name)
