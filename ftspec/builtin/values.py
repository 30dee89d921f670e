"""Graders that read a value out of an answer: a number, a class, the tools that it calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin import bounds
from ftspec.builtin.answers import NOTHING_EXPECTED, decoded, normalizer, passed_if, said, short, unfenced
from ftspec.builtin.jsongraders import MISSING, differences, value_at
from ftspec.builtin.spaced import SPACED

CODE = ["ftspec.builtin.answers", "ftspec.builtin.jsongraders", "ftspec.builtin.bounds", "ftspec.builtin.spaced"]


Text = Annotated[str, Meta(min_length=1)]
Tolerance = Annotated[float, Meta(ge=0)]
NUMBER = (
    rf"(?<!{SPACED})(?<!\.)([-+−]?)[$€£¥]?"
    r"((?>(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?))"
    rf"(?!{SPACED}|[十百千万萬亿億兆십백천만억조])"
)
"""A number as English texts write it: -$1,234.5; not the digits of `A4`, `v1.2`, `3rd` or `1.5kg`, nor a part.
Next to a word of a script without spaces it stands by itself, but not before one that multiplies it (`3万`)."""
OTHER = "(other)"
"""The class of an answer that names none."""


def _one_way(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    if options["value"] is not None and (options["min"] is not None or options["max"] is not None):
        yield ("value",), "either `value` with a tolerance, or `min` and `max`"


@api.grader(rules=[_one_way, bounds.in_order], code=CODE)
def number(
    *,
    value: float | None = None,
    tolerance: Tolerance = 0.0,
    relative: Tolerance = 0.0,
    min: float | None = None,
    max: float | None = None,
    which: Literal["last", "first", "only"] = "last",
    field: str = "",
) -> api.Grader:
    """The answer's number is the expected one's (or `value`), within a tolerance; or it lies between `min` and `max`.

    It may differ by `tolerance`, or by `relative` times the expected number, whichever is more. `which` says which of
    several numbers counts: models reason first, so it is the last one. `field` reads it at a path of a JSON answer.
    `1,234.5` is read as English text writes it.
    """
    numbers = re.compile(NUMBER)

    def read(text: str) -> float | None:
        if field:
            return _json_number(text, field)
        found = numbers.findall(text)
        if not found or (which == "only" and len(found) > 1):
            return None
        sign, digits = found[0 if which == "first" else -1]
        return float(sign.replace("−", "-") + digits.replace(",", ""))

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        given = read(said(answer))
        bounded = min is not None or max is not None
        wanted = value
        if wanted is None and not bounded:
            if prompt.expected is None:
                return passed_if(False, NOTHING_EXPECTED)
            wanted = read(prompt.expected)
            if wanted is None:
                return passed_if(False, f"the expected answer holds no number: {short(prompt.expected)}")
        if given is None:
            return passed_if(False, f"no number in the answer, or none that is meant: {short(said(answer))}")
        if wanted is None:
            within = (min is None or given >= min) and (max is None or given <= max)
            return passed_if(within, f"{given:g} is not between {_bound(min)} and {_bound(max)}")
        allowed = [tolerance, relative * abs(wanted)]
        return passed_if(abs(given - wanted) <= sorted(allowed)[-1], f"expected {wanted:g}, got {given:g}")

    return grade


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _json_number(text: str, field: str) -> float | None:
    try:
        found = value_at(decoded(unfenced(text)), field)
        return None if isinstance(found, bool) or not isinstance(found, int | float) else float(found)
    except (msgspec.DecodeError, OverflowError):
        return None


def _findable(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    if options["find"] and not options["labels"]:
        yield ("find",), "say in `labels` what to look for"
    if options["find"] and options["field"]:
        yield ("find",), "either `find` or `field`"


@api.grader(rules=[_findable], code=CODE)
def label(
    *,
    labels: tuple[Text, ...] = (),
    field: str = "",
    find: bool = False,
    strip: bool = True,
    ignore_case: bool = True,
) -> api.Grader:
    """The answer names the right class; the report shows the confusion matrix, precision, recall and F1 per class.

    The class is the whole answer, or what stands at the path `field` of a JSON answer; with `find` it is the only one
    of `labels` that the text contains as a word. The expected answer is read in the same way. What is none of `labels`
    (where they are given) counts as "(other)".
    """
    normal = normalizer(strip, ignore_case)
    known = {normal(name): name for name in labels}

    def read(text: str) -> str | None:
        return _only(normal(text), known) if find else _class(text, field)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        if prompt.expected is None:
            return passed_if(False, NOTHING_EXPECTED)
        wanted, given = read(prompt.expected), read(said(answer))
        if wanted is None:
            return passed_if(False, f"the expected answer names no class: {short(prompt.expected)}")
        one = known.get(normal(wanted), wanted.strip())
        two = OTHER if given is None else known.get(normal(given), OTHER if known else given.strip())
        same = given is not None and normal(one) == normal(two)
        found = passed_if(same, f"expected {short(one)}, got {_told(given, two)}")
        return msgspec.structs.replace(found, label=api.Label(expected=one, given=one if same else two))

    return grade


def _told(given: str | None, label: str) -> str:
    """The class that an answer names, as a reason says it."""
    if given is None:
        return "no class, or several"
    return short(given if label == OTHER else label)


def _class(text: str, field: str) -> str | None:
    if not field:
        return text
    try:
        found = value_at(decoded(unfenced(text)), field)
    except msgspec.DecodeError:
        return None
    if found is MISSING or found is None:
        return None
    return found if isinstance(found, str) else rows.to_json(found)


def _only(text: str, known: Mapping[str, str]) -> str | None:
    """The one class that the text contains as a word; of `A` and `not A` the longer one, where they overlap."""
    found = []
    for name in sorted(known, key=len, reverse=True):
        pattern = re.compile(rf"(?<!{SPACED}){re.escape(name)}(?!{SPACED})")
        if pattern.search(text):
            found.append(name)
            text = pattern.sub("", text)
    return found[0] if len(found) == 1 else None


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that is expected: the tool's name, and the arguments that matter."""

    name: str
    arguments: dict[str, Any] = {}


class Made(msgspec.Struct, frozen=True):
    """A call that a model made. `arguments` is None where what it wrote is no JSON object."""

    name: str
    arguments: dict[str, Any] | None


@api.grader(code=CODE)
def tool_call(
    *,
    calls: tuple[ToolCall, ...] | None = None,
    arguments: Literal["exact", "subset", "ignore"] = "exact",
    tolerance: Tolerance = 0.0,
    order: bool = False,
    extra: bool = False,
) -> api.Grader:
    """The answer calls the expected tools (or `calls`), with their arguments. `calls: []` expects that none is called.

    `arguments: subset` lets an answer give further ones, `ignore` looks at names alone; numbers may differ by
    `tolerance`. `order` wants them in the expected order, `extra` allows calls beside them. The score is the share of
    expected calls that were made.
    """

    def wanted(prompt: api.Prompt) -> list[ToolCall] | None:
        if calls is not None:
            return list(calls)
        if prompt.expected is None:
            return None
        return _calls(prompt.expected) or []

    def fits(one: ToolCall, two: Made) -> bool:
        if one.name != two.name or arguments == "ignore":
            return one.name == two.name
        given = two.arguments
        if given is None:
            return False
        if arguments == "subset":
            given = {name: value for name, value in given.items() if name in one.arguments}
        return not any(differences(one.arguments, given, "", tolerance))

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        expected = wanted(prompt)
        if expected is None:
            return passed_if(False, NOTHING_EXPECTED)
        made = _made(answer)
        matched = _in_order(expected, made, fits) if order else _matched(expected, made, fits)
        missing = [call for at, call in enumerate(expected) if at not in matched]
        more = len(made) - len(matched)
        reasons = [f"not called as expected: {_shown(call)}" for call in missing[:3]]
        if missing and arguments != "ignore" and any(call.arguments is None for call in made):
            reasons.append(f"the arguments of a call are no JSON object: {short(said(answer))}")
        if more and not extra:
            reasons.append(f"called {', '.join(call.name for call in made) or 'nothing'}: {more} more than expected")
        score = len(matched) / len(expected) if expected else float(not reasons)
        return passed_if(not reasons, "; ".join(reasons), score)

    return grade


Fits = Callable[[ToolCall, Made], bool]


def _matched(expected: Sequence[ToolCall], made: Sequence[Made], fits: Fits) -> dict[int, int]:
    """The largest pairing of expected calls with made ones: Kuhn's augmenting paths (1955)."""
    taken: dict[int, int] = {}

    def place(one: int, seen: set[int]) -> bool:
        for two in range(len(made)):
            if two not in seen and fits(expected[one], made[two]):
                seen.add(two)
                if two not in taken or place(taken[two], seen):
                    taken[two] = one
                    return True
        return False

    for one in range(len(expected)):
        place(one, set())
    return {one: two for two, one in taken.items()}


def _in_order(expected: Sequence[ToolCall], made: Sequence[Made], fits: Fits) -> dict[int, int]:
    """The longest pairing that keeps the order, as in a longest common subsequence."""
    best: list[list[dict[int, int]]] = [[{} for _ in range(len(made) + 1)] for _ in range(len(expected) + 1)]
    for one, call in enumerate(expected):
        for two, other in enumerate(made):
            longer = max(best[one][two + 1], best[one + 1][two], key=len)
            if fits(call, other) and len(best[one][two]) >= len(longer):
                longer = best[one][two] | {one: two}
            best[one + 1][two + 1] = longer
    return best[-1][-1]


def _calls(text: str) -> list[ToolCall] | None:
    """The calls that `rows.calls_text` wrote; None where it is something else."""
    try:
        return msgspec.json.decode(text, type=list[ToolCall])
    except msgspec.DecodeError:
        return None


def _made(answer: api.Answer) -> list[Made]:
    """The calls of an answer. A tool that takes no arguments is called with none, with "" or with {}."""
    calls = msgspec.json.decode(rows.calls_text(answer.tool_calls)) if answer.tool_calls else []
    given = [(call["name"], {} if call["arguments"] in ("", None) else call["arguments"]) for call in calls]
    return [Made(str(name), found if isinstance(found, dict) else None) for name, found in given]


def _shown(call: ToolCall) -> str:
    return short(f"{call.name}({rows.to_json(call.arguments)})", 120)


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (number, label, tool_call)}
