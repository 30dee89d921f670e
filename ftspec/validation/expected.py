"""What a schema wants of one value, in words: its types, its choices, and the numbers that it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.common.wording import either, plain

Schema = Mapping[str, Any]

TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys with values",
    "null": "empty",
}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
NUMBERS = {"integer", "number"}
NOT_BOOLEAN = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def kinds(schema: Schema) -> list[str]:
    """The types that a value may have, by JSON Schema's names; empty where nothing is said of them."""
    said = schema.get("type", ())
    return [said] if isinstance(said, str) else list(said)


def types(schema: Schema) -> str:
    """The same in words; a text of which only some are allowed is named by these."""
    found = kinds(schema)
    choices = next((each["enum"] for each in _alternatives(schema) if "enum" in each), None)
    words = [TYPES[kind] for kind in found if (kind != "null" or len(found) == 1) and (kind != "string" or not choices)]
    return either([*words, *(plain(value) for value in choices or () if value is not None)])


def number(schema: Schema) -> str:
    """The numbers that are taken: "a whole number from 1 to 50", "a number of at least 1", "a number above 0"."""
    taken = _of_numbers(schema)
    name = TYPES["integer" if "integer" in kinds(taken) else "number"]
    if "minimum" in taken and "maximum" in taken:
        bounds = [f"from {figure(taken['minimum'])} to {figure(taken['maximum'])}"]
    else:
        bounds = [f"{words} {figure(taken[key])}" for key, words in BOUNDS.items() if key in taken]
        bounds[:1] = [f"of {first}" if first.startswith("at") else first for first in bounds[:1]]
    several = [f"a multiple of {figure(taken['multipleOf'])}"] if "multipleOf" in taken else []
    return ", ".join([" ".join([name, " and ".join(bounds)]).rstrip(), *several])


def figure(value: float) -> str:
    """A bound with all of its digits."""
    return f"{value:.15g}"


def hint(schema: Schema, value: Any) -> str:
    """How to write one value of a wanted type, given what was written instead."""
    found = [kind for kind in kinds(schema) if kind != "null"]
    if NUMBERS & set(found) and (written := meant(schema, value)):
        return f"write {written}{', without quotes or ' + repr('_') if isinstance(value, str) else ''}"
    if "boolean" in found and len(found) > 1:
        return (
            "write one value" if isinstance(value, list | dict) else f"write {either([TYPES[kind] for kind in found])}"
        )
    if "boolean" in found:
        return f"write {NOT_BOOLEAN.get(value.lower() if isinstance(value, str) else '', 'true or false')}"
    if NUMBERS & set(found):
        return f"write {number(schema)}{' or ' + types({**schema, 'type': 'string'}) if 'string' in found else ''}"
    return "quote it" if isinstance(value, bool | int | float) else "write one text"


def takes_text(schema: Schema, value: str) -> bool:
    """Whether a text can stand there."""
    return value in schema["enum"] if "enum" in schema else "string" in kinds(schema)


def meant(schema: Schema, value: Any) -> str:
    """The number that a text, or a float, seems to stand for; "" where it is none that would be taken."""
    text = value.replace("_", "") if isinstance(value, str) else plain(value)
    try:
        read = float(text) if isinstance(value, str | float) else math.nan
    except ValueError:
        return ""
    whole = "integer" in kinds(_of_numbers(schema))
    if not math.isfinite(read) or not _fits(_of_numbers(schema), read) or (whole and not read.is_integer()):
        return ""
    return str(int(read)) if whole and isinstance(value, float) else text


def _fits(schema: Schema, read: float) -> bool:
    if not schema.get("minimum", -math.inf) <= read <= schema.get("maximum", math.inf):
        return False
    return bool(schema.get("exclusiveMinimum", -math.inf) < read < schema.get("exclusiveMaximum", math.inf))


def _of_numbers(schema: Schema) -> Schema:
    """The alternative that numbers follow."""
    return next((each for each in _alternatives(schema) if NUMBERS & set(kinds(each))), schema)


def _alternatives(schema: Schema) -> Iterator[Schema]:
    """What a chain of `if` by type holds (`fragments`), or the schema itself."""
    while "if" in schema and "then" in schema:
        yield schema["then"]
        schema = schema.get("else", {})
    yield schema
