"""One JSON Schema (2020-12) out of what is installed; a document checked against it; a Spec out of a sound document.

There is no `oneOf` and no `anyOf` (see `fragments`), so that every fault has its own path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from ftspec.common.errors import Problem, SpecPath
from ftspec.common.figures import seconds
from ftspec.common.jobs import ModelRef
from ftspec.common.messages import Generation
from ftspec.common.references import secret_names
from ftspec.contracts.components import KINDS, TITLES, Component, Kind
from ftspec.contracts.provider import Method
from ftspec.document.document import Document
from ftspec.registry import Registry
from ftspec.spec import Budget, Costs, Eval, Following, Item, Mix, Named, Spec, Split, Waiver
from ftspec.validation import requires, violations
from ftspec.validation.fragments import URN, Fragments
from ftspec.validation.keys import KEYS, REQUIRED
from ftspec.validation.places import PLACES, SIBLINGS, SPLIT_PROMPTS, Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFAULT = "sft"


def compose(registry: Registry, words: Collection[str] | None = None) -> Schema:
    """The schema of every spec that the installed plugins allow: a bundle whose fragments have an `$id` each.

    With `words`, all that stands in one document: what none of them names is left open, so that checking a spec does
    not wait for the options of components that it does not use.
    """
    used = [loaded.component for loaded in registry.all() if words is None or loaded.component.name in words]
    fragments = Fragments(used)
    definitions: dict[str, Schema] = {}
    for kind in KINDS:
        definitions[kind] = _item(kind, sorted(registry.components[kind]), [each for each in used if each.kind == kind])
    definitions |= {f"{each.kind}.{each.name}": fragments.component(each) for each in used}
    definitions["prompt"] = _prompt(definitions["source"])
    selectors = [_selector(each.name, each.methods, fragments, definitions) for each in used if each.kind == "provider"]
    return {
        "$schema": DIALECT,
        "$id": f"{URN}:spec",
        "title": "ftspec spec",
        "description": "What a model should learn, from which data, on which tuner, and what proves it learned.",
        "type": "object",
        "properties": KEYS,
        "required": list(REQUIRED),
        "additionalProperties": False,
        **({"allOf": selectors} if selectors else {}),
        "$defs": definitions,
    }


def check(document: Document, registry: Registry) -> list[Problem]:
    """Everything that the schema, the version and `requires` say against the document, not located, in no order."""
    data = document.data
    newer = requires.version_problem(data)
    if newer:
        return [newer]
    missing = requires.problems(data)
    translator = violations.Translator(document, registry)
    found = translator.problems(_validator()(compose(registry, set(_words(data)))).iter_errors(data))
    if missing:
        # What is unknown now may be known to what is not installed.
        found = [problem for problem in found if problem not in translator.unknowns.found]
    return [*missing, *found]


def to_spec(document: Document, registry: Registry) -> Spec:
    """The Spec of a document that `check` and every later stage found sound."""
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
        model=model_of(data, document),
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
    method = data.get("method", DEFAULT)
    return (method, {}) if isinstance(method, str) else next(iter(method.items()))


def model_of(data: Mapping[str, Any], document: Document) -> ModelRef:
    """The base model; one that is written as a path becomes an absolute one."""
    return reference_of(data["model"], document)


def reference_of(model: Any, document: Document) -> ModelRef:
    """A model as it is written somewhere in the document."""
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
            model=reference_of(entry["model"], document) if "model" in entry else None,
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


@cache
def _validator() -> Callable[[Schema], Any]:
    """Draft 2020-12, but 3.0 is not an integer: msgspec refuses it too."""
    from jsonschema import Draft202012Validator, validators

    checker = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = validators.extend  # not annotated there
    made: Callable[[Schema], Any] = extend(Draft202012Validator, type_checker=checker)
    return made


def _words(data: Any) -> Iterator[str]:
    """Every text of a document, keys too."""
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value


def _item(kind: Kind, names: Sequence[str], used: Iterable[Component]) -> Schema:
    """A bare name, or exactly one component's key and siblings."""
    siblings = SIBLINGS[kind]
    options = {each.name: {"$ref": f"#/$defs/{kind}.{each.name}"} for each in used}
    incomplete = {each.name for each in used if each.needs_options}
    return {
        "title": TITLES[kind],
        "if": {"type": "object"},
        "then": {
            "properties": {**{name: options.get(name, {}) for name in names}, **siblings},
            "additionalProperties": False,
            "not": {"propertyNames": {"enum": list(siblings)}},
            "dependentSchemas": {name: {"propertyNames": {"enum": [name, *siblings]}} for name in names},
        },
        "else": {
            "if": {"type": "string"},
            "then": {"enum": [name for name in names if name not in incomplete]},
            "else": {"type": ["string", "object"]},
        },
    }


def _prompt(source: Schema) -> Schema:
    """A source, or a side of the split."""
    split = {"enum": ["test", "validation"], "description": "A side of the split."}
    then = source["then"]
    dependent = {**then["dependentSchemas"], SPLIT_PROMPTS: {"propertyNames": {"enum": [SPLIT_PROMPTS]}}}
    then = {**then, "properties": {SPLIT_PROMPTS: split, **then["properties"]}, "dependentSchemas": dependent}
    return {**source, "title": "prompts", "then": then}


def _selector(provider: str, methods: Mapping[str, Method], fragments: Fragments, definitions: Schema) -> Schema:
    """What `method` and `hyperparameters` hold with this provider.

    `required` stands inside the `if`: without it the `if` is true for a spec that has no provider at all.
    """
    by_method = []
    for method, shape in methods.items():
        key = f"provider.{provider}.{method}"
        definitions[f"{key}.options"] = fragments.struct(shape.options, f"{provider}:{method}:options")
        hyperparameters = fragments.struct(shape.hyperparameters, f"{provider}:{method}:hyperparameters")
        definitions[f"{key}.hyperparameters"] = hyperparameters
        by_method.append(
            {
                "if": {"properties": {"method": _named(method)}, "required": [] if method == DEFAULT else ["method"]},
                "then": {
                    "properties": {"hyperparameters": {"$ref": f"#/$defs/{key}.hyperparameters"}},
                    "required": ["hyperparameters"] if hyperparameters.get("required") else [],
                },
            }
        )
    return {
        "if": {"properties": {"provider": _named(provider)}, "required": ["provider"]},
        "then": {
            "properties": {"method": _method(provider, methods, definitions)},
            "required": [] if DEFAULT in methods else ["method"],
            **({"allOf": by_method} if by_method else {}),
        },
    }


def _method(provider: str, methods: Mapping[str, Method], definitions: Mapping[str, Schema]) -> Schema:
    """A bare method, where it needs no options, or one method with options."""
    options = {method: f"provider.{provider}.{method}.options" for method in methods}
    return {
        "if": {"type": "object"},
        "then": {
            "properties": {method: {"$ref": f"#/$defs/{key}"} for method, key in options.items()},
            "additionalProperties": False,
        },
        "else": {
            "if": {"type": "string"},
            "then": {"enum": [method for method, key in options.items() if not definitions[key].get("required")]},
        },
    }


def _named(name: str) -> Schema:
    """True of the bare name and of an item with that key; only ever stands inside an `if`, where it reports nothing."""
    return {"if": {"type": "object"}, "then": {"required": [name]}, "else": {"const": name}}
