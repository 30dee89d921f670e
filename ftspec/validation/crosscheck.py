"""What holds between the parts of a spec: names that must exist and be unique, shapes of rows, dates.

Every function takes a document that may be faulty elsewhere, and looks only at what has the right shape.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.common.errors import Problem, SpecPath
from ftspec.common.figures import plural
from ftspec.common.wording import did_you_mean
from ftspec.contracts.components import TITLES, Kind
from ftspec.document.document import Document
from ftspec.layout.shapes import Shape
from ftspec.registry import Registry
from ftspec.validation import evalcheck, lookup
from ftspec.validation.keys import DEFAULT_METHOD
from ftspec.validation.places import SIDES

SOON = 14
"""Days before its end from which on a waiver is warned of: time enough to mend the data, or to ask its owner."""

ROWS: dict[Shape, str] = {
    "chat": "conversations",
    "preference": "preference pairs",
    "reinforcement": "reinforcement items",
}


def names(document: Document) -> Iterator[Problem]:
    """Everything that one part of the spec says about another."""
    data = document.data
    if not isinstance(data, dict):
        return
    for path in (("sources",), ("cleaning",), ("checks",), ("gates",), ("eval", "prompts")):
        yield from _unique(path, [lookup.identity(item) for item in lookup.listed(data, *path)])
    yield from _unique(
        ("eval", "graders"),
        [lookup.identity(item) or lookup.name(item) for item in lookup.listed(data, "eval", "graders")],
    )
    yield from _sources(data)
    yield from _split(data)
    yield from _mix(data)
    yield from _follow(data)
    yield from evalcheck.names(data)
    yield from _waivers(data)


def shapes(document: Document, registry: Registry) -> Iterator[Problem]:
    """A format or a check for rows of another shape than those that the method trains on."""
    data = document.data
    provider = lookup.name(lookup.get(data, "provider"))
    method = lookup.name(lookup.get(data, "method") or DEFAULT_METHOD)
    known = registry.components["provider"].get(provider)
    wanted = known and known.component.methods.get(method)
    if not wanted:
        return
    places: list[tuple[Kind, SpecPath, Any]] = [("format", ("format",), lookup.get(data, "format"))]
    places += [("check", ("checks", index), check) for index, check in enumerate(lookup.listed(data, "checks"))]
    for kind, path, item in places:
        named = registry.components[kind].get(lookup.name(item))
        made = named.component.data if named else None
        if named and made and made != wanted.data:
            name = named.component.name
            yield Problem(
                message=f"{TITLES[kind]} '{name}' is for {ROWS[made]}; method '{method}' trains on {ROWS[wanted.data]}",
                hint=_shape_hint(kind, wanted.data, registry),
                path=(*path, name) if isinstance(item, dict) else path,
                on="key" if isinstance(item, dict) else "value",
            )


def _shape_hint(kind: Kind, shape: Shape, registry: Registry) -> str:
    if kind != "format":
        return "remove it"
    named = sorted(name for name, each in registry.components["format"].items() if each.component.data == shape)
    return f"use {' or '.join(map(repr, named))}, or another method"


def _unique(path: SpecPath, ids: list[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, identity in enumerate(ids):
        if identity in first:
            message = f"two items of '{path[-1]}' are called '{identity}': items {first[identity] + 1} and {index + 1}"
            yield Problem(message=message, hint="give each an `id` of its own", path=(*path, index, "id"))
        elif identity:
            first[identity] = index


def _sources(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What only prompts may have; and sources that are read as messages, which leave a format nothing to do."""
    for index, source in enumerate(lookup.listed(data, "sources")):
        if lookup.get(source, "as_is"):
            hint = "remove it: what is trained on is cleaned and formatted by the spec"
            yield Problem(message="'as_is' is for prompts", hint=hint, path=("sources", index, "as_is"), on="key")
    for place, items in (
        (("sources",), lookup.listed(data, "sources")),
        (("eval", "prompts"), lookup.listed(data, "eval", "prompts")),
    ):
        for index, item in enumerate(items if "format" in data else ()):
            if lookup.get(item, "read_as") not in (None, "auto", "none") and not lookup.get(item, "as_is"):
                message = "'read_as' makes messages of the rows, and so does the format"
                hint = "remove one of them"
                yield Problem(message=message, hint=hint, path=(*place, index, "read_as"), on="key")


def _split(data: Mapping[str, Any]) -> Iterator[Problem]:
    split = lookup.get(data, "split")
    sides = {side: lookup.get(split, side) for side in SIDES}
    named = {side: value for side, value in sides.items() if isinstance(value, str)}
    ids = [identity for identity in map(lookup.identity, lookup.listed(data, "sources")) if identity]
    for side, name in named.items():
        if name not in ids:
            hint = did_you_mean(name, ids) or "give that source an `id`, or write a share such as 0.1"
            yield Problem(message=f"no source has the id '{name}'", hint=hint, path=("split", side))
    if len(named) == 2 and len(set(named.values())) == 1:
        message = "validation and test are the same source"
        yield Problem(message=message, hint="what is tuned on would be what is tested on", path=("split", "test"))
    if named and set(named.values()) >= set(ids) and len(lookup.listed(data, "sources")) == len(set(named.values())):
        message = "no source is left to train on"
        yield Problem(message=message, hint="add one, or split by share, e.g. `test: 0.2`", path=("split",), on="key")
    shares = [value for value in sides.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    if sum(shares) >= 1 and all(0 <= share < 1 for share in shares):
        message = f"validation and test together take {sum(shares):g} of the rows: nothing is left to train on"
        yield Problem(message=message, hint="their sum must be below 1", path=("split",), on="key")


def _mix(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Weights that nothing looks at; a step that takes out what the mixture repeats."""
    mix = lookup.get(data, "mix")
    for place, items in (
        (("sources",), lookup.listed(data, "sources")),
        (("eval", "prompts"), lookup.listed(data, "eval", "prompts")),
    ):
        for index, item in enumerate(items):
            if lookup.get(item, "weight") is not None and (mix is None or place != ("sources",)):
                message = "the weight of a source counts where sources are mixed"
                hint = "add `mix: {}`" if place == ("sources",) else "prompts are not mixed: remove it"
                yield Problem(message=message, hint=hint, path=(*place, index, "weight"), on="key")
    if lookup.get(data, "mix", "until") in (None, "first_exhausted"):
        return
    for index, step in enumerate(lookup.listed(data, "cleaning")):
        if lookup.name(step) in ("dedupe", "near_dedupe"):
            message = f"'{lookup.name(step)}' drops the rows that the mixture repeats"
            hint = "remove it, or mix until the first source has ended"
            yield Problem(message=message, hint=hint, path=("cleaning", index), severity="warning")


def _follow(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What looks at the validation loss needs one."""
    stopping = lookup.get(data, "follow", "early_stopping")
    if lookup.get(data, "split", "validation"):
        return
    hint = "add `split: {validation: 0.1}`"
    if isinstance(stopping, dict) and stopping.get("metric", "validation_loss") == "validation_loss":
        message = "early stopping looks at the validation loss, and there are no validation rows"
        yield Problem(message=message, hint=hint, path=("follow", "early_stopping"), on="key")
    if lookup.get(data, "follow", "checkpoint") == "best":
        message = "the best checkpoint is the one of the lowest validation loss, and there are no validation rows"
        yield Problem(message=message, hint=hint, path=("follow", "checkpoint"))


def _waivers(data: Mapping[str, Any]) -> Iterator[Problem]:
    for index, check in enumerate(lookup.listed(data, "checks")):
        until = lookup.get(check, "waive", "until")
        if not isinstance(until, str):
            continue
        path = ("checks", index, "waive", "until")
        try:
            day = datetime.date.fromisoformat(until)
        except ValueError:
            yield Problem(message=f"'{until[:20]}' is not a day", hint="write year-month-day", path=path)
            continue
        left, hint = (day - datetime.date.today()).days, "mend the data and remove the waiver, or have it renewed"
        if left < 0:
            yield Problem(message=f"this waiver ended on {until}", hint=hint, path=path)
        elif left <= SOON:
            when = f"in {plural(left, 'day')}, on {until}" if left else "today"
            message = f"this waiver ends {when}: from the next day on the spec does not validate"
            yield Problem(message=message, hint=hint, path=path, severity="warning")
