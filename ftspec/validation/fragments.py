"""The JSON Schemas of option structs, as parts of the one that a spec is checked against.

`anyOf` of msgspec's becomes a chain of `if` by type, because with it a validator can only say "not valid under any":
this way every fault has its own path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ftspec.common.errors import PluginError
from ftspec.contracts.components import Component
from ftspec.validation.places import OR_TYPES, Schema

URN = "urn:ftspec"


class Fragments:
    """JSON Schemas of option structs, self-contained: no reference leaves a fragment, so its `$id` changes nothing."""

    def __init__(self, components: Sequence[Component]) -> None:
        structs: list[type[msgspec.Struct]] = []
        for component in components:
            structs.append(component.options)
            for method in component.methods.values():
                structs += [method.hyperparameters, method.options]
        distinct = list(dict.fromkeys(structs))
        try:
            schemas, self.definitions = msgspec.json.schema_components(distinct)
        except Exception as error:  # an annotation that cannot be evaluated, or a type that JSON has nothing for
            raise _fault(components) or error from error
        self.schemas = dict(zip(distinct, schemas, strict=True))

    def component(self, component: Component) -> Schema:
        schema = self.struct(component.options, f"{component.kind}:{component.name}")
        return {**schema, "title": component.name, "description": component.description}

    def struct(self, struct: type[msgspec.Struct], identity: str) -> Schema:
        schema = self._inline(self.schemas[struct], ())
        return {"$id": f"{URN}:{identity}", **schema}

    def _inline(self, schema: Any, seen: tuple[str, ...]) -> Any:
        if isinstance(schema, list | tuple):
            return [self._inline(entry, seen) for entry in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name in seen:
                return {}  # a recursive type: what is inside is looked at when the options are converted
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return {**self._inline(self.definitions[name], (*seen, name)), **rest}
        made = {key: self._inline(value, seen) for key, value in schema.items() if key != "discriminator"}
        if "properties" in made:
            made.setdefault("additionalProperties", False)
        return _chain(made) if "anyOf" in made else made


def _fault(components: Iterable[Component]) -> PluginError | None:
    """Which method has hyperparameters or options without a JSON Schema; a component's own are verified at load."""
    for component in components:
        for name, method in component.methods.items():
            for what, struct in (("hyperparameters", method.hyperparameters), ("options", method.options)):
                try:
                    msgspec.json.schema(struct)
                except Exception as error:
                    reason = str(error).strip().rpartition("\n")[2]
                    return PluginError(
                        f"provider '{component.name}', method '{name}': its {what} have no JSON Schema: {reason}",
                        "report it to the plugin's authors",
                    )
    return None


def _chain(schema: Schema) -> Schema:
    """`anyOf` as `if: type → then`, one alternative after the other; at the end the error names all the types."""
    alternatives = [flat for one in schema.pop("anyOf") for flat in _flat(one)]
    types = [kind for one in alternatives for kind in _types(one)]
    chain: Schema = {"type": list(dict.fromkeys(types)), **_any_tag(alternatives)} if types else {}
    for one in reversed(alternatives):
        if "enum" in one:
            others = [kind for kind in dict.fromkeys(types) if kind not in {*_types(one), "null"}]
            one = {**one, OR_TYPES: others}
        if set(one) - {"type"}:
            chain = {"if": _test(one), "then": one, "else": chain}
    return {**schema, **chain}


def _flat(schema: Schema) -> Iterator[Schema]:
    """The alternatives of a chain that was made of an inner `anyOf`."""
    while "if" in schema and "then" in schema:
        yield schema["then"]
        schema = schema["else"]
    if "type" in schema and isinstance(schema["type"], list):
        yield from ({"type": kind} for kind in schema["type"])
    elif schema:
        yield schema


def _types(schema: Schema) -> list[str]:
    if "type" in schema:
        return [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    names = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
    return [names[type(value)] for value in schema.get("enum", ())]


def _test(schema: Schema) -> Schema:
    """What tells this alternative from the others: its type, and for tagged structs the tag."""
    tags = _tags(schema)
    test: Schema = {"type": list(dict.fromkeys(_types(schema)))} if _types(schema) else {}
    return {**test, "properties": tags, "required": list(tags)} if tags else test


def _tags(schema: Schema) -> Schema:
    return {
        key: value
        for key, value in schema.get("properties", {}).items()
        if key in schema.get("required", ()) and len(value.get("enum", ())) == 1
    }


def _any_tag(alternatives: list[Schema]) -> Schema:
    """What is left to say of an object that none of the tagged structs took: its tag is missing or unknown."""
    values: dict[str, list[Any]] = {}
    for one in alternatives:
        for key, tag in _tags(one).items():
            values.setdefault(key, []).extend(tag["enum"])
    tags = {key: {"enum": list(dict.fromkeys(allowed))} for key, allowed in values.items()}
    return {"properties": tags, "required": list(tags)} if tags else {}
