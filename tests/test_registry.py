"""Plugins are found, loaded guarded, attributed, and taken whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import plugged
import pytest

from ftspec import registry
from ftspec.common.errors import PluginError, SpecError
from ftspec.common.progress import Quiet
from ftspec.common.records import Plan
from ftspec.observers import notify
from ftspec.run import planning
from ftspec.validation import validate
from ftspec.validation.unknowns import FIRST_PARTY

GOOD = """
from ftspec import api

def shout() -> api.BatchStep:
    '''Say it louder.'''
    return lambda batch: batch

@api.hookimpl
def ftspec_cleaners():
    return {"shout": api.batch_step(shout)}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, name: str, code: str, version: str = "1.2") -> None:
    """A distribution with one module of its own name and an entry point."""
    module = f"plugin_{name}"
    sys.modules.pop(module, None)
    plugged.install(site, name, name, module, code, version)


def refused(name: str) -> PluginError:
    with pytest.raises(PluginError) as caught:
        registry.load()
    assert f"{name}[{name}]" in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_component_is_attributed_to_its_distribution(site: Path) -> None:
    install(site, "loud", GOOD)
    loaded = registry.load().components["cleaner"]["shout"]
    assert (loaded.distribution, loaded.version, loaded.origin) == ("loud", "1.2", "loud[loud]")


CALLED = """
from ftspec import api

@api.batch_step
def shout(*, least: int = 1) -> api.BatchStep:
    '''Say it louder.'''
    return lambda batch: batch

@api.hookimpl
def ftspec_cleaners():
    return {"louder": shout, "loudest": shout}
"""


def test_a_component_is_called_what_its_hook_calls_it(site: Path) -> None:
    """Its options are then checked by the schema too, whatever its factory is called."""
    install(site, "loud", CALLED)
    loaded = registry.load()
    cleaners = loaded.components["cleaner"]
    assert [cleaners[name].component.name for name in ("louder", "loudest")] == ["louder", "loudest"]
    spec = "version: 1\nname: a\nsources: [{examples: {rows: [{a: b}]}}]\ncleaning: [{louder: {leest: 2}}]\n"
    with pytest.raises(SpecError) as raised:
        validate.load_text(spec, site / "spec.yaml", loaded)
    found = next(problem for problem in raised.value.problems if problem.line == 4)
    assert (found.column, "least" in f"{found.message} {found.hint}") == (22, True)


def test_loading_is_deterministic_and_builtin_comes_first(site: Path) -> None:
    install(site, "zeta", GOOD)
    install(site, "alpha", "")
    names = [found.entry.name for found in registry.find()]
    assert names[0] == "builtin"
    assert names[1:] == sorted(names[1:])


def test_two_claimants_of_one_name_are_both_named(site: Path) -> None:
    install(site, "alpha", GOOD)
    install(site, "beta", GOOD)
    assert "alpha[alpha]" in refused("beta").message


@pytest.mark.parametrize(
    "code", ["raise RuntimeError('no')", "import sys; sys.exit(2)", "import nowhere_to_be_found", "("]
)
def test_a_plugin_that_cannot_be_imported_is_named(site: Path, code: str) -> None:
    install(site, "broken", code)
    assert "FTSPEC_DISABLE_PLUGINS=broken" in refused("broken").hint


@pytest.mark.parametrize(
    "code",
    [
        GOOD.replace("return {", "raise SystemExit(3)\n    return {"),
        GOOD.replace("api.batch_step(shout)", "shout"),
        GOOD.replace("ftspec_cleaners", "ftspec_graders"),
        GOOD.replace("ftspec_cleaners", "ftspec_cleaner"),
        GOOD.replace("def shout()", "def shout(column: str = 'text')"),
    ],
)
def test_a_plugin_that_breaks_its_contract_is_named(site: Path, code: str) -> None:
    install(site, "broken", code)
    refused("broken")


def test_a_refused_plugin_leaves_no_hook_behind(site: Path) -> None:
    install(site, "broken", GOOD + "@api.hookimpl\ndef ftspec_event(run, event): pass\n" + "ftspec_sources = 1\n")
    install(
        site, "half", GOOD.replace("api.batch_step(shout)", "shout") + "@api.hookimpl\ndef ftspec_event(event): 1/0\n"
    )
    loaded = registry.Registry()
    for found in registry.find():
        if found.entry.name == "half":
            with pytest.raises(PluginError):
                loaded.add(found, registry._import(found))
    assert loaded.manager.hook.ftspec_event.get_hookimpls() == []


def test_a_plugin_that_is_there_already_is_refused_and_stays(site: Path) -> None:
    install(site, "good", GOOD)
    loaded = registry.Registry()
    [found] = [found for found in registry.find() if found.entry.name == "good"]
    plugin = registry._import(found)
    loaded.add(found, plugin)
    with pytest.raises(PluginError, match=r"is what .* is already"):
        loaded.add(found, plugin)
    assert loaded.manager.is_registered(plugin)


def test_a_switch_disables_plugins(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "broken", "raise RuntimeError('no')")
    monkeypatch.setenv("FTSPEC_DISABLE_PLUGINS", "other, broken")
    assert "strip" in registry.load().components["cleaner"]
    monkeypatch.setenv("FTSPEC_DISABLE_PLUGINS", "all")
    assert [found.entry.name for found in registry.find()] == ["builtin"]


WATCHING = """
@api.hookimpl
def ftspec_event(event): 1 / (event - 2)

@api.hookimpl
def ftspec_plan_ready(): return []
"""
TRACED = (
    "loud[loud]: ftspec_cleaners()\n  returned {'shout': <cleaner shout>}\n",
    "loud[loud]: ftspec_event(event=2)\n  raised ZeroDivisionError('division by zero')\n",
    "loud[loud]: ftspec_plan_ready()\n  returned []\n",
)


@pytest.mark.parametrize(("said", "traced"), [("1", True), ("0", False), ("", False)])
def test_a_switch_traces_plugins(
    said: str, traced: bool, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each call that core makes: those at load, of observers, and of who may veto."""
    install(site, "loud", GOOD + WATCHING)
    monkeypatch.setenv("FTSPEC_TRACE_PLUGINS", said)
    loaded = registry.load()
    notify(loaded, Quiet(), "ftspec_event", run=1, event=2)
    assert planning.objections(loaded, Plan(name="a", spec="b", run="c", digest="d", steps=())) == []
    found = capsys.readouterr().err
    assert [line in found for line in TRACED] == [traced] * len(TRACED), found
    assert bool(found) == traced


def test_what_first_party_plugins_offer_is_known_before_they_are_installed() -> None:
    offered = {
        (kind, name): found.distribution
        for kind, components in registry.load().components.items()
        for name, found in components.items()
        if found.distribution.startswith("ftspec-")
    }
    assert offered == {place: plugin for place, plugin in FIRST_PARTY.items() if plugin in offered.values()}
    assert ("engine", "ray") in offered
