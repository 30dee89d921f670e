"""Find plugins, load them guarded, attribute every component to its distribution, index them.

No global manager: `load()` returns a Registry and it is passed on. Two environment variables help when a plugin
misbehaves: FTSPEC_DISABLE_PLUGINS (comma-separated entry names, or `all`; the builtin one stays) and
FTSPEC_TRACE_PLUGINS=1 (every hook call to standard error).
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
import pluggy

from ftspec import hookspecs
from ftspec.common import distributions
from ftspec.common.errors import FtspecError, PluginError
from ftspec.common.faults import kind_of, raised
from ftspec.common.wording import did_you_mean, suggestion, with_article
from ftspec.contracts.components import KINDS, TITLES, Component, Kind
from ftspec.contracts.verifying import verify

GROUP = "ftspec"
BUILTIN = "builtin"
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("ftspec_"))
HOOK_OF: dict[Kind, str] = {kind: f"ftspec_{kind}s" for kind in KINDS}


class Loaded(msgspec.Struct, frozen=True):
    """A component with where it came from."""

    component: Component
    distribution: str
    version: str
    entry: str

    @property
    def origin(self) -> str:
        return f"{self.distribution}[{self.entry}]"


class Found(msgspec.Struct, frozen=True):
    """An entry point that has been found, and not loaded yet."""

    entry: importlib.metadata.EntryPoint
    distribution: str
    version: str

    @property
    def origin(self) -> str:
        return f"{self.distribution}[{self.entry.name}]"


class Registry:
    """What is installed: components by kind and name, and the plugin manager for the other hooks."""

    def __init__(self) -> None:
        self.manager = _manager()
        self.components: dict[Kind, dict[str, Loaded]] = {kind: {} for kind in KINDS}
        self.plugins: list[Found] = []

    def get(self, kind: Kind, name: str) -> Component:
        """The component, or PluginError naming near misses."""
        try:
            return self.components[kind][name].component
        except KeyError:
            hint = did_you_mean(name, self.components[kind]) or "see `ftspec plugins`"
            raise PluginError(f"no {TITLES[kind]} named '{name}' is installed", hint) from None

    def all(self) -> Iterator[Loaded]:
        for kind in KINDS:
            yield from (self.components[kind][name] for name in sorted(self.components[kind]))

    def add(self, found: Found, plugin: object) -> None:
        """Register one plugin, all of it or nothing. Raises PluginError naming the culprit."""
        if self.manager.is_registered(plugin):
            said = f"plugin {found.origin} is what {self.manager.get_name(plugin)} is already"
            raise PluginError(said, f"report it to the authors of {found.distribution}")
        try:
            for kind, components in _tried(self.manager, found, plugin).items():
                for name, component in components.items():
                    self._claim(found, kind, name, component)
        except PluginError:
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            raise
        self.plugins.append(found)

    def callers(self, hook: str, **facts: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
        """The plugins that have a hook, by name, each with a call of its own: one that raises would keep pluggy from
        calling the others."""
        return _callers(self.manager, hook, facts)

    def _claim(self, found: Found, kind: Kind, name: str, component: Component) -> None:
        taken = self.components[kind].get(name)
        if taken is not None:
            raise PluginError(
                f"two plugins offer {with_article(TITLES[kind])} named '{name}': {taken.origin} and {found.origin}",
                f"uninstall one, or set FTSPEC_DISABLE_PLUGINS={found.entry.name}",
            )
        self.components[kind][name] = Loaded(component, found.distribution, found.version, found.entry.name)


def load() -> Registry:
    """Load every installed plugin. Raises PluginError on the first that cannot be used, naming it."""
    registry = Registry()
    for found in find():
        registry.add(found, _import(found))
    registry.manager.check_pending()
    return registry


def find() -> list[Found]:
    """Installed entry points, builtin first, then by distribution and name; metadata only, nothing is imported."""
    disabled = {name.strip() for name in os.environ.get("FTSPEC_DISABLE_PLUGINS", "").split(",")}
    found = {
        (entry.name, entry.value): _attributed(entry)
        for entry in importlib.metadata.entry_points(group=GROUP)
        if entry.name == BUILTIN or not disabled & {entry.name, "all"}
    }
    return sorted(found.values(), key=lambda f: (f.entry.name != BUILTIN, f.distribution, f.entry.name))


def _attributed(entry: importlib.metadata.EntryPoint) -> Found:
    return Found(entry, *(("?", "?") if entry.dist is None else distributions.named(entry.dist)))


def _import(found: Found) -> object:
    try:
        return found.entry.load()
    except (Exception, SystemExit) as error:  # a module that ends the process at import must not end ours
        raise PluginError(
            f"plugin {found.origin} cannot be loaded: {_told(error, found)}",
            f"upgrade or uninstall {found.distribution}, or set FTSPEC_DISABLE_PLUGINS={found.entry.name}",
        ) from error


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("ftspec")
    manager.add_hookspecs(hookspecs)
    return manager


def _callers(
    manager: pluggy.PluginManager, hook: str, facts: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    call = _traced if os.environ.get("FTSPEC_TRACE_PLUGINS", "") not in {"", "0"} else _called
    for one in getattr(manager.hook, hook).get_hookimpls():
        yield one.plugin_name, partial(call, hook, one, {name: facts[name] for name in one.argnames})


def _called(hook: str, one: pluggy.HookImpl, facts: Mapping[str, Any]) -> Any:
    return one.function(**facts)


def _traced(hook: str, one: pluggy.HookImpl, facts: Mapping[str, Any]) -> Any:
    said = ", ".join(f"{name}={value!r}" for name, value in facts.items())
    sys.stderr.write(f"{one.plugin_name}: {hook}({said})\n")
    try:
        answer = one.function(**facts)
    except BaseException as error:
        sys.stderr.write(f"  raised {error!r}\n")
        raise
    sys.stderr.write(f"  returned {answer!r}\n")
    return answer


def _tried(manager: pluggy.PluginManager, found: Found, plugin: object) -> dict[Kind, Mapping[str, Component]]:
    """Register the plugin, and ask what it offers."""
    try:
        _verify_hooks(plugin)
        manager.register(plugin, name=found.origin)
        manager.check_pending()
        return {kind: _offered(manager, found, kind) for kind in KINDS}
    except (Exception, SystemExit) as error:
        hint = getattr(error, "hint", "") or f"report it to the authors of {found.distribution}"
        said = str(error) if isinstance(error, FtspecError | pluggy.PluginValidationError) else _told(error, found)
        raise PluginError(f"plugin {found.origin} breaks its contract: {said}", hint) from error


def _told(error: BaseException, found: Found) -> str:
    """What a plugin's code raised, and where."""
    return f"{type(error).__name__}: {error}{raised(error, found.entry.module)}"


def _verify_hooks(plugin: object) -> None:
    """Raise PluginError for a hook that is misspelt, or that nobody marked: pluggy passes over that one in silence."""
    for name in dir(plugin):
        marks = getattr(getattr(plugin, name, None), "ftspec_impl", None)
        if marks is None and name in HOOKS:
            raise PluginError(f"{name} is not marked as a hook", "write `@api.hookimpl` above it")
        if marks and name not in HOOKS and not marks["optionalhook"] and not marks["specname"]:
            raise PluginError(f"there is no hook '{name}'", suggestion(name, HOOKS))


def _offered(manager: pluggy.PluginManager, found: Found, kind: Kind) -> dict[str, Component]:
    """The plugin's components of a kind. Their options are built now, so that a fault is found at load and names it;
    not those of ftspec's own, which its tests have tried: all of them would be a fifth of what `validate` takes."""
    offered = dict[str, Component]()
    for plugin, call in _callers(manager, HOOK_OF[kind], {}):
        if plugin != found.origin:
            continue
        components = call()
        if not isinstance(components, Mapping):
            given = "None" if components is None else with_article(type(components).__name__)
            raise PluginError(f"{HOOK_OF[kind]}() returned {given}; a mapping of names to components is wanted")
        for name, component in components.items():
            if not isinstance(name, str) or not name:
                raise PluginError(f"{HOOK_OF[kind]}() offers {component!r} under {name!r}, which is no name")
            if not isinstance(component, Component) or component.kind != kind:
                given = repr(component) if isinstance(component, Component) else kind_of(component)
                raise PluginError(
                    f"{HOOK_OF[kind]}() offers '{name}', which is not {with_article(kind)}: {given}",
                    f"make it one with `@api.{'text_step' if kind == 'cleaner' else kind}` or its like",
                )
            component = component.called(name)
            if found.entry.name != BUILTIN:
                verify(component)
            offered[name] = component
    return offered
