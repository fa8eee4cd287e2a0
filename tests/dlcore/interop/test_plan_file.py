"""Plans in files: the same results from mapped weights, memory shared by processes, damaged files refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcore.activity import Array, leaves
from dlcore.errors import ModelFormatError
from dlcore.inference import Plan, calibrate, compile
from dlcore.interop.plan_file import _PREAMBLE, load_plan
from dlcore.nn.layer import (
    LSTM,
    Linear,
    LookupTable,
    Recurrent,
    ReLU,
    Select,
    Sequential,
    SpatialBatchNormalization,
    SpatialConvolution,
    SpatialMaxPooling,
    View,
)
from dlcore.nn.module import Module


def pictures() -> Module:
    model = Sequential().add(SpatialConvolution(3, 16, 3, 3, 1, 1, 1, 1)).add(SpatialBatchNormalization(16)).add(ReLU())
    model.add(SpatialConvolution(16, 32, 3, 3, 1, 1, 1, 1)).add(SpatialMaxPooling(2, 2, 2, 2))
    wide = Sequential().add(SpatialConvolution(32, 96, 1, 1)).add(ReLU())
    wide.add(SpatialConvolution(96, 96, 3, 3, 1, 1, 1, 1, 96)).add(ReLU()).add(SpatialConvolution(96, 8, 1, 1))
    return model.add(wide).add(View([8 * 24 * 24])).add(Linear(8 * 24 * 24, 10)).evaluate()


def words() -> Module:
    model = Sequential().add(LookupTable(20, 12)).add(Recurrent().add(LSTM(12, 16))).add(Select(2, -1))
    return model.add(Linear(16, 20)).evaluate()


def values(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


PICTURES = values(2, 3, 48, 48)
NUMBERS = np.random.default_rng(1).integers(1, 20, (2, 5))


def plan_of(model: Module, x: Array, precision: str) -> Plan:
    calibration = calibrate(model, x) if precision == "int8" else None
    return compile(model, x.shape, precision, calibration=calibration, force=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize(("build", "x"), [(pictures, PICTURES), (words, NUMBERS)])
def test_a_loaded_plan_computes_the_same_from_the_file(build, x, precision, tmp_path: Path) -> None:
    plan = plan_of(build(), x, precision)
    again = load_plan(plan.save(tmp_path / "plan"))
    for wanted, got in zip(leaves(plan(x)), leaves(again(x)), strict=True):
        np.testing.assert_array_equal(wanted, got)
    assert again.recipe == plan.recipe
    assert again.prepared
    assert all(not array.flags.writeable for array in again.prepared)


def test_on_another_machine_the_weights_are_packed_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan = plan_of(pictures(), PICTURES, "fp32")
    again = load_plan(plan.save(tmp_path / "plan"), threads=plan.recipe.threads + 1)
    assert "packing its weights anew" in caplog.text
    assert all(array.flags.writeable for array in again.prepared)
    np.testing.assert_allclose(again(PICTURES), plan(PICTURES), atol=1e-6)


_SHARED = """
import sys
from pathlib import Path
from dlcore.interop.plan_file import _PREAMBLE, load_plan
import numpy as np
plan = load_plan(sys.argv[1])
plan(np.ones(plan.input_shape, np.float32))
print("ready", flush=True)
sys.stdin.readline()
sizes, is_ours = {"Rss:": 0, "Pss:": 0, "Private_Dirty:": 0}, False
for line in Path("/proc/self/smaps").read_text().splitlines():
    name, *rest = line.split()
    if "-" in name and not name.endswith(":"):
        is_ours = line.endswith(sys.argv[1])
    elif is_ours and name in sizes:
        sizes[name] += int(rest[0])
print(*sizes.values(), flush=True)
sys.stdin.readline()
"""


def test_two_processes_share_one_copy_of_the_weights(tmp_path: Path) -> None:
    model = Sequential().add(Linear(2048, 2048)).add(ReLU()).add(Linear(2048, 8)).evaluate()
    path = str(compile(model, (1, 2048)).save(tmp_path / "plan"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", _SHARED, path], **pipes) for _ in range(2)]
    try:
        assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
        found = []
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
            found.append([int(size) for size in process.stdout.readline().split()])
    finally:
        for process in both:
            process.communicate("\n", timeout=60)
    weights_kib = 2048 * 2048 * 4 // 1024
    for resident, share, own in found:
        assert resident >= weights_kib
        assert share <= 0.6 * resident
        assert own == 0


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    path = plan_of(words(), NUMBERS, "fp32").save(tmp_path / "plan")
    whole, rng = path.read_bytes(), random.Random(4)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(ModelFormatError, match="plan: got"):
            load_plan(path)
    for size in (0, 5, 31, 32, 1000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelFormatError, match="plan: got"):
            load_plan(path)


def rewritten(path: Path, change: Callable[[dict[str, Any]], object], spaces: int = 0) -> Path:
    """The same file with other JSON and right checksums; spaces: behind the JSON, beside those that fill a cache
    line."""
    whole = path.read_bytes()
    magic, size, _, _, checksum = _PREAMBLE.unpack_from(whole)
    facts = json.loads(whole[_PREAMBLE.size : _PREAMBLE.size + size])
    change(facts)
    text = json.dumps(facts).encode()
    text += b" " * (-(_PREAMBLE.size + len(text)) % 64 + spaces)
    total = _PREAMBLE.size + len(text) + len(whole) - _PREAMBLE.size - size
    start = _PREAMBLE.pack(magic, len(text), total, zlib.crc32(text), checksum)
    path.write_bytes(start + text + whole[_PREAMBLE.size + size :])
    return path


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else [1]


CHANGES = {
    "beyond the end": (lambda facts: facts["arrays"][-1].__setitem__(2, 1 << 40), "an array of shape"),
    "of another kind": (lambda facts: facts["arrays"][0].__setitem__(0, "object"), "'object'"),
    "no threads": (lambda facts: facts["recipe"].update(threads=0), "got threads 0"),
    "more threads than a number has bits": (lambda facts: facts["recipe"].update(threads=1 << 64), "got threads 1844"),
    "a truth as threads": (lambda facts: facts["recipe"].update(threads=True), "got threads True"),
    "no shape": (lambda facts: facts["recipe"].update(shape="large"), "'large' in the input shape"),
    "a shape below zero": (lambda facts: facts["recipe"].update(shape=[-1, 5]), "an input of shape"),
    "a shape beyond memory": (lambda facts: facts["recipe"].update(shape=[1 << 50, 5]), "a plan for inputs of"),
    "a shape without end": (lambda facts: facts["recipe"].update(shape=nested(900)), "recursion"),
    "no such precision": (lambda facts: facts["recipe"].update(precision="int3"), "got precision 'int3'"),
    "no model": (lambda facts: facts.update(topology={"version": 2, "module": {"type": "os.system"}}), "os.system"),
    "no weights": (lambda facts: facts.pop("weights"), "'weights'"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_plan_that_contradicts_itself_is_refused(change: str, tmp_path: Path) -> None:
    path = plan_of(words(), NUMBERS, "fp32").save(tmp_path / "plan")
    changed, error = CHANGES[change]
    with pytest.raises(ModelFormatError, match=rf"plan: .*{error}"):
        load_plan(rewritten(path, changed))


def test_arrays_that_begin_between_cache_lines_are_refused(tmp_path: Path) -> None:
    path = plan_of(words(), NUMBERS, "fp32").save(tmp_path / "plan")
    load_plan(rewritten(path, lambda facts: None))
    with pytest.raises(ModelFormatError, match="in whole cache lines"):
        load_plan(rewritten(path, lambda facts: None, spaces=4))


@pytest.mark.parametrize("change", [lambda arrays: arrays[-1].__setitem__(1, [3]), lambda arrays: arrays.pop()])
def test_packed_weights_that_do_not_fit_are_packed_anew(change, tmp_path: Path, caplog) -> None:
    plan = plan_of(pictures(), PICTURES, "fp32")
    again = load_plan(rewritten(plan.save(tmp_path / "plan"), lambda facts: change(facts["arrays"])))
    assert "packing its weights anew" in caplog.text
    np.testing.assert_array_equal(again(PICTURES), plan(PICTURES))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_weights_are_saved_as_the_model_has_them_now(precision: str, tmp_path: Path) -> None:
    model = pictures()
    plan = plan_of(model, PICTURES, precision)
    before = plan(PICTURES)
    model.named_parameters()["0.weight"].value[...] *= 0.5
    again = load_plan(plan.save(tmp_path / "plan"))
    now = compile(model, PICTURES.shape, precision, calibration=plan.recipe.calibration, force=True)
    np.testing.assert_array_equal(again(PICTURES), now(PICTURES))
    np.testing.assert_array_equal(plan(PICTURES), before)
    assert (again(PICTURES) != before).any()
