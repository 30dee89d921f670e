"""What one model made of one prompt, in numbers: a Tally; and a prompt as a case in brief."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from ftspec.common.evaluation import Worst
from ftspec.common.messages import Answer, Message, Prompt
from ftspec.common.references import mask
from ftspec.grading.grade import Answered, Graded
from ftspec.stats.statistics import Share

T = TypeVar("T")

WORST = 3
"""Cases that a score or a comparison names."""
EXCERPT = 240
"""Characters of a text in a Worst."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What one model made of one prompt, in numbers. `said` and `reason` are of one answer that did not pass, `lost` of
    one that has an error. `graders` counts the answers that each lets pass, `silent` those that it has no opinion on.

    The prompt is better `brief`: there may be a hundred thousand of these.
    """

    prompt: Prompt
    share: Share
    graders: dict[str, int]
    repeats: int
    errors: int
    seconds: tuple[float, ...]
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    said: str
    reason: str
    lost: str = ""
    priced: int = 0
    unpriced: int = 0
    silent: dict[str, int] = {}


def tallies(prompts: Iterable[Prompt], answered: Answered) -> list[Tally]:
    """One Tally per prompt that was asked, in the prompts' order, each id once. They hold the prompts as they are."""
    masked = mask.now()
    return [tally(prompt, given, masked) for prompt, given in answered.by_prompt(prompts)]


def brief(prompt: Prompt, masked: Callable[[str], str] = mask) -> Prompt:
    """What is told of a prompt as a case: what was last asked, what is expected (in excerpts), its tags and weight."""
    asked = next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
    return msgspec.structs.replace(
        prompt,
        messages=[Message(role="user", content=_excerpt(asked, masked))],
        expected=None if prompt.expected is None else _excerpt(prompt.expected, masked),
        tools=None,
        row={},
    )


def tally(prompt: Prompt, given: Sequence[tuple[Answer, Graded]], masked: Callable[[str], str] = mask) -> Tally:
    """Count one model's answers to one prompt. An answer with an error counts neither as passed nor as failed.

    `masked` is `mask.now()` where there are many prompts: looking for secrets takes longer than all else here.
    """
    heard = [(answer, graded) for answer, graded in given if not graded.error]
    answers = [answer for answer, _ in heard]
    costs = [answer.cost for answer, _ in given if answer.cost is not None]
    wrong, why = next(((answer, graded) for answer, graded in heard if not graded.passed), (None, None))
    return Tally(
        prompt=prompt,
        share=Share(sum(graded.passed for _, graded in heard), len(heard), prompt.weight),
        graders=_passed_by_grader([graded for _, graded in heard]),
        repeats=1 + max((answer.repeat for answer, _ in given), default=-1),
        errors=len(given) - len(heard),
        seconds=tuple(answer.seconds for answer in answers if answer.seconds is not None),
        prompt_tokens=sum(answer.prompt_tokens or 0 for answer, _ in given),
        completion_tokens=sum(answer.completion_tokens or 0 for answer, _ in given),
        cost=sum(costs) if costs else None,
        said=_excerpt(wrong.text or wrong.tool_calls or "", masked) if wrong else "",
        reason=_excerpt(_against(why), masked) if why else "",
        lost=next((_excerpt(graded.error, masked) for _, graded in given if graded.error), ""),
        priced=len(costs),
        unpriced=sum(answer.cost is None and not answer.error for answer, _ in given),
        silent=_silent([graded for _, graded in heard]),
    )


def _against(graded: Graded) -> str:
    """Who decided against an answer, and why; of an earlier run's, the first that said no. One that is alone needs no
    name."""
    found = {graded.against: graded.grades[graded.against]} if graded.against else graded.grades
    name, reason = next(((n, g.reason) for n, g in found.items() if not g.passed), ("", ""))
    return reason if len(graded.grades) == 1 else f"{name}: {reason}" if reason else name


def _passed_by_grader(heard: Sequence[Graded]) -> dict[str, int]:
    names = dict.fromkeys(name for graded in heard for name in graded.grades)
    return {name: sum(graded.grades[name].passed for graded in heard if name in graded.grades) for name in names}


def _silent(heard: Sequence[Graded]) -> dict[str, int]:
    names = dict.fromkeys(name for graded in heard for name in graded.grades)
    missing = {name: sum(name not in graded.grades for graded in heard) for name in names}
    return {name: count for name, count in missing.items() if count}


def by_tag(entries: Iterable[T], of: Callable[[T], Tally]) -> dict[str, list[T]]:
    """The entries per tag, tags in the order in which they come first."""
    parts: dict[str, list[T]] = {}
    for entry in entries:
        for tag in dict.fromkeys(of(entry).prompt.tags):
            parts.setdefault(tag, []).append(entry)
    return parts


def worst(one: Tally, value: float) -> Worst:
    """A case in brief."""
    return Worst(
        prompt=one.prompt.id,
        origin=one.prompt.origin,
        asked=_excerpt(next((m.content for m in reversed(one.prompt.messages) if m.role == "user"), "")),
        expected=_excerpt(one.prompt.expected or ""),
        said=one.said,
        reason=one.reason,
        value=value,
    )


def _excerpt(given: Any, masked: Callable[[str], str] = mask) -> str:
    text = masked(given if isinstance(given, str) else msgspec.json.encode(given).decode())
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…"
