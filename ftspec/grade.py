"""From answers to an Evaluation: every grader's opinion of every answer, then one Score per model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ftspec import statistics
from ftspec.components import Grader
from ftspec.provider import Answer, Prompt
from ftspec.records import Evaluation, Grade, Record, Score
from ftspec.spec import Item
from ftspec.statistics import Share


class Graded(Record):
    """The verdict on one answer. `grades` holds each grader's opinion by its id.

    `error` is the answer's own: such an answer was never given, and counts neither as passed nor as failed.
    """

    prompt: str
    repeat: int
    passed: bool
    grades: dict[str, Grade] = {}
    error: str = ""


class Answered(Record):
    """One model's part of an evaluation: answers[i] was graded as graded[i]. `seconds` is wall time."""

    model: str
    answers: tuple[Answer, ...]
    graded: tuple[Graded, ...]
    seconds: float = 0.0


def grade(prompts: Iterable[Prompt], answers: Iterable[Answer], graders: Sequence[tuple[Item, Grader]]) -> list[Graded]:
    """Grade every answer. It passes when all graders of weight above 0 pass; `negate` turns a grader around.

    A grader that raises has not passed, negated or not, and its reason says so.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    named = list(zip(names([item for item, _ in graders]), graders, strict=True))
    return [_graded(by_id[answer.prompt], answer, named) for answer in answers]


def names(items: Iterable[Item]) -> list[str]:
    """What each item is called: its id, or its component's name, numbered from the second of a name on."""
    seen: dict[str, int] = {}
    found = []
    for item in items:
        name = item.id or item.name
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def _graded(prompt: Prompt, answer: Answer, graders: Sequence[tuple[str, tuple[Item, Grader]]]) -> Graded:
    if answer.error:
        return Graded(prompt=answer.prompt, repeat=answer.repeat, passed=False, error=answer.error)
    grades = {name: _one(item, grader, prompt, answer) for name, (item, grader) in graders}
    deciding = [grades[name].passed for name, (item, _) in graders if item.weight > 0]
    return Graded(prompt=answer.prompt, repeat=answer.repeat, passed=bool(deciding) and all(deciding), grades=grades)


def _one(item: Item, grader: Grader, prompt: Prompt, answer: Answer) -> Grade:
    try:
        found = grader(prompt, answer)
        if not isinstance(found, Grade):
            raise TypeError(f"it returned {type(found).__name__}, not a Grade")
    except Exception as error:  # a plugin's grader meets whatever a model says: one answer must not end the run
        return Grade(passed=False, score=0.0, reason=f"the grader failed: {type(error).__name__}: {error}")
    if not item.negate:
        return found
    score = None if found.score is None else 1 - found.score
    return Grade(passed=not found.passed, score=score, reason=f"negated: {found.reason or 'the grader passes'}")


def shares(prompts: Iterable[Prompt], graded: Iterable[Graded], grader: str = "") -> list[Share]:
    """Passed and given answers per prompt, in prompt order; of one grader alone when named."""
    counts: dict[str, list[int]] = {prompt.id: [0, 0] for prompt in prompts}
    for one in graded:
        if one.error:
            continue
        counts[one.prompt][0] += one.grades[grader].passed if grader else one.passed
        counts[one.prompt][1] += 1
    return [Share(passed, total) for passed, total in counts.values()]


def score(prompts: Sequence[Prompt], answered: Answered) -> Score:
    """How one model did. Answers with an error are in `errors` and in nothing else."""
    verdicts = shares(prompts, answered.graded)
    consistent = statistics.consistency(verdicts)
    accuracy = statistics.rate(verdicts)
    return Score(
        model=answered.model,
        prompts=len(verdicts),
        repeats=1 + max((answer.repeat for answer in answered.answers), default=0),
        accuracy=accuracy,
        interval=statistics.interval(verdicts),
        consistency=consistent[0] if consistent else None,
        consistency_interval=consistent[1] if consistent else None,
        quadrant=statistics.quadrant(accuracy, consistent[0] if consistent else None),
        graders=_graders(prompts, answered.graded),
        errors=sum(bool(one.error) for one in answered.graded),
        completion_tokens=sum(answer.completion_tokens or 0 for answer in answered.answers),
        seconds=answered.seconds,
    )


def _graders(prompts: Sequence[Prompt], graded: Sequence[Graded]) -> dict[str, float]:
    ids = next((list(one.grades) for one in graded if not one.error), [])
    return {name: statistics.rate(shares(prompts, graded, name)) for name in ids}


def evaluate(prompts: Sequence[Prompt], base: Answered, tuned: Answered) -> Evaluation:
    """Both models on the same prompts, and what tuning gained."""
    gain, interval = statistics.gain(shares(prompts, base.graded), shares(prompts, tuned.graded))
    return Evaluation(base=score(prompts, base), tuned=score(prompts, tuned), gain=gain, gain_interval=interval)
