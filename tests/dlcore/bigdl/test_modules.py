"""The import hook: every module imports, every name of BigDL's list is in its module, and what is off or cannot be says
so."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import dlcore.bigdl
from dlcore.bigdl import absent
from dlcore.bigdl.modules import PACKAGES, Finder, install
from dlcore.bigdl.names import ABSENT, HIDDEN, MODULES
from tests.dlcore.test_signatures import SIGNATURES

ROOT = Path(__file__).parents[3]


def run(folder, *arguments):
    command = [sys.executable, "-m", "dlcore.bigdl", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("SPARK_CONNECT_MODE_ENABLED", None)  # as a test that has connected leaves it in this process
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", [*MODULES, *sorted(PACKAGES)])
def test_every_module_imports(name):
    module = importlib.import_module(name)
    assert pickle.loads(pickle.dumps(module)) is module
    for public in vars(module):
        assert getattr(module, public) is not None or public in ("__loader__", "__package__", "__file__"), public


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_name_of_bigdl_is_in_its_module(name):
    place, _, bare = name.rpartition(".")
    assert callable(getattr(importlib.import_module(f"bigdl.{place}"), bare))


def test_star_imports_bring_numpy_and_no_other_thing_of_the_same_name():
    names = {}
    for module in ("bigdl.nn.layer", "bigdl.nn.criterion", "bigdl.optim.optimizer", "bigdl.util.common"):
        exec(f"from {module} import *", names)
    assert names["np"].__name__ == "numpy"
    assert importlib.import_module("bigdl.version").__version__ == "0.13.0"
    assert names["ActivityRegularization"].__module__.startswith("dlcore.nn.layers")  # not the penalty of this name
    assert names["Model"] is importlib.import_module("dlcore.nn.graph").Graph


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("from bigdl.nn.layer import Softmax", "'bigdl.nn.layer' has no name 'Softmax'; did you mean 'SoftMax'?"),
        ("import bigdl.nn.criterion as c; c.MSECriteron", "no name 'MSECriteron'; did you mean 'MSECriterion'?"),
        ("from bigdl.optim.optimizer import Top1Acuracy", "did you mean 'Top1Accuracy'?"),
        ("import bigdl.nn.layers", "No module named 'bigdl.nn.layers'; did you mean 'bigdl.nn.layer'?"),
        ("from bigdl.contrib.onnx import load", "No module named 'bigdl.contrib': dlcore does not read such models"),
        ("from zoo.pipeline.api.keras.optimizers import Adam", "compile takes names, such as 'adam'"),
        (
            "from bigdl.util.common import _py2java; _py2java(1)",
            "_py2java: it reaches into BigDL's JVM, and there is none",
        ),
        (
            "from bigdl.util.common import *; JavaCreator.add_creator_class('x')",
            "JavaCreator: it reaches into BigDL's JVM",
        ),
        (
            "from bigdl.nn.layer import Model; Model.load_caffe_model('a', 'b')",
            "does not read or write models of Caffe",
        ),
    ],
)
def test_what_is_off_or_cannot_be_says_so(statement, message):
    with pytest.raises((ImportError, AttributeError, NotImplementedError)) as caught:
        exec(statement, {})
    assert message in str(caught.value)


def test_each_exception_is_one():
    """What the tables leave out is not there by another way; what hides is found by its name."""
    for name in ABSENT:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)
    for path in HIDDEN:
        module, _, name = path.rpartition(".")
        assert name not in vars(importlib.import_module(module))
        assert getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="has no attribute 'JavaKind'"):
        absent.JavaKind  # noqa: B018


def test_installing_twice_is_installing_once_and_other_packages_are_left_alone():
    install()
    assert sum(isinstance(finder, Finder) for finder in sys.meta_path) == 1
    assert dlcore.bigdl.__doc__
    with pytest.raises(ModuleNotFoundError, match="No module named 'bigdlx'"):
        importlib.import_module("bigdlx")


def test_a_script_runs_with_its_arguments_and_modules_beside_it(tmp_path):
    (tmp_path / "beside.py").write_text("SIZE = 3\n")
    script = tmp_path / "program.py"
    script.write_text(
        "import sys\nfrom beside import SIZE\nfrom dl.nn.layer import Linear\n"
        "if __name__ == '__main__':\n    print(sys.argv[1:], Linear(SIZE, 2).get_weights()[0].shape)\n    sys.exit(7)\n"
    )
    done = run(tmp_path, script, "-b", 32)
    assert (done.returncode, done.stdout) == (7, "['-b', '32'] (2, 3)\n"), done.stderr


def test_somebodys_own_module_of_such_a_name_is_theirs(tmp_path):
    (tmp_path / "zoo.py").write_text("animals = ['gnu']\n")
    script = tmp_path / "program.py"
    script.write_text("import zoo\nfrom bigdl.nn.layer import Linear\nprint(zoo.animals)\n")
    assert run(tmp_path, script).stdout == "['gnu']\n"


def test_pytest_runs_tests_written_for_bigdl(tmp_path):
    (tmp_path / "test_theirs.py").write_text(
        "from bigdl.nn.layer import *\n\ndef test_sum():\n    assert CAddTable().forward([np.ones(2), "
        "np.ones(2)]).sum() == 4\n"
    )
    done = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [((), 2, "usage:"), (("--help",), 0, "usage:"), (("none.py",), 2, "got 'none.py', expected a Python file")],
)
def test_usage(arguments, code, said, tmp_path):
    done = run(tmp_path, *arguments)
    assert done.returncode == code
    assert said in done.stderr
