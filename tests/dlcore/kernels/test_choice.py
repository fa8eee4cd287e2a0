"""Which instructions and threads the kernels use, as the environment asks, and the table that says so."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from dlcore import kernels
from dlcore.settings import INSTRUCTION_SETS, Settings
from tests.waiting import LIMIT_S

SET_OF = {"avx512": ("avx512", "avx512"), "avx2": ("avx2", "avx2"), "portable": (platform.machine(), "portable")}
"""DLCORE_ISA -> what `kernels.instruction_set` and `native.instruction_set` say, on a CPU that has all."""

AGREE = """
from dlcore import kernels
from dlcore.kernels import native
from tests.dlcore.kernels.test_backends import CASES, test_agrees_with_reference
print(kernels.instruction_set(), native.instruction_set())
for case in CASES:
    for backend in ("onednn", "native"):
        test_agrees_with_reference(backend, *case.values)
"""


def run(program: str | list[str], **environment: str) -> str:
    command = [sys.executable, *program] if isinstance(program, list) else [sys.executable, "-c", program]
    asked = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, env=asked, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout


@pytest.mark.parametrize("asked", ["portable", "avx2"])
def test_smaller_instruction_sets_give_what_reference_gives(asked: str) -> None:
    if asked == "avx2" and kernels.instruction_set() not in INSTRUCTION_SETS:
        pytest.skip(f"this CPU has no {asked}")
    assert tuple(run(AGREE, DLCORE_ISA=asked).split()) == SET_OF[asked]


def test_threads_are_as_many_as_asked() -> None:
    program = "from dlcore import kernels; from dlcore.kernels import cpu; kernels.active(); print(cpu.threads())"
    assert run(program, DLCORE_THREADS="3", OMP_NUM_THREADS="2").strip() == "3"
    assert run(program, OMP_NUM_THREADS="2").strip() == "2"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [("DLCORE_ISA", "avx1024", "expected one of portable, avx2, avx512"), ("DLCORE_THREADS", "0", "1 or more")],
)
def test_wrong_variables_are_refused(variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{variable}: got '{value}', .*{message}"):
        Settings.from_environment()


def test_the_table_tells_what_serves_each_operation() -> None:
    found = json.loads(run(["-m", "dlcore.kernels", "--json"]))
    assert found["threads"] == 1
    assert set(found["backends"]) == {"onednn", "native", "mkl", "reference"}
    served = {(row["operation"], row["backend"]) for row in found["operations"]}
    assert {
        ("conv", "native"),
        ("conv", "onednn"),
        ("lstm", "onednn"),
        ("softmax", "native"),
        ("adam", "native"),
    } <= served
    for row in found["operations"]:
        assert row["ms"] > 0
        assert row["of_peak"] is None or row["gflops"] > 0
    assert "conv_grad_w" in run(["-m", "dlcore.kernels"])


def test_the_table_takes_nothing_else() -> None:
    with pytest.raises(subprocess.CalledProcessError, match="exit status 2"):
        run(["-m", "dlcore.kernels", "--fast"])
