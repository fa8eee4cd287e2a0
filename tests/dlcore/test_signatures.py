"""The names of BigDL 0.13.0 that this engine offers: each exists and takes the same arguments, in the same order, with
the same defaults. tests/golden/bigdl/signatures.txt has them, a section for each module of BigDL, without the last
argument, bigdl_type."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from inspect import Parameter
from pathlib import Path

import pytest

from dlcore.nn import layer
from dlcore.optim import optimizer

HOMES = {
    "nn.initialization_method": "nn.init",
    "nn.keras.layer": "keras.layer",
    "transform.vision.image": "data.image",
}
"""Where the names of a module of BigDL are in dlcore, if not in the module that is called so."""

ADDED = {
    "nn.layer.Input": ({"name": None}, "a name at once"),
    "nn.layer.SpatialShareConvolution": ({"data_format": "NCHW"}, "as SpatialConvolution has it"),
    "nn.criterion.MSECriterion": ({"sizeAverage": True}, "the sum, as BigDL's Scala class has it"),
    "nn.layer.Transformer": (
        {
            "padding_value": 0.0,
            "with_share_weights_linear": False,
            "transformer_type": "LanguageModel",
            "beam_search": None,
        },
        "what BigDL's Scala class takes",
    ),
    "optim.optimizer.Optimizer": (
        {"state": None, "workers": 1, "seed": 1, "is_quiet": False},
        "by name: BigDL 0.1's settings; processes, order, display",
    ),
    "optim.optimizer.Adam": ({"leaningrate_schedule": None, "weightdecay": 0.0}, "a schedule, and weight decay"),
}
"""Arguments beyond BigDL's, behind them."""

DEFAULTS = {
    "optim.optimizer.Optimizer": ({"end_trigger": None, "batch_size": 32}, "one epoch, as Optimizer.create has it"),
    "optim.optimizer.LocalOptimizer": (
        {"end_trigger": None, "batch_size": 32},
        "one epoch, as Optimizer.create has it",
    ),
    "nn.layer.SpatialMaxPooling": ({"dw": 1, "dh": 1}, "a step of 1, as BigDL's Scala class has it"),
    "transform.vision.image.ImageFrameToSample": ({"input_keys": ("imageTensor",)}, "no list that all share"),
    "nn.layer.Squeeze": ({"dim": None}, "all sizes of 1 unless given"),
}
"""Arguments that BigDL wants and that may be left out here."""

LEFT_OUT = {
    "nn.layer.Model": (("jvalue", "byte_order", "model_type"), "handles of the JVM; how TensorFlow's files are read"),
    "nn.layer.Sequential": (("jvalue",), "a handle of the JVM"),
}
"""Arguments of BigDL that mean nothing here."""

STARS = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}


def listed():
    """Name, with its module's -> what the list has behind it, such as "(dim, index=1)"."""
    text = (Path(__file__).parents[1] / "golden/bigdl/signatures.txt").read_text()
    found = {}
    for section in re.split(r"^\[", text, flags=re.M)[1:]:
        head, *lines = section.splitlines()
        place = head[: head.index("]")].removeprefix("bigdl.")
        found |= {f"{place}.{line[: line.index('(')]}": line[line.index("(") :] for line in lines if line}
    return found


def wanted(arguments):
    """(name, default) of each argument; the stars belong to the name."""
    known = {"DOUBLEMAX": 1.7976931348623157e308, "INTMAX": 2**31 - 1, "INTMIN": -(2**31), "float": float}
    parsed = ast.parse(f"def listed{arguments}: pass").body[0].args
    values = [eval(ast.unparse(value), known) for value in parsed.defaults]
    defaults = [Parameter.empty] * (len(parsed.args) - len(values)) + values
    pairs = [(argument.arg, default) for argument, default in zip(parsed.args, defaults, strict=True)]
    stars = (("*", parsed.vararg), ("**", parsed.kwarg))
    return pairs + [(star + found.arg, Parameter.empty) for star, found in stars if found is not None]


def differing(name, pairs):
    """`pairs` with what the tables above say of `name`."""
    left_out, defaults, added = (table.get(name, ({}, ""))[0] for table in (LEFT_OUT, DEFAULTS, ADDED))
    kept = [(argument, defaults.get(argument, default)) for argument, default in pairs if argument not in left_out]
    return kept + list(added.items())


def offered(name):
    """What dlcore has under the name, or None."""
    place, _, bare = name.rpartition(".")
    return vars(importlib.import_module(f"dlcore.{HOMES.get(place, place)}")).get(bare)


SIGNATURES = listed()


@pytest.mark.parametrize("name", SIGNATURES)
def test_bigdl_has_it_so(name):
    kind = offered(name)
    assert kind is not None, "there is none"
    taken = inspect.signature(kind).parameters.values()
    pairs = [(STARS.get(each.kind, "") + each.name, each.default) for each in taken]
    if pairs and pairs[-1] == ("bigdl_type", "float"):
        pairs.pop()
    assert pairs == differing(name, wanted(SIGNATURES[name]))


@pytest.mark.parametrize(
    "name", sorted(SIGNATURES.keys() - {"nn.keras.layer.Input"})
)  # which takes none in BigDL either
def test_it_takes_bigdl_type(name):
    taken = inspect.signature(offered(name)).parameters.values()
    assert any(each.name == "bigdl_type" or each.kind is Parameter.VAR_KEYWORD for each in taken)


def test_what_differs_is_listed():
    """Each exception is of a name, and is one."""
    assert SIGNATURES.keys() >= {*ADDED, *DEFAULTS, *LEFT_OUT}
    for name in {*ADDED, *DEFAULTS, *LEFT_OUT}:
        assert differing(name, wanted(SIGNATURES[name])) != wanted(SIGNATURES[name]), name


def test_a_script_may_import_both_modules_whole():
    """As BigDL's scripts do: no name means one thing after the one import and another after the other."""
    shared = set(layer.__all__) & set(optimizer.__all__)
    assert all(getattr(layer, name) is getattr(optimizer, name) for name in shared), shared
