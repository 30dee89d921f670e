"""What is wrong with an item by itself: providers and files that are not there, packages, its component's own rules."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ftspec import installed, items
from ftspec.common.errors import FtspecError, PluginError, Problem, SpecPath
from ftspec.common.wording import did_you_mean
from ftspec.contracts.components import TITLES, Clash, Component
from ftspec.document.document import Document
from ftspec.files import inputs
from ftspec.files.fetching import is_url
from ftspec.registry import Registry
from ftspec.spec import Item
from ftspec.validation.candidate import Candidate
from ftspec.validation.unknowns import whereabouts


def providers(candidate: Candidate) -> Iterator[Problem]:
    """An option that names a provider must name one that is installed."""
    known = candidate.registry.components["provider"]
    for item in candidate.sound:
        for path, value in items.references(item, candidate.registry.get(item.kind, item.name)):
            try:
                name = items.referred(value, path).name
            except ValueError as error:
                yield Problem(message=str(error), hint=f"installed are {', '.join(sorted(known))}", path=path)
                continue
            if name not in known:
                hint = whereabouts("provider", name, candidate.registry)
                yield Problem(message=f"no provider named '{name}' is installed", hint=hint, path=path)


def packages(candidate: Candidate) -> Iterator[Problem]:
    """A warning, and no error: a spec can be checked where it cannot be run."""
    for item in candidate.sound:
        component = candidate.registry.get(item.kind, item.name)
        lacking = installed.lacking(component, item.options)
        if lacking:
            message = f"{TITLES[item.kind]} '{item.name}' cannot run here without {', '.join(lacking)}"
            hint = installed.remedy(lacking)
            yield Problem(message=message, hint=hint, path=item.path, severity="warning")


def untried(candidate: Candidate) -> Iterator[Problem]:
    """A warning for what its authors call experimental."""
    for item in candidate.sound:
        component = candidate.registry.get(item.kind, item.name)
        if component.experimental:
            message = f"{TITLES[item.kind]} '{item.name}' is experimental: {component.experimental}"
            hint = "try it with little data and a small budget first"
            yield Problem(message=message, hint=hint, path=item.path, severity="warning")


def rules(candidate: Candidate) -> Iterator[Problem]:
    """Each component's own rules about what does not go together, with defaults filled in and paths absolute."""
    for item in candidate.sound:
        component = candidate.registry.get(item.kind, item.name)
        yield from _ignored(item, component)
        try:
            options = component.convert(items.absolute(item.options, component, candidate.folder))
        except msgspec.ValidationError as error:
            yield _not_convertible(item, error)
            continue
        try:
            said = msgspec.convert([entry for rule in component.rules for entry in rule(options)], list[Clash])
        except msgspec.ValidationError as error:
            message = f"a rule of it yields what is no api.Clash, (path, message): {error}"
            yield broken(item, candidate.registry, TypeError(message))
        except Exception as error:  # a plugin's rule must not take `validate` along
            yield broken(item, candidate.registry, error)
        else:
            yield from (
                Problem(
                    message=f"{TITLES[item.kind]} '{item.name}': {message}",
                    hint="see `ftspec plugins show " + item.name + "`",
                    path=_inside(item, path),
                )
                for path, message in said
            )


def _ignored(item: Item, component: Component) -> Iterator[Problem]:
    """A key that has no effect is an error, not a silent drop."""
    if item.kind == "cleaner" and item.on_error != "fail" and component.level not in ("row", "batch"):
        message = f"'on_error' works on row and batch steps; '{item.name}' is a {component.level} step"
        message += ", which fails on no single row"
        yield Problem(message=message, hint="remove it", path=(*item.path, "on_error"), on="key")


def _inside(item: Item, path: SpecPath) -> SpecPath:
    return (*item.path, item.name, *path)


def _not_convertible(item: Item, error: Exception) -> Problem:
    message = f"{TITLES[item.kind]} '{item.name}': {error}"
    return Problem(message=message, hint=f"see `ftspec plugins show {item.name}`", path=item.path)


def broken(item: Item, registry: Registry, error: Exception) -> Problem:
    if isinstance(error, PluginError):  # which says whose it is
        return Problem(message=error.message, hint=error.hint, path=item.path)
    if isinstance(error, FtspecError):
        return Problem(message=f"{TITLES[item.kind]} '{item.name}': {error.message}", hint=error.hint, path=item.path)
    origin = registry.components[item.kind][item.name].origin
    message = f"{TITLES[item.kind]} '{item.name}' cannot judge these options: {type(error).__name__}: {error}"
    return Problem(message=message, hint=f"report it to the authors of {origin}", path=item.path)


def files(candidate: Candidate) -> Iterator[Problem]:
    """Every file that an option names must exist; a glob must match at least one."""
    document, folder = candidate.document, candidate.folder
    for item in candidate.sound:
        for path, text in _paths(item, candidate.registry.get(item.kind, item.name)):
            where = _inside(item, path)
            # What the environment says is not shown, only the reference to it.
            written = document.written.get(where, text)
            if item.kind == "source" and is_url(text):
                continue  # asked for when the run is planned
            if not text:
                yield Problem(message="the path is empty", hint="name a file, relative to the spec", path=where)
            elif not exists(folder, text):
                yield Problem(message=f"no such file: {written}", hint=file_hint(folder, text, document), path=where)
            elif _is_stream(folder / text):
                hint = "write what it yields into a file: data are read more than once"
                yield Problem(message=f"neither a file nor a folder: {written}", hint=hint, path=where)


def _paths(item: Item, component: Component) -> list[tuple[SpecPath, str]]:
    try:
        return list(items.paths(item.options, component))
    except msgspec.ValidationError:
        return []  # `rules` says so


def exists(folder: Path, text: str) -> bool:
    """Whether there is such a file or folder, or anything that the pattern matches; `text` as the spec writes it."""
    if os.path.exists(folder / text):  # noqa: PTH110  # unlike Path.exists it takes any text without raising
        return True
    return glob.has_magic(text) and next(inputs.matches(folder / text), None) is not None


def _is_stream(path: Path) -> bool:
    """A pipe, a device or a socket: reading one may never end, or yields something else the next time."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def file_hint(folder: Path, text: str, document: Document) -> str:
    """What to do about a path that leads to nothing."""
    if "://" in text:
        return "files of a source may be at s3://, gs://, az:// and https:// addresses; others must be on this machine"
    if glob.has_magic(text):
        return "the pattern matches nothing; it is relative to the spec"
    parent, name = os.path.split(folder / text)
    with contextlib.suppress(OSError):
        if stat.S_ISLNK((folder / text).lstat().st_mode):
            return "it is a link that leads nowhere"
    try:
        near = did_you_mean(name, os.listdir(parent))  # noqa: PTH208  # names only
    except OSError:
        near = ""
    return near or f"paths are relative to the spec, in {document.file.parent}"
