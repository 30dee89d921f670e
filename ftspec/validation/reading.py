"""What a document says, as records: the Spec of a sound one, and items, method and model of any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ftspec.common.errors import SpecPath
from ftspec.common.figures import seconds
from ftspec.common.jobs import ModelRef
from ftspec.common.messages import Generation
from ftspec.common.references import secret_names
from ftspec.contracts.components import Kind
from ftspec.document.document import Document
from ftspec.spec import Budget, Costs, Eval, Following, Item, Mix, Named, Spec, Split, Waiver
from ftspec.validation.keys import DEFAULT_METHOD
from ftspec.validation.places import PLACES, SIBLINGS


def to_spec(document: Document) -> Spec:
    """The Spec of a document that every stage of `validate` found sound."""
    data = document.data
    items = {place: tuple(_items_at(data, kind, place)) for kind, place in PLACES}
    method, method_options = method_of(data)
    evaluation = data.get("eval")
    return Spec(
        version=data["version"],
        name=data["name"],
        folder=document.file.absolute().parent,
        file=document.file,
        requires=tuple(data.get("requires", ())),
        sources=items["sources", "*"],
        cleaning=items["cleaning", "*"],
        format=next(iter(items["format",]), None),
        split=msgspec.convert(data.get("split", {}), Split),
        mix=msgspec.convert(data.get("mix"), Mix | None),
        checks=items["checks", "*"],
        provider=items["provider",][0],
        model=model_of(document),
        method=method,
        method_options=method_options,
        hyperparameters=data.get("hyperparameters", {}),
        follow=_follow(data.get("follow", {})),
        eval=None if evaluation is None else _eval(evaluation, items, document),
        gates=items["gates", "*"],
        engine=next(iter(items["engine",]), None),
        budget=msgspec.convert(data.get("budget"), Budget | None),
        costs=msgspec.convert(data.get("costs", {}), Costs),
        secrets=tuple(sorted(secret_names(data))),
    )


def items(data: Any) -> Iterator[Item]:
    """Every item of the document that has an item's shape, in the order of a run; sides of the split are left out."""
    for kind, place in PLACES:
        yield from _items_at(data, kind, place)


def method_of(data: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name, options) of a sound document's method."""
    method = data.get("method", DEFAULT_METHOD)
    return (method, {}) if isinstance(method, str) else next(iter(method.items()))


def model_of(document: Document) -> ModelRef:
    """The base model."""
    return _reference(document.data["model"], document)


def _reference(model: Any, document: Document) -> ModelRef:
    """A model as it is written somewhere in the document; one that is written as a path becomes an absolute one."""
    reference = ModelRef(id=model) if isinstance(model, str) else ModelRef(**model)
    if is_path(reference.id):
        folder = document.file.absolute().parent / reference.id
        return msgspec.structs.replace(reference, id=str(folder.resolve()))
    return reference


def costs_of(data: Mapping[str, Any]) -> Costs:
    """What a document says of prices; nothing where it is not sound."""
    try:
        return msgspec.convert(data.get("costs", {}), Costs)
    except msgspec.ValidationError:
        return Costs()


def is_path(model: str) -> bool:
    """Whether a model's id is written as a path, and not as a name."""
    return model.startswith(("./", "../", "/")) or model in {".", ".."}


def _follow(data: Mapping[str, Any]) -> Following:
    times = {"stall": seconds(str(data["stall"]))} if "stall" in data else {}
    return msgspec.convert({**data, **times}, Following)


def _eval(data: Mapping[str, Any], items: Mapping[SpecPath, tuple[Item, ...]], document: Document) -> Eval:
    sources = {item.path: item for item in items["eval", "prompts", "*"]}
    prompts = (sources.get(("eval", "prompts", i)) or prompt["split"] for i, prompt in enumerate(data["prompts"]))
    generation = msgspec.convert(data.get("generation", {}), Generation)
    return Eval(
        prompts=tuple(prompts),
        graders=items["eval", "graders", "*"],
        models=tuple(_further(data.get("models", ()), items["eval", "models", "*", "provider"], document)),
        generation=generation,
        repeat=data.get("repeat", 1),
        seed=data.get("seed", 0),
        tags=tuple(data.get("tags", ())),
        weight=data.get("weight", ""),
        asserts=data.get("asserts", ""),
    )


def _further(entries: Iterable[Mapping[str, Any]], providers: Iterable[Item], document: Document) -> Iterator[Named]:
    by_place = {item.path: item for item in providers}
    for index, entry in enumerate(entries):
        yield Named(
            id=entry.get("id", ""),
            model=_reference(entry["model"], document) if "model" in entry else None,
            provider=by_place.get(("eval", "models", index, "provider")),
            run=entry.get("run", ""),
            checkpoints=entry.get("checkpoints", ""),
        )


def _items_at(data: Any, kind: Kind, place: SpecPath) -> Iterator[Item]:
    found: list[tuple[Any, SpecPath]] = [(data, ())]
    for part in place:
        found = list(_step(found, part))
    for value, path in found:
        item = as_item(value, kind, path)
        if item is not None:
            yield item


def _step(found: Iterable[tuple[Any, SpecPath]], part: str | int) -> Iterator[tuple[Any, SpecPath]]:
    for value, path in found:
        if part == "*" and isinstance(value, list):
            yield from ((entry, (*path, index)) for index, entry in enumerate(value))
        elif isinstance(value, dict) and part in value:
            yield value[part], (*path, part)


def as_item(value: Any, kind: Kind, path: SpecPath) -> Item | None:
    """The item that a value of the document has the shape of."""
    if isinstance(value, str):
        return Item(kind=kind, name=value, path=path)
    if not isinstance(value, dict):
        return None
    names = [key for key in value if key not in SIBLINGS[kind]]
    if len(names) != 1:
        return None
    name, options = names[0], value[names[0]]
    if not isinstance(options, dict):
        return None
    siblings = {key: entry for key, entry in value.items() if key != name}
    try:
        waive = msgspec.convert(siblings.pop("waive", None), Waiver | None)
        return Item(kind=kind, name=name, options=options, path=path, waive=waive, **siblings)
    except (msgspec.ValidationError, ValueError):
        return None
