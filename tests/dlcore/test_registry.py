"""Layers, criterions and methods by qualified name: equal class names of two packages live side by side."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dlcore.interop.native import load_module, save_module
from dlcore.nn import layer
from dlcore.nn.criterion import MSECriterion
from dlcore.nn.criterion.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.optim.method import SGD, OptimMethod
from dlcore.registry import Registry, namespace_of


@dataclass(eq=False)
class Dropout(Module, namespace="other"):
    """A layer of another package, of a name that nn has too."""

    p: float

    def apply(self, x):
        return x * self.p, lambda grad: grad * self.p


def test_equal_names_of_two_packages_save_and_load(tmp_path):
    model = layer.Sequential().add(layer.Dropout(0.25)).add(Dropout(3.0))
    loaded = load_module(save_module(model, tmp_path / "model"))
    assert [type(part) for part in loaded.modules] == [layer.Dropout, Dropout]
    assert (loaded[0].init_p, loaded[1].p) == (0.25, 3.0)


def test_a_bare_name_means_nn():
    assert Module.registry.find("Dropout") is layer.Dropout
    assert Module.registry.key(Dropout) == "other.Dropout"


def test_a_duplicate_is_refused_and_a_redefinition_is_not():
    def define(qualname):
        return type("Twice", (Module,), {"__module__": "somewhere", "__qualname__": qualname})

    define("Twice")
    again = define("Twice")
    assert Module.registry.find("somewhere.Twice") is again
    with pytest.raises(ValueError, match=r"two classes called 'somewhere.Twice'.*namespace='...'"):
        define("Outer.Twice")
    assert Module.registry.find("somewhere.Twice") is again


@pytest.mark.parametrize(
    ("base", "known", "key"), [(Criterion, MSECriterion, "nn.MSECriterion"), (OptimMethod, SGD, "optim.SGD")]
)
def test_criterions_and_methods_are_named_alike(base, known, key):
    assert base.registry.key(known) == key
    assert base.registry.find(key) is base.registry.find(known.__name__) is known
    with pytest.raises(ValueError, match="two classes called"):
        type(known.__name__, (base,), {"__module__": known.__module__, "__qualname__": "another"})


def test_a_name_that_several_share_is_not_guessed():
    known = Registry[type]("nn")
    known.add(int, "first")
    assert known.find("int") is int
    known.add(int, "second")
    with pytest.raises(LookupError, match=r"\['first.int', 'second.int'\] share"):
        known.find("int")
    with pytest.raises(LookupError, match="no class has"):
        known.find("float")


@pytest.mark.parametrize(
    ("module", "namespace"),
    [("dlcore.nn.layers.dropout", "nn"), ("dlcore.keras.core", "keras"), ("shop.layers", "shop.layers")],
)
def test_the_module_says_the_namespace(module, namespace):
    assert namespace_of(module) == namespace


def test_states_of_older_methods_are_restored():
    method = SGD()
    method.restore({"method": "SGD", "steps": 3, "schedule": {}}, {})
    assert method.steps == 3
    method.restore(method.state() | {"steps": 4}, {})
    assert method.steps == 4
    with pytest.raises(ValueError, match="expected SGD"):
        method.restore({"method": "optim.Adam", "steps": 3, "schedule": {}}, {})
