"""The spec reference, written from what is installed: every key, every component, with type, default and bounds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ftspec.contracts.components import KINDS, TITLES, Kind
from ftspec.contracts.options import MARK
from ftspec.registry import Loaded, Registry
from ftspec.validation.keys import KEYS, REQUIRED
from ftspec.validation.places import PLACES, SIBLINGS, Schema

HEADER = ("key", "type", "default", "bounds", "what it is")
INTRODUCTION = """# The spec

Written by `reference` from the schema and what is installed; `ftspec schema` prints the same as JSON Schema.
Paths are relative to the spec. `${env:NAME}` in a value is replaced when the spec is read; `${secret:NAME}` in a text
option of a source, provider, grader or engine when it is used, and it is never stored or shown.

An item is a component's bare name (`- strip`), or its name with options (`- length: {max: 8000}`) and, beside the
name, the keys of "beside it" below.
"""


class Row(NamedTuple):
    """One line of an options table; empty text where there is nothing to say. `default` is "required" without one."""

    name: str
    type: str
    default: str
    bounds: str
    description: str


def markdown(registry: Registry) -> str:
    """The whole reference page: the keys in the order of a spec, then every component by kind."""
    parts = ["## Keys\n", _table(_key_rows())]
    for kind in KINDS:
        parts += [f"\n## {TITLES[kind].capitalize()}s\n", _places(kind)]
        parts += [_component(loaded) for loaded in registry.all() if loaded.component.kind == kind]
    body = "\n".join(parts).rstrip() + "\n"
    return f"{INTRODUCTION}\n{_contents(body)}\n{body}"


def _contents(body: str) -> str:
    """A line per kind, with links to its components. GitHub numbers the anchors of names that occur again: `-1`, ..."""
    lines: list[list[str]] = []
    seen: Counter[str] = Counter()
    for marks, title in re.findall(r"^(##+) (.+)$", body, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        link = f"[{title}](#{anchor}{f'-{seen[anchor]}' if seen[anchor] else ''})"
        seen[anchor] += 1
        if marks == "##":
            lines.append([link])
        elif marks == "###":
            lines[-1].append(link)
    return "".join(f"- {kind}{': ' if names else ''}{', '.join(names)}\n" for kind, *names in lines)


def options_table(loaded: Loaded) -> list[Row]:
    """A row per option of the component, nested ones with a dotted name."""
    return struct_rows(loaded.component.options)


def struct_rows(struct: type[msgspec.Struct]) -> list[Row]:
    """A row per field of an options struct."""
    schema = msgspec.json.schema(struct)
    root = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    return list(_rows(root, schema["$defs"], "", _defaults(struct), ()))


def component_text(loaded: Loaded) -> str:
    """A component for the terminal: what it does, where it comes from, its options, a provider's methods."""
    component = loaded.component
    parts = [f"{component.name} ({TITLES[component.kind]}, {loaded.distribution} {loaded.version})"]
    parts += ["", *(f"  {line}".rstrip() for line in component.description.splitlines()), ""]
    parts += [f"  Experimental: {component.experimental}.", ""] if component.experimental else []
    parts += _columns(options_table(loaded), "no options")
    for name, method in component.methods.items():
        parts += ["", f"method {name}", "", *_columns(struct_rows(method.options), "no options of its own")]
        parts += ["", f"hyperparameters of {name}", "", *_columns(struct_rows(method.hyperparameters), "none")]
    return "\n".join(parts)


def _component(loaded: Loaded) -> str:
    component = loaded.component
    parts = [f"\n### {component.name}\n", f"From {loaded.distribution}. {component.description}\n"]
    parts += [f"**Experimental**: {component.experimental}.\n"] if component.experimental else []
    rows = options_table(loaded)
    parts.append(_table(rows) if rows else "No options.")
    for name, method in component.methods.items():
        options = struct_rows(method.options)
        parts.append(f"\n#### {component.name}: method {name}\n")
        parts += ["Options:\n", _table(options)] if options else []
        parts += [
            "\nHyperparameters:\n" if options else "Hyperparameters:\n",
            _table(struct_rows(method.hyperparameters)),
        ]
    return "\n".join(parts)


def _places(kind: Kind) -> str:
    keys = [".".join(str(part) for part in place if part != "*") for of, place in PLACES if of == kind]
    lines = f"Under {' and '.join(f'`{key}`' for key in keys)}.\n"
    if not SIBLINGS[kind]:
        return lines
    rows = [_row(name, schema, {}, schema.get("default", msgspec.UNSET)) for name, schema in SIBLINGS[kind].items()]
    return f"{lines}\nBeside it:\n\n{_table(rows)}"


def _key_rows() -> Iterator[Row]:
    for name, schema in KEYS.items():
        default = msgspec.NODEFAULT if name in REQUIRED else schema.get("default", msgspec.UNSET)
        yield _row(name, schema, {}, default)
        inner = schema.get("then", schema)
        if "properties" in inner:
            defaults = {key: one.get("default", msgspec.UNSET) for key, one in inner["properties"].items()}
            defaults |= dict.fromkeys(inner.get("required", ()), msgspec.NODEFAULT)
            yield from _rows(inner, {}, f"{name}.", defaults, ())


def _rows(
    schema: Mapping[str, Any],
    definitions: Mapping[str, Any],
    prefix: str,
    defaults: Mapping[str, Any],
    seen: tuple[str, ...],
) -> Iterator[Row]:
    for name, option in schema.get("properties", {}).items():
        default = defaults.get(name, option.get("default", msgspec.UNSET))
        yield _row(prefix + name, option, definitions, default)
        for inner, titles in _objects(option, definitions):
            if "properties" in inner and titles not in seen:
                missing = dict.fromkeys(inner.get("required", ()), msgspec.NODEFAULT)
                yield from _rows(inner, definitions, f"{prefix}{name}.", missing, (*seen, titles))


def _defaults(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        field.encode_name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        for field in msgspec.structs.fields(struct)
        if not field.required
    } | {field.encode_name: msgspec.NODEFAULT for field in msgspec.structs.fields(struct) if field.required}


def _objects(option: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The options inside an option: of the struct that it is, or is a list of."""
    for one in _alternatives(option, definitions):
        if "properties" in one:
            yield one, one.get("title", "")
        elif isinstance(one.get("items"), Mapping):
            yield from _objects(one["items"], definitions)


def _alternatives(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    name = schema.get("$ref", "").rpartition("/")[2]
    if name in definitions:
        yield from _alternatives(definitions[name], definitions)
    elif "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _alternatives(one, definitions)
    elif isinstance(schema.get("type"), list):
        yield from ({**schema, "type": kind} for kind in schema["type"])
    elif "if" in schema:
        yield from _alternatives({**schema["if"], **schema["then"]}, definitions)
        yield from _alternatives(schema["else"], definitions)
    else:
        yield schema


def _row(name: str, schema: Schema, definitions: Mapping[str, Any], default: Any) -> Row:
    alternatives = list(_alternatives(schema, definitions))
    return Row(
        name,
        " or ".join(dict.fromkeys(_type(one, definitions) for one in alternatives)),
        _default(default),
        ", ".join(dict.fromkeys(filter(None, map(_bounds, alternatives)))),
        schema.get("description", ""),
    )


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema or "enum" in schema:
        return " or ".join(_json(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get(MARK) in {"path", "column"}:
        return str(schema[MARK])
    if schema.get("type") == "array":
        inner = list(_alternatives(schema.get("items") or {}, definitions))
        return f"list of {' or '.join(dict.fromkeys(_type(one, definitions) for one in inner))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        inner = list(_alternatives(schema["additionalProperties"], definitions))
        return f"mapping to {' or '.join(dict.fromkeys(_type(one, definitions) for one in inner))}"
    names = {"string": "text", "object": "mapping", "boolean": "true or false", "null": "nothing"}
    kind = str(schema.get("type", "any value"))
    return names.get(kind, kind)


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
        "multipleOf": "a multiple of {}",
        "minLength": "{} or more characters",
        "maxLength": "at most {} characters",
        "minItems": "{} or more items",
        "maxItems": "at most {} items",
    }
    return ", ".join(text.format(schema[key]) for key, text in words.items() if key in schema)


def _default(value: Any) -> str:
    if value is msgspec.NODEFAULT:
        return "required"
    return "" if value is msgspec.UNSET or value is None else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _table(rows: Iterable[Row]) -> str:
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += ["| " + " | ".join(map(_cell, _coded(row))) + " |" for row in rows]
    return "\n".join(lines)


def _coded(row: Row) -> Sequence[str]:
    default = row.default if row.default in {"", "required"} else f"`{row.default}`"
    return (f"`{row.name}`", row.type, default, row.bounds, row.description)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or " "


def _columns(rows: Sequence[Row], otherwise: str) -> list[str]:
    """The rows in aligned columns; the description goes on a line of its own."""
    if not rows:
        return [f"  {otherwise}"]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row in rows:
        lines.append("  " + "  ".join(row[column].ljust(widths[column]) for column in range(4)).rstrip())
        lines += [f"      {row.description}"] if row.description else []
    return lines
