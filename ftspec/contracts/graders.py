"""What the factories of graders and gates return: opinions of an answer, and a verdict over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ftspec.common.evaluation import Evaluation, Grade, Verdict
from ftspec.common.messages import Answer, Generation, Prompt
from ftspec.common.records import Record

Grader = Callable[[Prompt, Answer], Grade]


class Labelled(Record):
    """An answer that a person has judged."""

    prompt: Prompt
    answer: Answer
    passed: bool


class Asks(NamedTuple):
    """What a judge asks about one answer at the most: what the plan says that judging costs.

    Args:
        questions: how many; each of them shows the prompt.
        answers: answers that each of them shows.
        rows: how often each shows the prompt's row and what is expected, or parts of these.
        tokens: of all else in a question; no tokenizer makes more tokens of a text than it has bytes in UTF-8.
    """

    questions: int = 1
    answers: int = 1
    rows: int = 1
    tokens: int = 0


class Unjudged(Exception):
    """A judge has no verdict on an answer, which then counts neither as passed nor as failed; from `Judge.grade`.

    Args:
        replies: places of those replies that are none, so that the next run asks these questions anew and no others;
            all of the answer's where it is empty.
    """

    def __init__(self, message: str, replies: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.replies = tuple(replies)


class Judge(NamedTuple):
    """What a grader factory returns that asks a model: two pure functions, between which core asks.

    Core gathers the questions about all answers, puts the model up, asks as many at once as it may, and keeps the
    replies by digest, so that no question is ever asked twice: neither by the next run nor for another grader.

    Args:
        provider: as the spec writes it (an option of type ProviderRef).
        model: the provider's name for the judging model.
        generation: how it is asked.
        questions: (prompt, answer, the base model's answer to the same prompt and repeat, if known) → what the judge is
            asked; core gives each an id by its content. None where the grade needs no judge.
        grade: (prompt, answer, the replies in the questions' order) → the grade. It reads whatever a model says, and
            raises Unjudged where that is no verdict.
        labelled: answers that people have judged: core asks about them too, and reports how far the judge agrees.
        asks: how much that is at the most; None: nobody knows, and so nobody knows before what judging costs.
        compares: it compares the answer with another one: a score of 1 is won, 0.5 a tie, 0 lost.
    """

    provider: str | dict[str, Any]
    model: str
    generation: Generation
    questions: Callable[[Prompt, Answer, Answer | None], Sequence[Prompt]]
    grade: Callable[[Prompt, Answer, Sequence[Answer]], Grade]
    labelled: Sequence[Labelled] = ()
    asks: Asks | None = None
    compares: bool = False


Gate = Callable[[Evaluation], Verdict]
