"""From a spec file to a Spec, or to everything that is wrong with it: all that can be judged, in file order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from ftspec import items, problems
from ftspec.common import references
from ftspec.common.errors import Problem, SpecError
from ftspec.common.references import mask, secret_names
from ftspec.document import document as yaml_document
from ftspec.document.document import Document
from ftspec.registry import Registry
from ftspec.spec import Item, Spec
from ftspec.validation import crosscheck, evalcheck, itemcheck, reading, requires, schema, secretcheck, tunercheck
from ftspec.validation import overrides as changes
from ftspec.validation.candidate import Candidate


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
    judges: Sequence[_Judge] | None = None,
    retires_within: float | None = None,
) -> Loaded:
    document, missing = _filled(document, overrides)
    found = [*document.problems, *missing]
    if document.usable:
        found += _check(document, registry, found, JUDGES if judges is None else judges, retires_within)
    found = problems.in_order(problems.masked(document.locate(problem)) for problem in found)
    if any(problem.severity == "error" for problem in found):
        raise SpecError(found, document)
    return Loaded(reading.to_spec(document), document, tuple(found))


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


_Judge = Callable[[Candidate], Iterable[Problem]]


def _check(
    document: Document,
    registry: Registry,
    earlier: list[Problem],
    judges: Sequence[_Judge],
    retires_within: float | None,
) -> list[Problem]:
    """What every judge says; none speaks about a place that an earlier one has already complained about."""
    newer = requires.version_problem(document.data)
    if newer:
        return [newer]
    found: list[Problem] = []
    for judge in judges:
        faults = [problem for problem in (*earlier, *found) if problem.severity == "error"]
        sound = _sound_items(document, registry, faults)
        seen = Candidate(document, registry, sound, {problem.path for problem in faults}, retires_within)
        found += _apart(judge(seen), faults)
    return found


def _schema(candidate: Candidate) -> Iterable[Problem]:
    return schema.check(candidate.document, candidate.registry)


def _names(candidate: Candidate) -> Iterable[Problem]:
    yield from crosscheck.names(candidate.document)
    yield from crosscheck.shapes(candidate.document, candidate.registry)
    yield from evalcheck.needs(candidate.document, candidate.registry)


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
    for item in reading.items(document.data):
        yield item
        if item.name in registry.components[item.kind]:
            for path, value in items.references(item, registry.get(item.kind, item.name)):
                with contextlib.suppress(ValueError):  # `itemcheck.providers` says so
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


JUDGES: Sequence[_Judge] = (
    secretcheck.secrets,
    secretcheck.in_plain,
    _schema,
    _names,
    itemcheck.providers,
    itemcheck.packages,
    itemcheck.untried,
    itemcheck.rules,
    itemcheck.files,
    tunercheck.model,
    tunercheck.tuner,
    tunercheck.following,
    tunercheck.ends,
)
"""What judges a spec that is to be run, in this order."""
