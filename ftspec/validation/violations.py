"""What a schema violation means to the person who wrote the spec. No message of jsonschema's own gets out.

jsonschema says which keyword failed where; this module turns each keyword into a sentence and a hint, and points at
the key or value that has to change. Values are shown only when they are short and written in the file itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ftspec.common.errors import Problem, SpecPath
from ftspec.common.figures import plural
from ftspec.common.wording import did_you_mean, dotted, either, plain, with_article
from ftspec.contracts.components import TITLES, Component
from ftspec.document.document import Document
from ftspec.registry import Registry
from ftspec.validation import expected
from ftspec.validation.describing import Describer
from ftspec.validation.places import OR_TYPES, PATTERN, place_of
from ftspec.validation.unknowns import Unknowns

Error = Any  # jsonschema.ValidationError, which is only imported when a spec is checked
Keyword = Callable[["Translator", Error, SpecPath], Iterable[Problem]]


class Translator:
    """jsonschema's errors about one document, as problems: one method per keyword, in KEYWORDS."""

    def __init__(self, document: Document, registry: Registry) -> None:
        self.document, self.registry = document, registry
        self.says = Describer(document, registry)
        self.unknowns = Unknowns(self.says)

    def problems(self, errors: Iterable[Error]) -> list[Problem]:
        """Each fault once; what only follows from an indentation slip, or from a wrong type, is left out."""
        made = [(error, list(self._translate(error))) for error in errors]
        mistyped = {tuple(error.absolute_path) for error, _ in made if error.validator == "type"}
        kept = [
            problem
            for error, problems in made
            if not self._follows(error)
            and not (error.validator in expected.BOUNDS and tuple(error.absolute_path) in mistyped)
            for problem in problems
        ]
        return _unique(kept)

    def _translate(self, error: Error) -> Iterable[Problem]:
        path = tuple(error.absolute_path)
        if "propertyNames" in error.absolute_schema_path:
            return self.unknowns.second_component(path)
        return KEYWORDS.get(error.validator, Translator._other)(self, error, path)

    def _follows(self, error: Error) -> bool:
        return tuple(error.absolute_path) in self.unknowns.slipped and error.validator in {"type", "required"}

    def _type(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        found = self.says.found(error.instance, path)
        place = place_of(path)
        if place and place[1] == len(path):
            title = TITLES[place[0]]
            yield Problem(
                message=f"{with_article(title)} is a name, or a name with options; found {found}",
                hint=f"write `{self.says.example(place[0])}`",
                path=path,
            )
        elif not path:
            yield Problem(message=f"a spec is keys with values; found {found}", hint="start with `version: 1`")
        else:
            message = f"{self.says.subject(path)} must be {expected.types(error.schema)}, found {found}"
            yield Problem(message=message, hint=self._type_hint(error.schema, error.instance, path), path=path)

    def _type_hint(self, schema: Mapping[str, Any], value: Any, path: SpecPath) -> str:
        name, wanted = path[-1], expected.kinds(schema)
        if path in self.document.written and not isinstance(value, dict | list):
            return f"an environment reference is always text; use `--set {dotted(path)}=...` for other values"
        if value is None and "object" in wanted:
            return self._options_hint(path)
        if value is None:
            return "give it a value, or remove the key"
        if "object" in wanted:
            if isinstance(value, str) and (option := self._only_option(path)):
                return f"write `{name}: {{{option}: {self.says.found(value, path)}}}`"
            if isinstance(name, int):
                return f"write {'a name, or ' if 'string' in wanted else ''}`- {{key: value}}`"
            other = "a name, or " if "string" in wanted else "true, false, or " if "boolean" in wanted else ""
            return f"write {other}its keys below `{name}:`"
        if "array" in wanted:
            return f"write `{name}: [{self._one(schema, value, path)}]`, or one '- ' per item"
        return expected.hint(schema, value)

    def _one(self, schema: Mapping[str, Any], value: Any, path: SpecPath) -> str:
        """The value as the only item of the list that is wanted, or "..." where it cannot be that."""
        place = place_of((*path, 0))
        names = self.registry.components[place[0]] if place else {}
        if not isinstance(value, str) or not (value in names or expected.takes_text(schema.get("items", {}), value)):
            return "..."
        return value if re.fullmatch(r"[^\W\d][\w-]*", value) else self.says.found(value, path)

    def _component(self, path: SpecPath) -> Component | None:
        """The component whose options stand at the path."""
        place = place_of(path)
        loaded = self.registry.components[place[0]].get(str(path[-1])) if place and len(path) == place[1] + 1 else None
        return loaded.component if loaded else None

    def _only_option(self, path: SpecPath) -> str:
        """The option of the component that must be given, "" where that is not one alone."""
        component = self._component(path)
        needed = component.needed if component else []
        return needed[0] if len(needed) == 1 else ""

    def _options_hint(self, path: SpecPath) -> str:
        name, component = str(path[-1]), self._component(path)
        if component:
            return "indent its options below it" if component.needed else f"write `{name}: {{}}` or just `{name}`"
        return f"write `{name}: {{}}`, or its keys below it"

    def _enum(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        place = place_of(path)
        if place and place[1] == len(path):
            yield self.unknowns.unnamed(place[0], str(error.instance), path, "value")
            return
        allowed = [value for value in error.validator_value if value is not None]
        if path == ("method",):
            yield self.unknowns.bare_method(error.instance, path)
            return
        found = self.says.found(error.instance, path)
        others = [expected.TYPES[kind] for kind in error.schema.get(OR_TYPES, ())]
        yield Problem(
            message=f"{self.says.label(path)} must be {either([*others, *map(plain, allowed)])}, found {found}",
            hint=self._enum_hint(error, allowed),
            path=path,
        )

    @staticmethod
    def _enum_hint(error: Error, allowed: Sequence[Any]) -> str:
        number = expected.meant({"type": error.schema.get(OR_TYPES, ())}, error.instance)
        if number and expected.NUMBERS & set(error.schema.get(OR_TYPES, ())):
            return f"write {number}, without quotes or '_'"
        return did_you_mean(error.instance, [str(one) for one in allowed]) or "use one of these"

    def _const(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        wanted = plain(error.validator_value)
        found = self.says.found(error.instance, path)
        yield Problem(
            message=f"{self.says.label(path)} must be {wanted}, found {found}", hint=f"write {wanted}", path=path
        )

    def _bound(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        found = self.says.found(error.instance, path)
        words = expected.BOUNDS.get(error.validator, "a multiple of")
        limit = f"{words} {expected.figure(error.validator_value)}"
        yield Problem(
            message=f"{self.says.label(path)} must be {limit}, found {found}",
            hint=f"write {expected.number(error.schema)}",
            path=path,
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
            message=f"{self.says.label(path)} needs {words}, it has {has}",
            hint=hint.get(error.validator, "shorten it"),
            path=path,
        )

    def _pattern(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        found = self.says.found(error.instance, path)
        described = error.schema.get(PATTERN) or error.schema.get("description", "")
        hint = _sentence(described) or f"it must match {error.validator_value}"
        yield Problem(message=f"{self.says.label(path)} cannot be {found}", hint=hint, path=path)

    def _unique_items(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        yield Problem(message=f"{self.says.label(path)} has an item twice", hint="remove one", path=path)

    def _required(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        # jsonschema yields one error per missing key, and says which one only in its message.
        missing = next((key for key in error.validator_value if error.message.startswith(f"{key!r} is")), "")
        if not missing or self._dropped((*path, missing)):
            return
        wanted = error.schema.get("properties", {}).get(missing, {})
        described, choices = wanted.get("description", ""), " or ".join(map(str, wanted.get("enum", ())))
        owner = self.says.owner(path)
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
            yield from self.unknowns.beside(place[0], error.instance, extras, path)
            return
        for key in extras:
            yield self.unknowns.key(key, known, path)

    def _not(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        place = place_of(path)
        if place:
            title = TITLES[place[0]]
            yield Problem(
                message=f"this names no {title}", hint=f"write `{self.says.example(place[0])}`", path=path, on="value"
            )

    def _other(self, error: Error, path: SpecPath) -> Iterator[Problem]:
        yield Problem(
            message=f"{self.says.label(path)} is not valid",
            hint="`ftspec schema --format markdown` says what can stand here",
            path=path,
        )


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


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """Each once: two conditions of the schema can find the same fault."""
    return list({(problem.path, problem.on, problem.message): problem for problem in problems}.values())


def _sentence(described: str) -> str:
    """A description's first sentence as part of a longer one."""
    first = described.partition(". ")[0].rstrip(".")
    return first if first[1:2].isupper() else first[:1].lower() + first[1:]  # an abbreviation stays one
