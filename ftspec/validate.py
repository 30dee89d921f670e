"""From a spec file to a Spec, or to everything that is wrong with it: all stages that can be judged, in file order."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ftspec import crosscheck, installed, items, problems, references, requires, retirement, schema, tables
from ftspec import document as yaml_document
from ftspec import overrides as changes
from ftspec.components import TITLES, Component
from ftspec.document import Document
from ftspec.errors import FtspecError, Problem, SpecError, SpecPath
from ftspec.inputs import is_url
from ftspec.jobs import Request
from ftspec.references import mask, secret_names
from ftspec.registry import Registry
from ftspec.spec import Item, Spec
from ftspec.wording import did_you_mean

TUNER_KEYS = {"provider", "model", "method", "hyperparameters"}


class Loaded(msgspec.Struct, frozen=True):
    """A sound spec, the document it came from, and what is worth a warning."""

    spec: Spec
    document: Document
    warnings: tuple[Problem, ...] = ()


def load_spec(
    file: Path, registry: Registry, overrides: Iterable[str] = (), *, retires_within: float | None = None
) -> Loaded:
    """Read, check and freeze a spec; offline, with every secret unset. Raises SpecError with every problem.

    Args:
        retires_within: a model or tuner that ends in so many days is an error; otherwise a warning, whenever it ends.
    """
    return _load(yaml_document.read(file), registry, overrides, retires_within=retires_within)


def load_text(text: str, file: Path, registry: Registry) -> Loaded:
    """Like `load_spec`, of a text that is going to stand in `file`."""
    return _load(yaml_document.read_text(text, file), registry, ())


def load_again(text: str, file: Path, registry: Registry, overrides: Iterable[str] = ()) -> Loaded:
    """A spec that has been run, from its text; `file` is where it stood, and what its paths start from.

    Only its shape is checked: its job can be looked at and cancelled when data have moved or a waiver has ended.
    """
    return _load(yaml_document.read_text(text, file), registry, overrides, (_schema,))


def _load(
    document: Document,
    registry: Registry,
    overrides: Iterable[str],
    stages: Sequence[_Judge] | None = None,
    retires_within: float | None = None,
) -> Loaded:
    document, missing = _filled(document, overrides)
    found = [*document.problems, *missing]
    if document.usable:
        found += _check(document, registry, found, STAGES if stages is None else stages, retires_within)
    found = problems.in_order(problems.masked(document.locate(problem)) for problem in found)
    if any(problem.severity == "error" for problem in found):
        raise SpecError(found, document)
    return Loaded(schema.to_spec(document, registry), document, tuple(found))


def _filled(document: Document, overrides: Iterable[str]) -> tuple[Document, list[Problem]]:
    """The document with overrides and environment in it, and what of the environment is not set."""
    if not document.usable:
        return document, []
    document = changes.apply(document, overrides)
    filled = references.fill_environment(document.data)
    # From here on nothing that is printed can show a secret's value, also when it came in as an environment variable.
    mask.names.update(secret_names(filled.value))
    missing = [
        Problem(message=f"environment variable {name} is not set", hint=f"set it, e.g. `export {name}=...`", path=path)
        for path, name in filled.missing
    ]
    return msgspec.structs.replace(document, data=filled.value, written=filled.written), missing


class _Stage(msgspec.Struct, frozen=True):
    """What a stage looks at: the document, what is installed, and the items that nothing is known to be wrong with."""

    document: Document
    registry: Registry
    sound: list[Item]
    faulty: set[SpecPath]
    retires_within: float | None = None

    @property
    def folder(self) -> Path:
        return self.document.file.absolute().parent


_Judge = Callable[[_Stage], Iterable[Problem]]


def _check(
    document: Document,
    registry: Registry,
    earlier: list[Problem],
    stages: Sequence[_Judge],
    retires_within: float | None,
) -> list[Problem]:
    """What every stage says; none speaks about a place that an earlier one has already complained about."""
    newer = requires.version_problem(document.data)
    if newer:
        return [newer]
    found: list[Problem] = []
    for stage in stages:
        faults = [problem for problem in (*earlier, *found) if problem.severity == "error"]
        sound = _sound_items(document, registry, faults)
        seen = _Stage(document, registry, sound, {problem.path for problem in faults}, retires_within)
        found += _apart(stage(seen), faults)
    return found


def _secrets(stage: _Stage) -> Iterable[Problem]:
    return crosscheck.secrets(stage.document, stage.registry)


def _schema(stage: _Stage) -> Iterable[Problem]:
    return schema.check(stage.document, stage.registry)


def _names(stage: _Stage) -> Iterable[Problem]:
    yield from crosscheck.names(stage.document)
    yield from crosscheck.shapes(stage.document, stage.registry)
    yield from crosscheck.needs(stage.document, stage.registry)


def _apart(found: Iterable[Problem], earlier: Iterable[Problem]) -> list[Problem]:
    """The problems that do not follow from an earlier one: not at or below its place, nor about all that it is in."""
    taken = {problem.path for problem in earlier if problem.path}
    around = {path[:end] for path in taken for end in range(1, len(path))}
    return [
        problem
        for problem in found
        if not any(problem.path[:end] in taken for end in range(1, len(problem.path) + 1))
        and (problem.on == "key" or problem.path not in around)
    ]


def _all_items(document: Document, registry: Registry) -> Iterator[Item]:
    """The document's items, and the providers that options of theirs name."""
    for item in schema.items(document.data):
        yield item
        if item.name in registry.components[item.kind]:
            for path, value in items.references(item, registry.get(item.kind, item.name)):
                with contextlib.suppress(ValueError):  # `_references` says so
                    yield items.referred(value, path)


def _sound_items(document: Document, registry: Registry, faults: list[Problem]) -> list[Item]:
    """The items that nothing is known to be wrong with."""
    at = [problem.path for problem in faults]
    return [
        item
        for item in _all_items(document, registry)
        if item.name in registry.components[item.kind]
        and not any(path[: len(item.path)] == item.path or path == item.path[: len(path)] for path in at if path)
    ]


def _references(stage: _Stage) -> Iterator[Problem]:
    """An option that names a provider must name one that is installed."""
    known = stage.registry.components["provider"]
    for item in stage.sound:
        for path, value in items.references(item, stage.registry.get(item.kind, item.name)):
            try:
                name = items.referred(value, path).name
            except ValueError as error:
                yield Problem(message=str(error), hint=f"installed are {', '.join(sorted(known))}", path=path)
                continue
            if name not in known:
                hint = did_you_mean(name, known) or f"installed are {', '.join(sorted(known))}"
                yield Problem(message=f"no provider named '{name}' is installed", hint=hint, path=path)


def _packages(stage: _Stage) -> Iterator[Problem]:
    """A warning, and no error: a spec can be checked where it cannot be run."""
    for item in stage.sound:
        component = stage.registry.get(item.kind, item.name)
        lacking = installed.lacking(component, item.options)
        if lacking:
            message = f"{TITLES[item.kind]} '{item.name}' cannot run here without {', '.join(lacking)}"
            hint = installed.remedy(lacking)
            yield Problem(message=message, hint=hint, path=item.path, severity="warning")


def _untried(stage: _Stage) -> Iterator[Problem]:
    """A warning for what its authors call experimental."""
    for item in stage.sound:
        component = stage.registry.get(item.kind, item.name)
        if component.experimental:
            message = f"{TITLES[item.kind]} '{item.name}' is experimental: {component.experimental}"
            hint = "try it with little data and a small budget first"
            yield Problem(message=message, hint=hint, path=item.path, severity="warning")


def _rules(stage: _Stage) -> Iterator[Problem]:
    """Each component's own rules about what does not go together, with defaults filled in and paths absolute."""
    for item in stage.sound:
        component = stage.registry.get(item.kind, item.name)
        yield from _ignored(item, component)
        try:
            options = component.convert(items.absolute(item.options, component, stage.folder))
            said = [entry for rule in component.rules for entry in rule(options)]
        except msgspec.ValidationError as error:
            yield _not_convertible(item, error)
        except Exception as error:  # a plugin's rule must not take `validate` along
            yield _broken(item, stage.registry, error)
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
    if item.kind == "cleaner" and item.on_error != "fail" and component.level != "row":
        message = (
            f"'on_error' works on row steps; '{item.name}' is a {component.level} step, which fails on no single row"
        )
        yield Problem(message=message, hint="remove it", path=(*item.path, "on_error"), on="key")


def _inside(item: Item, path: SpecPath) -> SpecPath:
    return (*item.path, item.name, *path)


def _not_convertible(item: Item, error: Exception) -> Problem:
    message = f"{TITLES[item.kind]} '{item.name}': {error}"
    return Problem(message=message, hint=f"see `ftspec plugins show {item.name}`", path=item.path)


def _broken(item: Item, registry: Registry, error: Exception) -> Problem:
    if isinstance(error, FtspecError):
        return Problem(message=f"{TITLES[item.kind]} '{item.name}': {error.message}", hint=error.hint, path=item.path)
    origin = registry.components[item.kind][item.name].origin
    message = f"{TITLES[item.kind]} '{item.name}' cannot judge these options: {type(error).__name__}: {error}"
    return Problem(message=message, hint=f"report it to the authors of {origin}", path=item.path)


def _files(stage: _Stage) -> Iterator[Problem]:
    """Every file that an option names must exist; a glob must match at least one."""
    document, folder = stage.document, stage.folder
    for item in stage.sound:
        for path, text in _paths(item, stage.registry.get(item.kind, item.name)):
            where = _inside(item, path)
            # What the environment says is not shown, only the reference to it.
            written = document.written.get(where, text)
            if item.kind == "source" and is_url(text):
                continue  # asked for when the run is planned
            if not text:
                yield Problem(message="the path is empty", hint="name a file, relative to the spec", path=where)
            elif not _exists(folder, text):
                yield Problem(message=f"no such file: {written}", hint=_file_hint(folder, text, document), path=where)
            elif _is_stream(folder / text):
                hint = "write what it yields into a file: data are read more than once"
                yield Problem(message=f"neither a file nor a folder: {written}", hint=hint, path=where)


def _paths(item: Item, component: Component) -> list[tuple[SpecPath, str]]:
    try:
        return list(items.paths(item.options, component))
    except msgspec.ValidationError:
        return []  # `_rules` says so


def _exists(folder: Path, text: str) -> bool:
    if os.path.exists(folder / text):  # noqa: PTH110  # unlike Path.exists it takes any text without raising
        return True
    matches = glob.iglob(text, root_dir=folder, recursive=True)  # noqa: PTH207  # Path.glob refuses absolute patterns
    return glob.has_magic(text) and next(matches, None) is not None


def _is_stream(path: Path) -> bool:
    """A pipe, a device or a socket: reading one may never end, or yields something else the next time."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _file_hint(folder: Path, text: str, document: Document) -> str:
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


def _model(stage: _Stage) -> Iterator[Problem]:
    """A model that is written as a path must be there."""
    document = stage.document
    model = document.data.get("model") if isinstance(document.data, dict) else None
    path: SpecPath = ("model", "id") if isinstance(model, dict) else ("model",)
    name = model.get("id") if isinstance(model, dict) else model
    if isinstance(name, str) and schema.is_path(name) and not _exists(stage.folder, name):
        written = document.written.get(path, name)
        hint = "a folder is relative to the spec; a hub id has no './' or '/' in front"
        yield Problem(message=f"no such model folder: {written}", hint=hint, path=path)


def _tuner(stage: _Stage) -> Iterator[Problem]:
    """What the provider says about the request; it is built with its secrets left as references."""
    item = next((item for item in stage.sound if item.path == ("provider",)), None)
    if item is None or any(path[:1] in {(key,) for key in TUNER_KEYS} for path in stage.faulty):
        return
    if not isinstance(stage.document.data, dict) or "model" not in stage.document.data:
        return
    try:
        options = items.absolute(item.options, component := stage.registry.get("provider", item.name), stage.folder)
        yield from component.build(options).problems(_request(stage, item))
    except Exception as error:  # a plugin must not take `validate` along
        yield _broken(item, stage.registry, error)


def _ends(stage: _Stage) -> Iterator[Problem]:
    """Tables of prices that cannot be read, and what they say of the end of the model and its tuner."""
    data = stage.document.data
    named = schema.costs_of(data).prices if isinstance(data, dict) and ("costs",) not in stage.faulty else ()
    files = []
    for index, name in enumerate(named):
        if (stage.folder / name).is_file():
            files.append(stage.folder / name)
        else:
            hint = _file_hint(stage.folder, name, stage.document)
            yield Problem(message=f"no such file: {name}", hint=hint, path=("costs", "prices", index))
    try:
        known = tables.read(files)
    except SpecError as error:
        yield from error.problems
        return
    item = next((item for item in stage.sound if item.path == ("provider",)), None)
    if item is None or not isinstance(data, dict) or "model" not in data or ("model",) in stage.faulty:
        return
    with contextlib.suppress(Exception):  # `_tuner` says what is wrong with it
        options = items.absolute(item.options, component := stage.registry.get("provider", item.name), stage.folder)
        endpoint = component.build(options).endpoint
        model = schema.model_of(data, stage.document).id
        yield from retirement.problems(known, endpoint, model, stage.retires_within)


def _following(stage: _Stage) -> Iterator[Problem]:
    """What the provider's jobs cannot do is not asked of them."""
    item = next((item for item in stage.sound if item.path == ("provider",)), None)
    if item is None or not isinstance(stage.document.data, dict):
        return
    factory = stage.registry.get("provider", item.name).factory
    for index, named in enumerate(_entries(stage.document.data.get("eval"), "models")):
        if isinstance(named, dict) and "checkpoints" in named and not hasattr(factory, "checkpoints"):
            message = f"jobs of provider '{item.name}' keep no checkpoints"
            yield Problem(message=message, hint="remove this entry", path=("eval", "models", index, "checkpoints"))
    wanted = stage.document.data.get("follow")
    if not isinstance(wanted, dict):
        return
    if "early_stopping" in wanted and not hasattr(factory, "stop"):
        message = f"provider '{item.name}' cannot end a job early and keep its model"
        path: SpecPath = ("follow", "early_stopping")
        yield Problem(message=message, hint="remove `early_stopping`, or lower `epochs`", path=path, on="key")
    if wanted.get("checkpoint") == "best" and not hasattr(factory, "checkpoints"):
        message = f"jobs of provider '{item.name}' keep no checkpoints"
        yield Problem(message=message, hint="write `checkpoint: last`", path=("follow", "checkpoint"))


def _entries(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _request(stage: _Stage, provider: Item) -> Request:
    """The request of what will be the spec, though parts that the tuner never sees may still be faulty."""
    data, file = stage.document.data, stage.document.file
    method, method_options = schema.method_of(data)
    return items.request_of(
        Spec(
            version=1,
            name="",
            folder=stage.folder,
            file=file,
            sources=(),
            provider=provider,
            model=schema.model_of(data, stage.document),
            method=method,
            method_options=method_options,
            hyperparameters=data.get("hyperparameters", {}),
        ),
        stage.registry,
    )


STAGES: Sequence[_Judge] = (
    _secrets,
    _schema,
    _names,
    _references,
    _packages,
    _untried,
    _rules,
    _files,
    _model,
    _tuner,
    _following,
    _ends,
)
"""What judges a spec that is to be run, in this order."""
