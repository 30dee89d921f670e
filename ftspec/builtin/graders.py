"""Graders: (prompt, answer) to a Grade. What an answer says is its text, or its tool calls as JSON text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ftspec import api, rows

Share = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1)]

NOTHING_EXPECTED = (
    "the prompt has no expected answer: end its messages with the assistant's, or say here what to look for"
)
FENCE = re.compile(r"\s*```[\w-]*\n(.*?)\n?```\s*", re.DOTALL)
NOT_IN_RE2 = re.compile(r"(?:^|[^\\])(?:\\\\)*(\(\?<?[=!]|\(\?P=\w+\)|\(\?\(|\(\?>|\\[1-9]|[*+?}]\+)")
"""Look-around, back-references, conditionals, atomic groups and possessive quantifiers."""


def said(answer: api.Answer) -> str:
    """The text of an answer; where it made tool calls, those, written as `Prompt.expected` writes them."""
    return rows.calls_text(answer.tool_calls) if answer.tool_calls else answer.text


def short(value: object, limit: int = 60) -> str:
    """A value for a reason: as Python shows it, shortened."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _passed(passed: bool, reason: str, score: float | None = None) -> api.Grade:
    """A grade whose reason is only given where it did not pass."""
    return api.Grade(passed=passed, score=float(passed) if score is None else score, reason="" if passed else reason)


def _normal(strip: bool, ignore_case: bool) -> Callable[[str], str]:
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

    normal = _normal(strip, ignore_case)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        expected = prompt.expected if text is None else text
        if expected is None:
            return _passed(False, NOTHING_EXPECTED)
        return _passed(normal(said(answer)) == normal(expected), f"expected {short(expected)}")

    return grade


@api.grader
def contains(
    *,
    any: tuple[Text, ...] = (),
    all: tuple[Text, ...] = (),
    ignore_case: bool = False,
) -> api.Grader:
    """The answer contains all of `all` and one of `any`; with neither, the expected answer."""

    normal = _normal(False, ignore_case)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        needed = all or (() if any or prompt.expected is None else (prompt.expected.strip(),))
        if not needed and not any:
            return _passed(False, NOTHING_EXPECTED)
        whole = normal(said(answer))
        missing = [text for text in needed if normal(text) not in whole]
        if missing:
            return _passed(False, f"does not contain {', '.join(map(short, missing))}")
        found = not any or [text for text in any if normal(text) in whole]
        return _passed(bool(found), f"contains none of {', '.join(map(short, any))}")

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
        pc.match_substring_regex(pa.array([""]), searched, ignore_case=ignore_case)
    except pa.ArrowInvalid as error:
        raise api.FtspecError(
            f"grader 'regex': {short(pattern)} is not an RE2 pattern: {error}", "see github.com/google/re2/wiki/Syntax"
        ) from error

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        found = pc.match_substring_regex(pa.array([said(answer)], pa.string()), searched, ignore_case=ignore_case)
        return _passed(found[0].as_py(), f"does not match {short(pattern)}")

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
        fenced = FENCE.fullmatch(text) if allow_fence else None
        return msgspec.json.decode(fenced[1] if fenced else text)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        if prompt.expected is None:
            return _passed(False, NOTHING_EXPECTED)
        try:
            expected = read(prompt.expected)
        except msgspec.DecodeError:
            return _passed(False, f"the expected answer is not JSON: {short(prompt.expected)}")
        try:
            given = read(said(answer))
        except msgspec.DecodeError:
            return _passed(False, f"the answer is not JSON: {short(said(answer))}")
        wrong = [list(_differences(_at(expected, path), _at(given, path), path, tolerance)) for path in fields or [""]]
        score = sum(not differences for differences in wrong) / len(wrong)
        return _passed(not any(wrong), "; ".join(list(chain.from_iterable(wrong))[:5]), score)

    return grade


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def _at(value: Any, path: str) -> Any:
    """The value at a dotted path, MISSING where there is none."""
    for key in filter(None, path.split(".")):
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except msgspec.DecodeError:
                return MISSING
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return MISSING
    return value


def _differences(expected: Any, given: Any, path: str, tolerance: float) -> Iterator[str]:
    """Where two JSON values differ, in words."""
    if isinstance(expected, dict) and isinstance(given, dict):
        yield from _entries(
            [*expected, *(key for key in given if key not in expected)], expected, given, path, tolerance
        )
    elif isinstance(expected, list) and isinstance(given, list):
        one, two = dict(enumerate(expected)), dict(enumerate(given))
        yield from _entries(range(max(len(one), len(two))), one, two, path, tolerance)
    elif not _equal(expected, given, tolerance):
        yield f"{path or 'the whole'}: expected {short(expected)}, got {short(given)}"


def _entries(
    keys: Iterable[Any], expected: Mapping[Any, Any], given: Mapping[Any, Any], path: str, tolerance: float
) -> Iterator[str]:
    for key in keys:
        inner = f"{path}.{key}" if path else str(key)
        yield from _differences(expected.get(key, MISSING), given.get(key, MISSING), inner, tolerance)


def _equal(expected: Any, given: Any, tolerance: float) -> bool:
    """Equal as JSON: true is not 1, 1 is 1.0, and a field that is on neither side matches nothing."""
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    if isinstance(expected, int | float) and isinstance(given, int | float):
        return abs(expected - given) <= tolerance
    return bool(expected == given) and expected is not MISSING


@api.grader(dependencies=["rapidfuzz>=3.14"])
def similarity(
    *, text: str | None = None, threshold: Share = 0.8, strip: bool = True, ignore_case: bool = False
) -> api.Grader:
    """The answer is close to the expected one (or `text`): 1 is equal, 0 has nothing in common.

    The score is 1 minus the Levenshtein distance over the longer text's length, in characters.
    """
    from rapidfuzz.distance import Levenshtein

    normal = _normal(strip, ignore_case)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        expected = prompt.expected if text is None else text
        if expected is None:
            return _passed(False, NOTHING_EXPECTED)
        score = Levenshtein.normalized_similarity(normal(said(answer)), normal(expected))
        return _passed(score >= threshold, f"{score:.2f} similar to {short(expected)}, wanted {threshold:g}", score)

    return grade


COMPONENTS: dict[str, api.Component] = {
    component.name: component for component in (exact, contains, regex, json_match, similarity)
}
