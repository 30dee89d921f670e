"""What a builtin component's code digest covers: every module of ours that it is made of."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftspec import api, registry
from ftspec.registry import Loaded

BUILTIN = [each for each in registry.load().all() if each.entry == "builtin"]
ROOMS = ("ftspec.builtin", "ftspec.compiled")


def imported(module: str) -> set[str]:
    """The modules of ROOMS that a module needs, and what those need; types alone do not count."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        source = importlib.import_module(waiting.pop()).__file__
        assert source
        new = {name for name in named(ast.parse(Path(source).read_text())) if is_module(name)} - found
        found |= new
        waiting += new
    return found - {module}


def named(node: ast.AST) -> Iterator[str]:
    """Every name that an import may mean as a module."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(ROOMS):
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from named(child)


def is_module(name: str) -> bool:
    """Whether it is a module with code of its own; a package's `__init__` only lists what is in it."""
    parent, _, last = name.rpartition(".")
    if name in ROOMS or not getattr(sys.modules.get(parent), "__path__", None):
        return False
    found = importlib.util.find_spec(name)
    return bool(last) and found is not None and found.submodule_search_locations is None


@pytest.mark.parametrize("loaded", BUILTIN, ids=lambda loaded: repr(loaded.component))
def test_the_code_of_a_component_is_all_of_its_modules(loaded: Loaded) -> None:
    component = loaded.component
    wanted = imported(component.factory.__module__)
    missing, unknown = wanted - set(component.code), set(component.code) - wanted
    assert not missing, f"code=[...] lacks {sorted(missing)}"
    assert not unknown, f"code=[...] has {sorted(unknown)}, which the module does not import"
    assert component.code_digest


def test_code_that_is_not_imported_is_an_error() -> None:
    @api.batch_step(code=["ftspec.builtin.no_such_module"])
    def step() -> api.BatchStep:
        """Nothing."""
        return lambda batch: batch

    with pytest.raises(api.FtspecError, match=r"'step'.*ftspec\.builtin\.no_such_module"):
        step.code_digest  # noqa: B018
