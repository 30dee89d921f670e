"""What a schema violation means to the person who wrote the spec. No message of jsonschema's own gets out.

jsonschema says which keyword failed where; this module turns each keyword into a sentence and a hint, and points at
the key or value that has to change. Values are shown only when they are short and written in the file itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ftspec.components import TITLES, Kind
from ftspec.document import Document
from ftspec.errors import Problem, SpecPath
from ftspec.figures import plural
from ftspec.references import SECRET
from ftspec.registry import Registry
from ftspec.shape import OR_TYPES, PATTERN, SIBLINGS, SPLIT_PROMPTS, STAGES, place_of
from ftspec.wording import SHOWN, did_you_mean, dotted, either, every, nearest, plain, quoted, suggestion

FIRST_PARTY: dict[tuple[Kind, str], str] = {
    ("engine", "ray"): "ftspec-ray",
    ("provider", "azure"): "ftspec-openai",
    ("provider", "bedrock"): "ftspec-bedrock",
    ("provider", "bedrock-mantle"): "ftspec-openai",
    ("provider", "fireworks"): "ftspec-fireworks",
    ("provider", "local"): "ftspec-local",
    ("provider", "nebius"): "ftspec-openai",
    ("provider", "openai"): "ftspec-openai",
    ("provider", "openai-compatible"): "ftspec-openai",
    ("provider", "together"): "ftspec-together",
    ("provider", "vertex"): "ftspec-vertex",
}
"""Components that a first-party plugin offers, so that a spec can name them before it is installed."""

TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys with values",
    "null": "empty",
}
NOT_BOOLEAN = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
RATES = ("learning_rate", "learning_rate_multiplier")
LISTED = 12

Error = Any  # jsonschema.ValidationError, which is only imported when a spec is checked
Keyword = Callable[["Translator", Error, SpecPath], Iterable[Problem]]


class Translator:
    """jsonschema's errors about one document, as problems. `unknown` collects those about names that nobody knows."""

    def __init__(self, document: Document, registry: Registry) -> None:
        self.document = document
        self.registry = registry
        self.unknown: list[Problem] = []
        self.slipped: set[SpecPath] = set()

    def problems(self, errors: Iterable[Error]) -> list[Problem]:
        """Each fault once; what only follows from an indentation slip is left out."""
        made = [(error, list(self._translate(error))) for error in errors]
        kept = [problem for error, problems in made if not self._follows(error) for problem in problems]
        return _unique(kept)

    def _translate(self, error: Error) -> Iterable[Problem]:
        path = tuple(error.absolute_path)
        if "propertyNames" in error.absolute_schema_path:
            return self._second_component(error, path)
        return KEYWORDS.get(error.validator, Translator._other)(self, error, path)

    def _follows(self, error: Error) -> bool:
        return tuple(error.absolute_path) in self.slipped and error.validator in {"type", "required"}

    # One method per keyword.

    def _type(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        wanted = [error.validator_value] if isinstance(error.validator_value, str) else list(error.validator_value)
        found = self._found(error.instance, path)
        place = place_of(path)
        if place and place[1] == len(path):
            title = TITLES[place[0]]
            yield Problem(
                message=f"a {title} is a name, or a name with options; found {found}",
                hint=f"write `{self._example(place[0])}`",
                path=path,
            )
        elif not path:
            yield Problem(message=f"a spec is keys with values; found {found}", hint="start with `version: 1`")
        else:
            words = either([TYPES[kind] for kind in wanted if kind != "null" or len(wanted) == 1])
            message = f"{self._subject(path)} must be {words}, found {found}"
            yield Problem(message=message, hint=self._type_hint(wanted, error.instance, path), path=path)

    def _type_hint(self, wanted: Sequence[str], value: Any, path: SpecPath) -> str:
        name = path[-1]
        if path in self.document.written and not isinstance(value, dict | list):
            return f"an environment reference is always text; use `--set {dotted(path)}=...` for other values"
        if value is None and "object" in wanted:
            return self._options_hint(path)
        if value is None:
            return "give it a value, or remove the key"
        if "object" in wanted:
            if isinstance(name, int):
                return f"write {'a name, or ' if 'string' in wanted else ''}`- {{key: value}}`"
            return f"write {'a name, or ' if 'string' in wanted else ''}its keys below `{name}:`"
        if "array" in wanted:
            return f"write `{name}: [...]`, or one '- ' per item"
        return _scalar_hint(wanted, value)

    def _options_hint(self, path: SpecPath) -> str:
        place, name = place_of(path), str(path[-1])
        if place and len(path) == place[1] + 1 and name in self.registry.components[place[0]]:
            component = self.registry.components[place[0]][name].component
            return (
                "indent its options below it" if component.needs_options else f"write `{name}: {{}}` or just `{name}`"
            )
        return f"write `{name}: {{}}`, or its keys below it"

    def _enum(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        place = place_of(path)
        if place and place[1] == len(path):
            yield self._unknown(self._unnamed(place[0], str(error.instance), path, "value"))
            return
        allowed = [value for value in error.validator_value if value is not None]
        if path == ("method",):
            yield self._unknown(self._bare_method(error.instance, path))
            return
        found = self._found(error.instance, path)
        others = [TYPES[kind] for kind in error.schema.get(OR_TYPES, ())]
        yield Problem(
            message=f"{self._label(path)} must be {either([*others, *map(plain, allowed)])}, found {found}",
            hint=self._enum_hint(error.instance, allowed),
            path=path,
        )

    def _bare_method(self, name: str, path: SpecPath) -> Problem:
        """A method that the provider does not have, or one that needs options."""
        provider = self._provider()
        methods = self.registry.components["provider"][provider].component.methods
        if name not in methods:
            message = f"provider '{provider}' has no method {self._found(name, path, bare=True)}"
            return Problem(message=message, hint=suggestion(name, [*methods]), path=path)
        return _needs("method", name, methods[name].options, path, "value")

    @staticmethod
    def _enum_hint(value: Any, allowed: Sequence[Any]) -> str:
        return did_you_mean(value, [str(one) for one in allowed]) or "use one of these"

    def _const(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        wanted = plain(error.validator_value)
        found = self._found(error.instance, path)
        yield Problem(message=f"{self._label(path)} must be {wanted}, found {found}", hint=f"write {wanted}", path=path)

    def _bound(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        words = {
            "minimum": "at least",
            "maximum": "at most",
            "exclusiveMinimum": "above",
            "exclusiveMaximum": "below",
            "multipleOf": "a multiple of",
        }
        found = self._found(error.instance, path)
        limit = f"{words[error.validator]} {error.validator_value:g}"
        yield Problem(
            message=f"{self._label(path)} must be {limit}, found {found}", hint=_range(error.schema), path=path
        )

    def _length(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        unit = {"Length": "character", "Items": "item", "Properties": "key"}[error.validator[3:]]
        limit = error.validator_value
        words = f"{'at least' if error.validator.startswith('min') else 'at most'} {plural(limit, unit)}"
        if path == ("method",):
            yield Problem(message="a method is one name with its options", hint="write `method: {dpo: {}}`", path=path)
            return
        has = len(error.instance) or "none"
        hint = {"minLength": "write some text", "minItems": "add one", "minProperties": "add one"}
        yield Problem(
            message=f"{self._label(path)} needs {words}, it has {has}",
            hint=hint.get(error.validator, "shorten it"),
            path=path,
        )

    def _pattern(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        found = self._found(error.instance, path)
        described = error.schema.get(PATTERN) or error.schema.get("description", "")
        hint = _sentence(described) or f"it must match {error.validator_value}"
        yield Problem(message=f"{self._label(path)} cannot be {found}", hint=hint, path=path)

    def _unique_items(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        yield Problem(message=f"{self._label(path)} has an item twice", hint="remove one", path=path)

    def _required(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        # jsonschema yields one error per missing key, and says which one only in its message.
        missing = next((key for key in error.validator_value if error.message.startswith(f"{key!r} is")), "")
        if not missing or self._dropped((*path, missing)):
            return
        wanted = error.schema.get("properties", {}).get(missing, {})
        described, choices = wanted.get("description", ""), " or ".join(map(str, wanted.get("enum", ())))
        owner = self._owner(path)
        message = f"{owner} needs '{missing}'" if path else f"'{missing}' is missing"
        if not path:
            hint = {"version": "start the file with `version: 1`"}.get(missing, f"add `{missing}:`")
        else:
            hint = (
                f"add `{missing}: ...`"
                + (f" ({choices})" if choices else "")
                + (f": {_sentence(described)}" if described else "")
            )
        yield Problem(message=message, hint=hint, path=path, on="key")

    def _dropped(self, path: SpecPath) -> bool:
        return any(problem.path == path for problem in self.document.problems)

    def _additional(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        known = list(error.schema.get("properties", {}))
        extras = [key for key in error.instance if key not in known]
        place = place_of(path)
        if place and place[1] == len(path):
            yield from self._beside(place[0], error.instance, extras, path)
            return
        for key in extras:
            yield self._unknown(self._unknown_key(key, known, path))

    def _unknown_key(self, key: str, known: Sequence[str], path: SpecPath) -> Problem:
        name = quoted(key)
        if not path and key == STAGES:
            message = f"'{STAGES}' is reserved: chains of methods (sft, then dpo) cannot be run yet"
            return Problem(message=message, hint="write one spec per method", path=(key,), on="key")
        hint = suggestion(key, known, self._where_options(path) if len(known) > LISTED else None)
        if not path:
            homes = [kind for kind in SIBLINGS if key in self.registry.components[kind]]
            if homes:
                hint = f"it is a {TITLES[homes[0]]}: indent it"
            return Problem(message=f"unknown key {name}", hint=hint, path=(key,), on="key")
        if path == ("method",):
            message = f"provider '{self._provider()}' has no method {name}"
        elif path == ("hyperparameters",):
            message = f"unknown hyperparameter {name} of provider '{self._provider()}'"
            hint = _rate_hint(key, known) or hint
        else:
            message = f"unknown option {name} of {self._owner(path)}"
        return Problem(message=message, hint=hint, path=(*path, key), on="key")

    def _where_options(self, path: SpecPath) -> str:
        """The command that lists what can stand at a place."""
        if path[:1] in {("method",), ("hyperparameters",)}:
            return f"see `ftspec plugins show {self._provider()}`"
        place = place_of(path)
        name = path[place[1]] if place and len(path) > place[1] else None
        return f"see `ftspec plugins show {name}`" if name else "see `ftspec schema --format markdown`"

    def _beside(self, kind: Kind, item: Mapping[str, Any], extras: list[str], path: SpecPath) -> Iterator[Problem]:
        """Keys of an item that are neither a component nor a sibling of one."""
        offered = self.registry.components[kind]
        present = [key for key in item if key in offered]
        for key in extras:
            if not present:
                yield self._unknown(self._unnamed(kind, key, (*path, key), "key"))
                continue
            name = present[0]
            if key in offered[name].component.options.__struct_fields__:
                self.slipped.add((*path, name))
                message = f"'{key}' is an option of '{name}', but stands beside it"
                yield Problem(message=message, hint=f"indent it below `{name}:`", path=(*path, key), on="key")
            elif SIBLINGS[kind]:
                hint = f"only {either([*SIBLINGS[kind]])} can stand there; {suggestion(key, [*SIBLINGS[kind]], '')}"
                message = f"unknown key {quoted(key)} beside {TITLES[kind]} '{name}'"
                yield self._unknown(Problem(message=message, hint=hint.removesuffix("; "), path=(*path, key), on="key"))
            else:
                message = f"unknown key {quoted(key)} beside {TITLES[kind]} '{name}'"
                hint = f"options go below `{name}:`"
                yield self._unknown(Problem(message=message, hint=hint, path=(*path, key), on="key"))

    def _unnamed(self, kind: Kind, name: str, path: SpecPath, on: Any) -> Problem:
        """A name that no component of the kind has, or that needs options."""
        offered = self.registry.components[kind]
        title = TITLES[kind]
        if name in offered:
            return _needs(title, name, offered[name].component.options, path, on)
        return Problem(
            message=f"no {title} named {quoted(name)} is installed", hint=self._where(kind, name), path=path, on=on
        )

    def _where(self, kind: Kind, name: str) -> str:
        plugin = FIRST_PARTY.get((kind, name))
        if plugin:
            return f'pip install "{plugin}"'
        near = nearest(name, [*self.registry.components[kind]])
        if near:
            return f"did you mean '{near}'?"
        others = [other for other in SIBLINGS if name in self.registry.components[other]]
        if others:
            return f"'{name}' is a {TITLES[others[0]]}"
        near_plugin = nearest(name, [known for of, known in FIRST_PARTY if of == kind])
        if near_plugin:
            return f"did you mean '{near_plugin}'? It needs `pip install \"{FIRST_PARTY[kind, near_plugin]}\"`"
        installed = ", ".join(sorted(self.registry.components[kind])[:12])
        return f"there are {installed}" if installed else "see `ftspec plugins`"

    def _second_component(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        place = place_of(path)
        kind: Kind = place[0] if place else "source"
        item = self.document.data
        for part in path:
            item = item[part]
        names = [key for key in item if key in self.registry.components[kind] or key == SPLIT_PROMPTS]
        for key in names[1:]:
            message = f"two in one item: {TITLES[kind]} '{names[0]}' and '{key}'"
            hint = "probably an indentation slip: start the second with '- '" if path[-1:] != (kind,) else "keep one"
            yield Problem(message=message, hint=hint, path=(*path, key), on="key")

    def _not(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        place = place_of(path)
        if place:
            title = TITLES[place[0]]
            yield Problem(
                message=f"this names no {title}", hint=f"write `{self._example(place[0])}`", path=path, on="value"
            )

    def _other(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        yield Problem(
            message=f"{self._label(path)} is not valid",
            hint="`ftspec schema --format markdown` says what can stand here",
            path=path,
        )

    # Words.

    def _unknown(self, problem: Problem) -> Problem:
        self.unknown.append(problem)
        return problem

    def _provider(self) -> str:
        provider = self.document.data.get("provider")
        return provider if isinstance(provider, str) else next(iter(provider), "") if provider else ""

    def _subject(self, path: SpecPath) -> str:
        owner = self._owner(path)
        return owner if owner == self._label(path) else f"the options of {owner}"

    def _owner(self, path: SpecPath) -> str:
        """Whose options these are."""
        place = place_of(path)
        if place and len(path) == place[1] + 1 and path[-1] not in SIBLINGS[place[0]]:
            return f"{TITLES[place[0]]} {quoted(str(path[-1]))}"
        if path[:1] == ("method",) and len(path) == 2:
            return f"method '{path[1]}'"
        return self._label(path)

    def _label(self, path: SpecPath) -> str:
        if not path:
            return "the spec"
        if isinstance(path[-1], int):
            return f"item {path[-1] + 1} of {self._label(path[:-1])}"
        return quoted(path[-1])

    def _found(self, value: Any, path: SpecPath, *, bare: bool = False) -> str:
        """What stands there, in words; never a value from the environment, nor a long one."""
        if path in self.document.written or (isinstance(value, str) and SECRET.search(value)):
            return f"'{self.document.written.get(path, value)}'"[: SHOWN + 2]
        if isinstance(value, str):
            return quoted(value) if bare or value else "an empty text"
        if isinstance(value, dict | list):
            return "a list" if isinstance(value, list) else "keys with values"
        return "nothing" if value is None else plain(value)

    def _example(self, kind: Kind) -> str:
        offered = self.registry.components[kind]
        name = next(iter(sorted(offered)), "name")
        return f"{name}: {{}}" if kind in {"provider", "format", "engine"} else f"- {name}: {{...}}"


KEYWORDS: dict[str, Keyword] = {
    "type": Translator._type,
    "enum": Translator._enum,
    "const": Translator._const,
    "minimum": Translator._bound,
    "maximum": Translator._bound,
    "exclusiveMinimum": Translator._bound,
    "exclusiveMaximum": Translator._bound,
    "multipleOf": Translator._bound,
    "minLength": Translator._length,
    "maxLength": Translator._length,
    "minItems": Translator._length,
    "maxItems": Translator._length,
    "minProperties": Translator._length,
    "maxProperties": Translator._length,
    "pattern": Translator._pattern,
    "uniqueItems": Translator._unique_items,
    "required": Translator._required,
    "additionalProperties": Translator._additional,
    "not": Translator._not,
}


def _needs(title: str, name: str, options: type[msgspec.Struct], path: SpecPath, on: Any) -> Problem:
    """A bare name that is not enough."""
    needed = [field.encode_name for field in msgspec.structs.fields(options) if field.required]
    example = ", ".join(f"{option}: ..." for option in needed)
    message = f"{title} '{name}' needs {every(needed)}"
    return Problem(message=message, hint=f"write `{name}: {{{example}}}`", path=path, on=on)


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """Each once: two conditions of the schema can find the same fault."""
    return list({(problem.path, problem.on, problem.message): problem for problem in problems}.values())


def _scalar_hint(wanted: Sequence[str], value: Any) -> str:
    """How to write one value of a wanted type, given what was written instead."""
    text = value.replace("_", "") if isinstance(value, str) else ""
    others = [TYPES[kind] for kind in wanted if kind != "null"]
    if "boolean" in wanted and len(others) > 1:
        return "write one value" if isinstance(value, list | dict) else f"write {either(others)}"
    if "boolean" in wanted:
        return f"write {NOT_BOOLEAN.get(text.lower(), 'true or false')}"
    if {"integer", "number"} & set(wanted):
        if _is_number(text):
            return f"write {text}, without quotes or '_'"
        return f"write {int(value)}" if isinstance(value, float) and value.is_integer() else f"write {TYPES[wanted[0]]}"
    return "quote it" if isinstance(value, bool | int | float) else "write one text"


def _rate_hint(key: str, known: Sequence[str]) -> str:
    """The two learning rates are different quantities: one must never be taken for the other."""
    other = RATES[1 - RATES.index(key)] if key in RATES else ""
    if other not in known or not other:
        return ""
    meaning = {"learning_rate": "an absolute rate", "learning_rate_multiplier": "a factor on the provider's own rate"}
    return f"it takes '{other}', which is {meaning[other]}: choose a value anew"


def _sentence(described: str) -> str:
    """A description's first sentence as part of a longer one."""
    first = described.partition(". ")[0].rstrip(".")
    return first if first[1:2].isupper() else first[:1].lower() + first[1:]  # an abbreviation stays one


def _range(schema: Mapping[str, Any]) -> str:
    bounds = [
        f"{words} {schema[key]:g}"
        for key, words in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    return f"it takes numbers {' and '.join(bounds)}" if len(bounds) > 1 else "change the number"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
