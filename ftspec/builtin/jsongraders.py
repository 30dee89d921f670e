"""Graders of answers that are JSON: equal to the expected one, or as a schema wants it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.answers import NOTHING_EXPECTED, decoded, passed_if, said, short, unfenced

CODE = ["ftspec.builtin.answers"]

Text = Annotated[str, Meta(min_length=1)]

LOOKS = 1000
"""Opening brackets of a text at which JSON is looked for."""


@api.grader(code=CODE)
def json_match(
    *,
    fields: tuple[Text, ...] = (),
    tolerance: Annotated[float, Meta(ge=0)] = 0.0,
    allow_fence: bool = False,
) -> api.Grader:
    """The answer is JSON, and its `fields` (all of it when empty) equal the expected answer's.

    A field may be a path: `address.city`, `items.0.price`; on its way text that holds JSON is read, as in a tool call's
    arguments. Numbers may differ by `tolerance`. Nothing may stand around the JSON, unless `allow_fence` accepts a
    Markdown code fence. The score is the share of fields that match.
    """

    def read(text: str) -> Any:
        return decoded(unfenced(text) if allow_fence else text)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        if prompt.expected is None:
            return passed_if(False, NOTHING_EXPECTED)
        try:
            expected = read(prompt.expected)
        except msgspec.DecodeError:
            return passed_if(False, f"the expected answer is not JSON: {short(prompt.expected)}")
        try:
            given = read(said(answer))
        except msgspec.DecodeError:
            return passed_if(False, f"the answer is not JSON: {short(said(answer))}")
        wrong = [
            list(differences(value_at(expected, path), value_at(given, path), path, tolerance))
            for path in fields or [""]
        ]
        score = sum(not found for found in wrong) / len(wrong)
        return passed_if(not any(wrong), "; ".join(list(chain.from_iterable(wrong))[:5]), score)

    return grade


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def value_at(value: Any, path: str) -> Any:
    """The value at a dotted path, MISSING where there is none."""
    for key in filter(None, path.split(".")):
        if isinstance(value, str):
            try:
                value = decoded(value)
            except msgspec.DecodeError:
                return MISSING
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return MISSING
    return value


def differences(expected: Any, given: Any, path: str, tolerance: float) -> Iterator[str]:
    """Where two JSON values differ, in words."""
    if isinstance(expected, dict) and isinstance(given, dict):
        yield from _entries(
            [*expected, *(key for key in given if key not in expected)], expected, given, path, tolerance
        )
    elif isinstance(expected, list) and isinstance(given, list):
        one, two = dict(enumerate(expected)), dict(enumerate(given))
        yield from _entries(range(max(len(one), len(two))), one, two, path, tolerance)
    elif not equal(expected, given, tolerance):
        yield f"{path or 'the whole'}: expected {short(expected)}, got {short(given)}"


def _entries(
    keys: Iterable[Any], expected: Mapping[Any, Any], given: Mapping[Any, Any], path: str, tolerance: float
) -> Iterator[str]:
    for key in keys:
        inner = f"{path}.{key}" if path else str(key)
        yield from differences(expected.get(key, MISSING), given.get(key, MISSING), inner, tolerance)


def equal(expected: Any, given: Any, tolerance: float) -> bool:
    """Equal as JSON: true is not 1, 1 is 1.0, and a field that is on neither side matches nothing."""
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    if isinstance(expected, int | float) and isinstance(given, int | float):
        with suppress(OverflowError):  # a whole number beyond all floats is near none of them
            return abs(expected - given) <= tolerance
        return False
    return bool(expected == given) and expected is not MISSING


class _Schema(msgspec.Struct, frozen=True):
    """A schema, or the file that holds it: exactly one of the two is given."""

    inline: dict[str, Any] | None
    file: str | None

    def load(self) -> Any:
        if self.file is None:
            return self.inline
        try:
            return msgspec.json.decode(Path(self.file).read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise api.FtspecError(f"grader 'json_schema': {self.file} is not a JSON Schema: {error}") from error


def _one_schema(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    from jsonschema import Draft202012Validator, SchemaError

    if options["find"] and options["allow_fence"]:
        yield ("find",), "`find` looks into code fences already: remove `allow_fence`"
    if (options["schema"] is None) == (options["file"] is None):
        yield (), "say either `schema` or `file`"
    elif options["schema"] is not None:
        try:
            Draft202012Validator.check_schema(options["schema"])
        except SchemaError as error:
            yield ("schema",), f"not a JSON Schema: {error.message}"


@api.grader(rules=[_one_schema], code=CODE, dependencies=["jsonschema>=4.26"])
def json_schema(
    *,
    schema: dict[str, Any] | None = None,
    file: api.Path | None = None,
    allow_fence: bool = False,
    find: bool = False,
) -> api.Grader:
    """The answer is JSON that a JSON Schema (2020-12) accepts, the one in `schema` or the one in `file`.

    A reference that leads out of the schema is an error: nothing is fetched. Of a tool call's answer it is the list of
    calls, `[{"name": ..., "arguments": {...}}]`, that is looked at. `allow_fence` accepts a Markdown code fence, `find`
    an object or a list that stands anywhere in the answer. A `pattern` runs in linear time (RE2, where `\\w` and `\\d`
    are ASCII, as in JSON Schema), unless it needs look-around.
    """
    from jsonschema import Draft202012Validator, SchemaError, validators
    from referencing import Registry

    found = _Schema(schema, file).load()
    try:
        Draft202012Validator.check_schema(found)
    except SchemaError as error:
        raise api.FtspecError(f"grader 'json_schema': not a JSON Schema: {error.message}") from error
    nothing: Registry[Any] = Registry()
    extend: Any = validators.extend
    validator = extend(Draft202012Validator, {"pattern": _pattern})(found, registry=nothing)

    def wrong(given: Any) -> list[str]:
        try:
            return [f"{error.json_path}: {error.message}"[:200] for error in islice(validator.iter_errors(given), 3)]
        except RecursionError:
            return ["$: nested too deeply to be looked at"]

    def anywhere(text: str) -> api.Grade:
        faults = [wrong(given) for given in json_in(text)]
        if not faults:
            return passed_if(False, f"the answer holds no JSON: {short(text)}")
        return passed_if([] in faults, "; ".join(faults[0]))

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        text = said(answer)
        if find:
            return anywhere(text)
        try:
            given = decoded(unfenced(text) if allow_fence else text)
        except msgspec.DecodeError:
            return passed_if(False, f"the answer is not JSON: {short(text)}")
        errors = wrong(given)
        return passed_if(not errors, "; ".join(errors))

    return grade


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    """The keyword `pattern` in linear time: Python's own search may never end at what a model says."""
    from jsonschema import ValidationError

    if validator.is_type(instance, "string") and not _found(pattern, instance):
        yield ValidationError(f"{short(instance)} does not match {short(pattern)}")


def _found(pattern: str, text: str) -> bool:
    """Whether the pattern occurs in the text. What RE2 does not take, such as look-around, is left to Python."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return bool(pc.match_substring_regex(rows.strings([text]), pattern)[0].as_py())
    except pa.ArrowInvalid:
        return re.search(pattern, text) is not None


def json_in(text: str) -> Iterator[Any]:
    """The JSON objects and lists that stand in a text, the outermost ones; at LOOKS places at the most."""
    decoder, end = json.JSONDecoder(), 0
    for found in islice(re.finditer(r"[{\[]", text), LOOKS):
        if found.start() >= end:
            with suppress(ValueError, RecursionError):
                value, end = decoder.raw_decode(text, found.start())
                yield value


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (json_match, json_schema)}
