"""From answers to verdicts: every grader's opinion of every answer."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import msgspec

from ftspec.common.errors import FtspecError
from ftspec.common.evaluation import Grade, JudgeUse
from ftspec.common.messages import Answer, Prompt
from ftspec.common.records import Record
from ftspec.contracts.graders import Grader, Unjudged
from ftspec.files.kept import Keyed, Picked
from ftspec.spec import Item


class Graded(Record):
    """The verdict on one answer. `grades` holds each grader's opinion by its id; `against` is the first that
    decides and said no.

    `error` is the answer's own, or says why there is no verdict on it: it counts neither as passed nor as failed.
    """

    prompt: str
    repeat: int
    passed: bool
    grades: dict[str, Grade] = {}
    error: str = ""
    against: str = ""


class Answered(Record):
    """One model's part of an evaluation: answers[i] was graded as graded[i]. `seconds` is wall time.

    Both may be on disk (kept.Kept): they are read in passes, and never held.
    """

    model: str
    answers: Sequence[Answer]
    graded: Sequence[Graded]
    seconds: float = 0.0
    judges: tuple[JudgeUse, ...] = ()

    def besides(self, prompts: Container[str]) -> Answered:
        """Without the answers to these prompts, by id."""
        places = [place for place, graded in enumerate(self.graded) if graded.prompt not in prompts]
        return msgspec.structs.replace(self, answers=Picked(self.answers, places), graded=Picked(self.graded, places))

    def by_prompt(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, list[tuple[Answer, Graded]]]]:
        """Each prompt that was asked, in the prompts' order and each id once, with its answers by repeat."""
        places: dict[str, list[int]] = {}
        for place, graded in enumerate(self.graded):
            places.setdefault(graded.prompt, []).append(place)
        for prompt in prompts:
            given = [(self.answers[place], self.graded[place]) for place in places.pop(prompt.id, ())]
            if given:
                yield prompt, sorted(given, key=lambda pair: pair[0].repeat)


Pair = tuple[Item, Grader]


NOTHING = "the prompt has no expected answer"
"""How graders begin the reason of an answer that they have nothing to compare with."""


class Failures:
    """Graders without a verdict, by name: (how often, why the first time). `unexpected` counts the answers that a
    grader had nothing to compare with."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[int, str]] = {}
        self.unexpected: dict[str, int] = {}

    def add(self, name: str, said: str) -> None:
        count, first = self.found.get(name, (0, said))
        self.found[name] = (count + 1, first)


def grade(
    prompts: Sequence[Prompt],
    answers: Iterable[Answer],
    graders: Sequence[Pair],
    own: Mapping[str, Sequence[Pair]] | None = None,
    failures: Failures | None = None,
) -> Iterator[Graded]:
    """Grade every answer. It passes when all graders of weight above 0 pass; `negate` turns a grader around.

    An answer that a grader has no verdict on (a judge's reply is none, or a grader raises: that says nothing about the
    model) has an error, but where that grader's weight is 0: then it has one opinion less.

    Args:
        own: further graders by prompt id.
        failures: is told of graders that have no verdict.
    """
    by_id = Keyed(prompts, lambda prompt: prompt.id)
    everywhere = _named(graders)
    only = {prompt: _named([*graders, *pairs]) for prompt, pairs in (own or {}).items()}
    for answer in answers:
        yield _graded(by_id[answer.prompt], answer, only.get(answer.prompt, everywhere), failures)


def _named(graders: Sequence[Pair]) -> list[tuple[str, Pair]]:
    return list(zip(names([item for item, _ in graders]), graders, strict=True))


def names(items: Iterable[Item]) -> list[str]:
    """What each item is called: its id, or its component's name, numbered from the second of a name on."""
    seen: dict[str, int] = {}
    found = []
    for item in items:
        name = item.id or item.name
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def _graded(prompt: Prompt, answer: Answer, graders: Sequence[tuple[str, Pair]], failures: Failures | None) -> Graded:
    if answer.error:
        return Graded(prompt=answer.prompt, repeat=answer.repeat, passed=False, error=answer.error)
    grades: dict[str, Grade] = {}
    errors: list[str] = []
    for name, (item, grader) in graders:
        try:
            grades[name] = _one(item, grader, prompt, answer)
            if failures and not prompt.expected and NOTHING in grades[name].reason:
                failures.unexpected[name] = failures.unexpected.get(name, 0) + 1
        except Exception as error:  # a plugin's grader meets whatever a model says: one answer must not end the run
            said = str(error) if isinstance(error, Unjudged | FtspecError) else f"{type(error).__name__}: {error}"
            if failures:
                failures.add(name, said)
            if item.weight > 0:
                errors.append(said)
    if errors:
        return Graded(prompt=answer.prompt, repeat=answer.repeat, passed=False, error=errors[0])
    deciding = [name for name, (item, _) in graders if item.weight > 0]
    against = next((name for name in deciding if not grades[name].passed), "")
    passed = bool(deciding) and not against
    return Graded(prompt=answer.prompt, repeat=answer.repeat, passed=passed, grades=grades, against=against)


def _one(item: Item, grader: Grader, prompt: Prompt, answer: Answer) -> Grade:
    found = grader(prompt, answer)
    if not item.negate:
        return found
    score = None if found.score is None else 1 - found.score
    reason = f"negated: {found.reason or 'the grader passes'}"
    return Grade(passed=not found.passed, score=score, reason=reason, label=found.label)
