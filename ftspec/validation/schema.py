"""One JSON Schema (2020-12) out of what is installed, and a document checked against it.

There is no `oneOf` and no `anyOf` (see `fragments`), so that every fault has its own path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from ftspec.common.errors import Problem
from ftspec.contracts.components import KINDS, TITLES, Component, Kind
from ftspec.contracts.provider import Method
from ftspec.document.document import Document
from ftspec.registry import Registry
from ftspec.validation import requires, violations
from ftspec.validation.fragments import URN, Fragments
from ftspec.validation.keys import DEFAULT_METHOD, KEYS, REQUIRED
from ftspec.validation.places import SIBLINGS, SPLIT_PROMPTS, Schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


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
    incomplete = {each.name for each in used if each.needed}
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
                "if": {
                    "properties": {"method": _named(method)},
                    "required": [] if method == DEFAULT_METHOD else ["method"],
                },
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
            "required": [] if DEFAULT_METHOD in methods else ["method"],
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
