"""From an Item of the spec to the thing it names: paths absolute, secrets filled in, factory called, faults named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ftspec import installed
from ftspec.common import faults
from ftspec.common.errors import FtspecError, PluginFault, Problem, SpecError, SpecPath
from ftspec.common.faults import Culprit
from ftspec.common.jobs import Request
from ftspec.common.references import resolve
from ftspec.contracts import products
from ftspec.contracts.components import TITLES, Component
from ftspec.contracts.graders import Unjudged
from ftspec.contracts.options import MARK, names_provider
from ftspec.contracts.provider import Provider
from ftspec.contracts.tuner import Tuner
from ftspec.files.fetching import is_url
from ftspec.layout.shapes import Shape
from ftspec.registry import Registry
from ftspec.spec import Item, Spec


def build(item: Item, registry: Registry, folder: Path, tuner: Tuner | None = None, *, secrets: bool = True) -> Any:
    """Call the item's factory with its options, ready for use. Raises PluginError when the factory does not work.

    A provider is given references to secrets as they are written, be it the item itself or named by an option of it;
    and all are without `secrets`: a plan needs none.
    `tuner` is for a factory that asks for it."""
    component = registry.get(item.kind, item.name)
    options = absolute(item.options, component, folder)
    if secrets and item.kind != "provider":  # which calls `api.resolve` itself when it needs one
        as_written = {path[-1] for path, _ in references(item, component)}
        filled = resolve({name: value for name, value in options.items() if name not in as_written}, sent=False)
        options = {name: filled.get(name, value) for name, value in options.items()}
    with guarded(item, registry):
        made = component.build(options, tuner)
    return products.held(made, component, blame(item, registry))


def blame(item: Item, registry: Registry) -> Culprit:
    """Whose fault it is where the component does not do what it should."""
    return Culprit(culprit(item, registry), reported(item, registry), partial(guarded, item, registry))


@contextmanager
def guarded(item: Item, registry: Registry, doing: str = "") -> Iterator[None]:
    """Turn an exception of a component's own into a PluginFault that names it, and where; ftspec's own pass.

    A module that is not there because a declared dependency is not installed is nobody's bug: it says what to install.
    Nor is what the operating system refuses.

    Args:
        doing: the method that is called, where it is one of several.
    """
    try:
        yield
    except (FtspecError, Unjudged):
        raise
    except (Exception, SystemExit) as error:  # code that ends the process must not end ours
        _lacking(item, registry, error)
        if faults.is_machines(error):
            raise
        where = faults.raised(error, registry.get(item.kind, item.name).factory.__module__)
        raise PluginFault(
            f"{culprit(item, registry)} failed{f' in {doing}' if doing else ''}: "
            f"{type(error).__name__}: {error}{where}",
            reported(item, registry),
        ) from error


def reported(item: Item, registry: Registry) -> str:
    """What to do about a fault of a component."""
    return f"report it to the authors of {registry.components[item.kind][item.name].distribution}"


@contextmanager
def placed(path: SpecPath) -> Iterator[None]:
    """Turn an FtspecError that says of nothing where it is into a problem at that place of the spec."""
    try:
        yield
    except FtspecError as error:
        if type(error) is not FtspecError:
            raise
        place = (*path, error.option) if error.option else path
        raise SpecError([Problem(message=error.message, hint=error.hint, path=place)]) from error


@contextmanager
def gathered(problems: list[Problem]) -> Iterator[None]:
    """Keep what is wrong with the spec for later: others may have something to tell too."""
    try:
        yield
    except SpecError as error:
        problems += error.problems


def _lacking(item: Item, registry: Registry, error: BaseException) -> None:
    """Raises FtspecError where a module is missing and so is one of the component's declared dependencies."""
    component = registry.get(item.kind, item.name)
    missing = installed.lacking(component, item.options) if isinstance(error, ImportError) else {}
    if missing:
        message = f"{TITLES[item.kind]} '{item.name}' cannot run here without {', '.join(missing)}"
        raise FtspecError(message, installed.remedy(missing)) from error


def culprit(item: Item, registry: Registry) -> str:
    """How an error names a component: kind, name, and the distribution that it came with."""
    return f"{TITLES[item.kind]} '{item.name}' of {registry.components[item.kind][item.name].origin}"


def provider_of(spec: Spec, registry: Registry) -> Provider:
    """The spec's provider, not yet attached to a folder."""
    provider: Provider = build(spec.provider, registry, spec.folder)
    return provider


class Tuned(NamedTuple):
    """What a spec tunes, by names: what can be sent to a worker."""

    provider: Item
    request: Request

    def tuner(self, registry: Registry, folder: Path) -> Tuner:
        """The same as steps and checks may ask it; the provider is attached to no folder."""
        return Tuner(build(self.provider, registry, folder), self.request)


def shape_of(spec: Spec, registry: Registry) -> Shape:
    """What the rows are that the spec's method trains on."""
    return registry.get("provider", spec.provider.name).methods[spec.method].data


def request_of(spec: Spec, registry: Registry) -> Request:
    """The spec's request, defaults filled in, before any data is known."""
    method = registry.get("provider", spec.provider.name).methods[spec.method]
    return Request(
        model=spec.model,
        method=spec.method,
        method_options=msgspec.to_builtins(msgspec.convert(spec.method_options, method.options)),
        hyperparameters=msgspec.to_builtins(msgspec.convert(spec.hyperparameters, method.hyperparameters)),
    )


def absolute(options: Mapping[str, Any], component: Component, folder: Path) -> dict[str, Any]:
    """The options with every Path made absolute; a source's may be a URL."""
    given = paths(options, component)
    marked = {tuple(path) for path, text in given if component.kind != "source" or not is_url(text)}
    return {name: _absolute(value, (name,), marked, folder) for name, value in options.items()}


def paths(options: Mapping[str, Any], component: Component) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every Path in the options, defaults included: (where, text as written)."""
    return marked(options, component, "path")


def columns(item: Item, registry: Registry) -> Iterator[tuple[SpecPath, str]]:
    """Every column that the item's options name: (where in the spec, its name)."""
    component = registry.get(item.kind, item.name)
    for where, name in marked(item.options, component, "column"):
        yield (*item.path, item.name, *where), name
    for name in component.reads(component.convert(item.options)) if component.reads else ():
        says = [option for option, text in item.options.items() if isinstance(text, str) and name in text]
        yield (*item.path, item.name, *says[:1]), name


def referred(value: Any, path: SpecPath = ()) -> Item:
    """The provider that an option of type ProviderRef names. Raises ValueError for what names none."""
    if isinstance(value, str):
        return Item(kind="provider", name=value, path=path)
    if isinstance(value, Mapping) and len(value) == 1:
        name, options = next(iter(value.items()))
        if isinstance(options, Mapping):
            return Item(kind="provider", name=name, options=dict(options), path=path)
    raise ValueError("a provider is its name, or its name with options: `{openai: {base_url: ...}}`")


def references(item: Item, component: Component) -> Iterator[tuple[SpecPath, Any]]:
    """Every provider that the item's options name: (where in the spec, as written)."""
    properties = component.schema["$defs"][component.options.__name__].get("properties", {})
    for name, value in item.options.items():
        if value is not None and names_provider(properties.get(name, {})):
            yield (*item.path, item.name, name), value


def marked(options: Mapping[str, Any], component: Component, mark: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string in the options, defaults included, whose annotation bears the mark: (where, text as written)."""
    schema = component.schema
    converted = msgspec.to_builtins(component.convert(options))
    yield from _marked(converted, {"$ref": schema["$ref"]}, schema["$defs"], mark, ())


def _marked(
    value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], mark: str, where: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for alternative in schema.get("anyOf", ()):
        yield from _marked(value, alternative, definitions, mark, where)
    if isinstance(value, str) and schema.get(MARK) == mark:
        yield where, value
    elif isinstance(value, Mapping):
        rest = schema.get("additionalProperties")
        for key, entry in value.items():
            inner = schema.get("properties", {}).get(key, rest if isinstance(rest, Mapping) else {})
            yield from _marked(entry, inner, definitions, mark, (*where, key))
            yield from _marked(key, schema.get("propertyNames", {}), definitions, mark, (*where, key))
    elif isinstance(value, list | tuple) and isinstance(schema.get("items"), Mapping):
        for index, entry in enumerate(value):
            yield from _marked(entry, schema["items"], definitions, mark, (*where, index))


def _absolute(value: Any, where: tuple[str | int, ...], marked: set[tuple[str | int, ...]], folder: Path) -> Any:
    if where in marked:
        return str(folder / value)
    if isinstance(value, Mapping):
        return {key: _absolute(entry, (*where, key), marked, folder) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(entry, (*where, index), marked, folder) for index, entry in enumerate(value)]
    return value
