"""Whether a document follows its schema: a first look. Most do, and to load jsonschema takes a tenth of a small run.

Each keyword means what it means to jsonschema, which is asked for all else: what is wrong with a document, and whether
anything is where a schema has a keyword or a type that is unknown here, as a plugin's may.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ftspec.contracts.options import MARK
from ftspec.validation.places import OR_TYPES, PATTERN, Schema


def follows(data: Any, schema: Schema) -> bool:
    """Whether jsonschema surely finds nothing wrong with the data."""
    try:
        return _follows(data, schema, schema)
    except _Unknown:
        return False


class _Unknown(Exception):
    """The schema says something that is not known here."""


def _follows(data: Any, schema: Any, whole: Schema) -> bool:
    if isinstance(schema, bool):
        return schema
    for keyword, wanted in schema.items():
        if keyword in NO_CLAIMS:
            continue
        if keyword not in KEYWORDS or type(data) not in TYPES:
            raise _Unknown
        types, holds = KEYWORDS[keyword]
        if type(data) in types and not holds(data, wanted, schema, whole):
            return False
    return True


def _is_a(data: Any, wanted: str | list[str], *_: Any) -> bool:
    names = {wanted} if isinstance(wanted, str) else set(wanted)
    if not names <= set(TYPES.values()):
        raise _Unknown
    return TYPES[type(data)] in names or (type(data) is int and "number" in names)


def _is_one_of(data: Any, wanted: list[Any], *_: Any) -> bool:
    """True is not 1, as it is to Python."""
    if any(isinstance(one, dict | list) for one in wanted):
        raise _Unknown
    return any(one == data and isinstance(one, bool) == isinstance(data, bool) for one in wanted)


def _has_properties(data: dict[str, Any], wanted: Schema, _: Schema, whole: Schema) -> bool:
    return all(_follows(data[name], wanted[name], whole) for name in wanted if name in data)


def _has_others(data: dict[str, Any], wanted: Any, schema: Schema, whole: Schema) -> bool:
    known = schema.get("properties", ())
    return all(_follows(data[name], wanted, whole) for name in data if name not in known)


def _has_dependents(data: dict[str, Any], wanted: Schema, _: Schema, whole: Schema) -> bool:
    return all(_follows(data, wanted[name], whole) for name in wanted if name in data)


def _has_names(data: dict[str, Any], wanted: Any, _: Schema, whole: Schema) -> bool:
    return all(_follows(name, wanted, whole) for name in data)


def _has_first(data: list[Any], wanted: list[Any], _: Schema, whole: Schema) -> bool:
    return all(_follows(one, each, whole) for one, each in zip(data, wanted, strict=False))


def _has_rest(data: list[Any], wanted: Any, schema: Schema, whole: Schema) -> bool:
    return all(_follows(one, wanted, whole) for one in data[len(schema.get("prefixItems", ())) :])


def _branches(data: Any, wanted: Any, schema: Schema, whole: Schema) -> bool:
    return _follows(data, schema.get("then" if _follows(data, wanted, whole) else "else", True), whole)


def _follows_all(data: Any, wanted: list[Any], _: Schema, whole: Schema) -> bool:
    return all(_follows(data, one, whole) for one in wanted)


def _refers(data: Any, wanted: str, _: Schema, whole: Schema) -> bool:
    place, _slash, name = wanted.rpartition("/")
    if place != "#/$defs" or name not in whole["$defs"]:
        raise _Unknown
    return _follows(data, whole["$defs"][name], whole)


TYPES: Mapping[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
"""What a document is made of. As to msgspec, 3.0 is no integer."""
OBJECT, ARRAY, TEXT, NUMBER, ANY = (dict,), (list,), (str,), (int, float), tuple(TYPES)
KEYWORDS: Mapping[str, tuple[tuple[type, ...], Callable[[Any, Any, Schema, Schema], bool]]] = {
    "type": (ANY, _is_a),
    "enum": (ANY, _is_one_of),
    "const": (ANY, lambda data, wanted, *_: _is_one_of(data, [wanted])),
    "if": (ANY, _branches),
    "allOf": (ANY, _follows_all),
    "not": (ANY, lambda data, wanted, _, whole: not _follows(data, wanted, whole)),
    "$ref": (ANY, _refers),
    "properties": (OBJECT, _has_properties),
    "additionalProperties": (OBJECT, _has_others),
    "required": (OBJECT, lambda data, wanted, *_: all(name in data for name in wanted)),
    "propertyNames": (OBJECT, _has_names),
    "dependentSchemas": (OBJECT, _has_dependents),
    "minProperties": (OBJECT, lambda data, wanted, *_: len(data) >= wanted),
    "maxProperties": (OBJECT, lambda data, wanted, *_: len(data) <= wanted),
    "prefixItems": (ARRAY, _has_first),
    "items": (ARRAY, _has_rest),
    "minItems": (ARRAY, lambda data, wanted, *_: len(data) >= wanted),
    "maxItems": (ARRAY, lambda data, wanted, *_: len(data) <= wanted),
    "pattern": (TEXT, lambda data, wanted, *_: bool(re.search(wanted, data))),
    "minLength": (TEXT, lambda data, wanted, *_: len(data) >= wanted),
    "maxLength": (TEXT, lambda data, wanted, *_: len(data) <= wanted),
    "minimum": (NUMBER, lambda data, wanted, *_: data >= wanted),
    "maximum": (NUMBER, lambda data, wanted, *_: data <= wanted),
    "exclusiveMinimum": (NUMBER, lambda data, wanted, *_: data > wanted),
    "exclusiveMaximum": (NUMBER, lambda data, wanted, *_: data < wanted),
}
NO_CLAIMS = frozenset(
    ("$schema", "$id", "$defs", "title", "description", "default", "then", "else", MARK, OR_TYPES, PATTERN)
)
"""Keywords that say nothing by themselves."""
