"""A spec for another tuner: what of it maps, what is lost, and what the user has to decide. Pure.

A key maps where the other tuner takes one of the same name that can hold the value: names are a vocabulary that all
tuners share, so the same name means the same. Nothing is converted: what has another unit has another name.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ftspec.authoring.nearest import Models, Nearest
from ftspec.common.errors import Problem, SpecError, SpecPath
from ftspec.common.records import Record
from ftspec.common.references import REFERENCE, fill_environment
from ftspec.common.wording import dotted
from ftspec.contracts.provider import Method
from ftspec.document import editing
from ftspec.document.document import Document
from ftspec.registry import Loaded, Registry
from ftspec.validation import reading
from ftspec.validation.unknowns import whereabouts

PORTABLE = ("suffix", "concurrency", "requests_per_minute", "tokens_per_minute", "timeout")
"""Options of providers that mean the same at each; any other (addresses, keys, devices) is the tuner's own."""

UNITS = {
    "learning_rate": ("learning_rate_multiplier", "a scale of its own rate"),
    "learning_rate_multiplier": ("learning_rate", "the rate itself"),
}
"""Hyperparameters that measure one thing in two units, neither of which follows from the other."""


class Lost(Record):
    """A key that the other tuner does not take, and why."""

    path: SpecPath
    value: Any
    reason: str
    line: int | None = None

    @property
    def name(self) -> str:
        return dotted(self.path)


class Difference(Record):
    """A hyperparameter that the spec does not name, and whose default is another one at the other tuner."""

    name: str
    before: Any
    after: Any


class Ported(Record):
    """The spec for another tuner.

    `kept` are the keys that it takes as they are, `open` is what the user has to decide, at places of the new text.
    """

    source: str
    target: str
    text: str
    lost: tuple[Lost, ...] = ()
    kept: tuple[str, ...] = ()
    open: tuple[Problem, ...] = ()
    model: Nearest = Nearest(model="")
    defaults: tuple[Difference, ...] = ()


def port(document: Document, text: str, target: str, registry: Registry, models: Models) -> Ported:
    """The spec whose document and text these are, for the tuner `target`.

    Raises SpecError where the tuner is not known, is the spec's own, or has no such method.
    """
    data: Mapping[str, Any] = document.data
    source = _name(data["provider"])
    method, options = reading.method_of(data)
    before, after = _pair(document, source, target, method, registry)
    work = _Porting(document, target)
    wanted = dict(data)
    wanted["provider"] = work.provider(data["provider"], after)
    nearest = models.find(_model_id(data["model"]), source, target)
    wanted["model"] = work.model(data["model"], nearest)
    if "method" in data and isinstance(data["method"], dict):
        kept = work.keys(options, after.component.methods[method].options, ("method", method))
        wanted["method"] = {method: kept}
    if "hyperparameters" in data:
        struct = after.component.methods[method].hyperparameters
        wanted["hyperparameters"] = work.keys(data["hyperparameters"], struct, ("hyperparameters",))
    if "requires" in data:
        wanted["requires"] = work.requires(data["requires"], before, after, _others(data, registry))
    return Ported(
        source=source,
        target=target,
        text=editing.edit(text, wanted, {"provider": source}, f"not for {target}"),
        lost=tuple(work.lost),
        kept=tuple(work.kept),
        open=tuple(work.open),
        model=nearest,
        defaults=tuple(_defaults(data, before.component.methods[method], after.component.methods[method])),
    )


def _pair(document: Document, source: str, target: str, method: str, registry: Registry) -> tuple[Loaded, Loaded]:
    """The spec's tuner and the other one. Raises SpecError where the spec cannot be for it."""
    known = registry.components["provider"]
    problem = None
    if target not in known:
        hint = whereabouts("provider", target, registry)
        problem = Problem(message=f"no provider '{target}' is installed", hint=hint, path=("provider",))
    elif target == source:
        problem = Problem(message=f"the spec is for '{target}' already", hint="name another tuner", path=("provider",))
    elif method not in known[target].component.methods:
        hint = f"it has {', '.join(known[target].component.methods)}"
        problem = Problem(message=f"provider '{target}' has no method '{method}'", hint=hint, path=("method",))
    elif known[source].component.methods[method].data != known[target].component.methods[method].data:
        hint = "choose another method, and format rows for it"
        message = f"method '{method}' of provider '{target}' trains on other rows"
        problem = Problem(message=message, hint=hint, path=("method",))
    if problem:
        path = problem.path if problem.path[0] in document.data else ("provider",)
        located = document.locate(msgspec.structs.replace(problem, path=path))
        raise SpecError([located], document)
    return known[source], known[target]


class _Porting:
    """Takes keys over one by one, and keeps account of them."""

    def __init__(self, document: Document, target: str) -> None:
        self.document, self.target = document, target
        self.lost: list[Lost] = []
        self.kept: list[str] = []
        self.open: list[Problem] = []

    def provider(self, item: Any, after: Loaded) -> Any:
        """The provider's item: its options, as far as they mean the same anywhere."""
        if isinstance(item, str):
            return self.target if not after.component.needed else {self.target: {}}
        ((source, options),) = item.items()
        portable = {name: value for name, value in options.items() if name in PORTABLE}
        for name in options.keys() - portable.keys():
            self._lose(("provider", source, name), options[name], f"an option of {source}'s own")
        return {self.target: self.keys(portable, after.component.options, ("provider", source))}

    def model(self, model: Any, nearest: Nearest) -> Any:
        """The model's name there. A suggestion, and a revision of what has another name, are losses."""
        name = _model_id(model)
        if not nearest.model:
            message = f"no model of {self.target} is known that corresponds to '{name}'"
            hint = f"name a base model that {self.target} tunes"
            self.open.append(Problem(message=message, hint=hint, path=("model",), severity="warning"))
            return model
        if nearest.same:
            self.kept.append("model")
        else:
            self._lose(("model",), name, f"{self.target} has none of this name; suggested is {nearest.model}")
        if not isinstance(model, dict):
            return nearest.model
        if nearest.model == name:
            return model
        if "revision" in model:
            self._lose(("model", "revision"), model["revision"], "another name, so another revision")
        return {"id": nearest.model}

    def keys(self, values: Mapping[str, Any], struct: type[msgspec.Struct], path: SpecPath) -> dict[str, Any]:
        """What of the values a struct of options takes, part by part."""
        fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
        taken: dict[str, Any] = {}
        for name, value in values.items():
            where = (*path, name)
            if name not in fields:
                self._lose(where, value, self._unknown(name, fields))
                continue
            inner = _struct_in(fields[name]) if isinstance(value, Mapping) else None
            if inner is not None and isinstance(value, Mapping):
                taken[name] = self.keys(value, inner, where)
            elif fault := _fault(value, fields[name]):
                self._lose(where, value, f"{self.target} takes no such value: {fault}")
            else:
                taken[name] = value
                self.kept.append(dotted(where))
        return taken

    def requires(self, written: list[str], before: Loaded, after: Loaded, others: set[str]) -> list[str]:
        """The distributions that must be installed: the other tuner's in the place of this one's."""
        if after.distribution == before.distribution:
            return list(written)
        known = after.distribution == "ftspec" or any(_distribution(entry) == after.distribution for entry in written)
        new, made = [] if known else [_needed(after)], []
        for index, entry in enumerate(written):
            if self._stays(entry, before, others):
                made.append(entry)
                continue
            if entry != _needed(before):
                self._lose(("requires", index), entry, f"what {before.component.name} needs")
            made, new = [*made, *new], []
        return [*made, *new]

    def _stays(self, entry: str, before: Loaded, others: set[str]) -> bool:
        return _distribution(entry) != before.distribution or before.distribution in others

    def _unknown(self, name: str, fields: Mapping[str, Any]) -> str:
        other, what = UNITS.get(name, ("", ""))
        if other in fields:
            return f"{self.target} takes `{other}`, {what}: the two are never converted into each other"
        return f"{self.target} has no '{name}'" + (f"; it takes {', '.join(fields)}" if fields else "")

    def _lose(self, path: SpecPath, value: Any, reason: str) -> None:
        if isinstance(value, Mapping) and value:
            for name, entry in value.items():
                self._lose((*path, name), entry, reason)
            return
        located = self.document.locate(Problem(message=reason, path=path, on="key"))
        self.lost.append(Lost(path=path, value=value, reason=reason, line=located.line))


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The struct that a field may hold, where it may hold one."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    found = (_struct_in(inner) for inner in typing.get_args(annotation))
    return next((inner for inner in found if inner is not None), None)


def _fault(value: Any, annotation: Any) -> str:
    """Why a field cannot hold a value; "" when it can, or when an unset variable of the environment decides."""
    if isinstance(value, str) and REFERENCE.search(value):
        filled = fill_environment({"value": value})
        if filled.missing:
            return ""
        value = filled.value["value"]
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def _defaults(data: Mapping[str, Any], before: Method, after: Method) -> Iterator[Difference]:
    """Hyperparameters that both tuners take and the spec does not name, whose defaults differ."""
    own, theirs = (msgspec.structs.fields(method.hyperparameters) for method in (before, after))
    there = {field.name: field.default for field in theirs}
    said = data.get("hyperparameters") or {}
    for field in own:
        pair = field.default, there.get(field.name, msgspec.NODEFAULT)
        if field.name not in said and msgspec.NODEFAULT not in pair and pair[0] != pair[1]:
            yield Difference(name=field.name, before=msgspec.to_builtins(pair[0]), after=msgspec.to_builtins(pair[1]))


def _name(item: Any) -> str:
    return item if isinstance(item, str) else str(next(iter(item)))


def _model_id(model: Any) -> str:
    return model if isinstance(model, str) else str(model["id"])


def _others(data: Mapping[str, Any], registry: Registry) -> set[str]:
    """Distributions of what the spec names beside its tuner."""
    named = (item for item in reading.items(data) if item.kind != "provider")
    found = (registry.components[item.kind].get(item.name) for item in named)
    return {loaded.distribution for loaded in found if loaded}


def _distribution(requirement: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(requirement).name
    except InvalidRequirement:
        return requirement


def _needed(loaded: Loaded) -> str:
    """The requirement that a spec of this tuner is written with: its minor version or later."""
    return f"{loaded.distribution}>={'.'.join(loaded.version.split('.')[:2])}"
