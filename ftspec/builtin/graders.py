"""Graders: (prompt, answer) to a Grade. What an answer says is its text, or its tool calls as JSON text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from ftspec import api, rows

Text = Annotated[str, Meta(min_length=1)]

NOTHING_EXPECTED = (
    "the prompt has no expected answer: end its messages with the assistant's, or say here what to look for"
)
FENCE = re.compile(r"\s*```[\w-]*[ \t]*\r?\n(.*?)\r?\n?```\s*", re.DOTALL)
LOOKS = 1000
"""Opening brackets of a text at which JSON is looked for."""
NOT_IN_RE2 = re.compile(r"(?:^|[^\\])(?:\\\\)*(\(\?<?[=!]|\(\?P=\w+\)|\(\?\(|\(\?>|\\[1-9]|[*+?}]\+)")
"""Look-around, back-references, conditionals, atomic groups and possessive quantifiers."""


def said(answer: api.Answer) -> str:
    """The text of an answer; where it made tool calls, those, written as `Prompt.expected` writes them."""
    return rows.calls_text(answer.tool_calls) if answer.tool_calls else answer.text


def unfenced(text: str) -> str:
    """The text without the Markdown code fence around it, if there is one."""
    fenced = FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def decoded(text: str) -> Any:
    """What JSON says. Raises DecodeError, of what is nested too deeply as well: models repeat a bracket without end."""
    try:
        return msgspec.json.decode(text)
    except (RecursionError, UnicodeEncodeError) as error:
        raise msgspec.DecodeError(str(error)) from error


def json_in(text: str) -> Iterator[Any]:
    """The JSON objects and lists that stand in a text, the outermost ones; at LOOKS places at the most."""
    decoder, end = json.JSONDecoder(), 0
    for found in islice(re.finditer(r"[{\[]", text), LOOKS):
        if found.start() >= end:
            with suppress(ValueError, RecursionError):
                value, end = decoder.raw_decode(text, found.start())
                yield value


def short(value: object, limit: int = 60) -> str:
    """A value for a reason: as Python shows it, shortened."""
    try:
        text = repr(value)
    except RecursionError:
        text = "what is nested too deeply to be shown"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def passed_if(passed: bool, reason: str, score: float | None = None) -> api.Grade:
    """A grade whose reason is only given where it did not pass."""
    return api.Grade(passed=passed, score=float(passed) if score is None else score, reason="" if passed else reason)


def normalizer(strip: bool, ignore_case: bool) -> Callable[[str], str]:
    """What of two texts is compared."""

    def normal(value: str) -> str:
        value = value.strip() if strip else value
        return value.casefold() if ignore_case else value

    return normal


@api.grader
def exact(*, text: str | None = None, strip: bool = True, ignore_case: bool = False) -> api.Grader:
    """The answer is the expected one (or `text`), character for character.

    White space at both ends does not count unless `strip` is false.
    """

    normal = normalizer(strip, ignore_case)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        expected = prompt.expected if text is None else text
        if expected is None:
            return passed_if(False, NOTHING_EXPECTED)
        return passed_if(normal(said(answer)) == normal(expected), f"expected {short(expected)}")

    return grade


@api.grader
def contains(
    *,
    any: tuple[Text, ...] = (),
    all: tuple[Text, ...] = (),
    ignore_case: bool = False,
) -> api.Grader:
    """The answer contains all of `all` and one of `any`; with neither, the expected answer."""

    normal = normalizer(False, ignore_case)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        expected = (prompt.expected or "").strip()
        needed = all or ((expected,) if expected and not any else ())
        if not needed and not any:
            return passed_if(False, NOTHING_EXPECTED)
        whole = normal(said(answer))
        missing = [text for text in needed if normal(text) not in whole]
        if missing:
            return passed_if(False, f"does not contain {', '.join(map(short, missing))}")
        found = not any or [text for text in any if normal(text) in whole]
        return passed_if(bool(found), f"contains none of {', '.join(map(short, any))}")

    return grade


def _re2_can(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    try:
        re.compile(options["pattern"])
    except re.error as error:
        yield ("pattern",), f"not a regular expression: {error}"
        return
    if beyond := NOT_IN_RE2.search(options["pattern"]):
        yield ("pattern",), f"'{beyond[1]}' is not supported: patterns run in linear time (RE2 syntax)"


@api.grader(rules=[_re2_can])
def regex(*, pattern: Text, ignore_case: bool = False, whole: bool = False) -> api.Grader:
    """The answer has a match of `pattern`, or is one from end to end with `whole`.

    RE2 syntax, whose time grows with the length of the answer only, whatever a model says: no look-around and no
    back-references.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    searched = rf"\A(?:{pattern})\z" if whole else pattern
    try:
        pc.match_substring_regex(rows.strings([""]), searched, ignore_case=ignore_case)
    except pa.ArrowInvalid as error:
        raise api.FtspecError(
            f"grader 'regex': {short(pattern)} is not an RE2 pattern: {error}", "see github.com/google/re2/wiki/Syntax"
        ) from error

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        found = pc.match_substring_regex(rows.strings([said(answer)]), searched, ignore_case=ignore_case)
        return passed_if(found[0].as_py(), f"does not match {short(pattern)}")

    return grade


@api.grader
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


class _Schema(NamedTuple):
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


@api.grader(rules=[_one_schema], dependencies=["jsonschema>=4.26"])
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


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (exact, contains, regex, json_match, json_schema)}
