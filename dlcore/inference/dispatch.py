"""Which rule of a plan holds for a module: that of its class, or of the nearest class above whose `apply` it still
runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from dlcore.nn.module import Module

Rule = TypeVar("Rule")


def computes_as(module: Module, kind: type[Module]) -> bool:
    """Whether `module` is a `kind` and computes what one computes: neither its class nor itself has an `apply` of its
    own."""
    return isinstance(module, kind) and getattr(module.apply, "__func__", None) is kind.apply


def rule_of(rules: Mapping[type, Rule], module: Module) -> Rule | None:
    """The rule of the first class in the module's order of method resolution that it computes as, if there is one."""
    return next((rules[kind] for kind in type(module).__mro__ if kind in rules and computes_as(module, kind)), None)
