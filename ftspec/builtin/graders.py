"""Graders of what an answer says, as text: that it is, contains or matches something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.answers import NOTHING_EXPECTED, normalizer, passed_if, said, short

CODE = ["ftspec.builtin.answers"]

Text = Annotated[str, Meta(min_length=1)]


@api.grader(code=CODE)
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


@api.grader(code=CODE)
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


def _searched(pattern: str, whole: bool) -> str:
    return rf"\A(?:{pattern})\z" if whole else pattern


def _is_pattern(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """By itself, as `)(` is not, and as what is searched, as an unfinished `\\Q` is not."""
    pattern = options["pattern"]
    if fault := rows.pattern_fault(pattern) or rows.pattern_fault(_searched(pattern, options["whole"])):
        yield ("pattern",), f"not an RE2 pattern: {fault}"


@api.grader(rules=[_is_pattern], code=CODE)
def regex(*, pattern: Text, ignore_case: bool = False, whole: bool = False) -> api.Grader:
    """The answer has a match of `pattern`, or is one from end to end with `whole`.

    RE2 syntax, whose time grows with the length of the answer only, whatever a model says: no look-around and no
    back-references.
    """
    import pyarrow.compute as pc

    searched = _searched(pattern, whole)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        found = pc.match_substring_regex(rows.strings([said(answer)]), searched, ignore_case=ignore_case)
        return passed_if(found[0].as_py(), f"does not match {short(pattern)}")

    return grade


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (exact, contains, regex)}
