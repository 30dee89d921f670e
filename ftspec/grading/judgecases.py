"""What judges are to judge: every answer that a judge of its prompt grades, and the questions that it asks of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ftspec.common.evaluation import Grade
from ftspec.common.messages import Answer, Prompt
from ftspec.contracts.graders import Grader, Judge, Unjudged
from ftspec.files.kept import Keyed
from ftspec.grading.grade import names
from ftspec.spec import Item

Built = Grader | Judge
Key = tuple[str, int]
Replies = Mapping[str, Answer]
"""By a question's id."""


class Case(msgspec.Struct, frozen=True):
    """One judge, called `name`, and what it is to judge."""

    name: str
    judge: Judge
    prompt: Prompt
    answer: Answer


def questions(judge: Judge, prompt: Prompt, answer: Answer, others: Mapping[Key, Answer] | None = None) -> list[Prompt]:
    """What the judge wants to know, each under an id that follows from its messages and tools."""
    other = (others or {}).get((answer.prompt, answer.repeat))
    asked = judge.questions(prompt, answer, None if other is None or other.error else other)
    return [msgspec.structs.replace(one, id=_content(one)) for one in asked]


def _content(question: Prompt) -> str:
    said = msgspec.json.encode([question.messages, question.tools], order="sorted")
    return hashlib.sha256(said).hexdigest()[:32]


def judged(judge: Judge, replies: Replies, asked: Sequence[Prompt], prompt: Prompt, answer: Answer) -> Grade:
    """The verdict on an answer by the replies to what was asked of it. Raises Unjudged where a reply is missing."""
    got = [replies[question.id] for question in asked]
    if failed := next((reply.error for reply in got if reply.error), ""):
        raise Unjudged(f"the judge {judge.model} gave no answer: {failed}")
    return judge.grade(prompt, answer, got)


class Cases:
    """Every judge's every case, found anew in each pass: neither cases nor questions are held."""

    def __init__(
        self,
        graders: Sequence[tuple[Item, Built]],
        own: Mapping[str, Sequence[tuple[Item, Built]]],
        prompts: Sequence[Prompt],
        answers: Sequence[Answer],
        base: Sequence[Answer],
    ) -> None:
        self._graders, self._own, self._answers = graders, own, answers
        self._some = any(isinstance(grader, Judge) for pairs in (graders, *own.values()) for _, grader in pairs)
        self._prompts = Keyed(prompts if self._some else (), lambda prompt: prompt.id)
        self.others = Keyed(base if self._some else (), lambda answer: (answer.prompt, answer.repeat))

    def __iter__(self) -> Iterator[Case]:
        for answer in self._answers if self._some else ():
            pairs = [*self._graders, *self._own.get(answer.prompt, ())]
            if answer.error or not any(isinstance(grader, Judge) for _, grader in pairs):
                continue
            for name, (_, grader) in zip(names([item for item, _ in pairs]), pairs, strict=True):
                if isinstance(grader, Judge):
                    yield Case(name, grader, self._prompts[answer.prompt], answer)

    def questions(self, case: Case) -> list[Prompt]:
        return questions(case.judge, case.prompt, case.answer, self.others)

    def heard(self, digest: str, at: Mapping[int, str]) -> Iterator[tuple[Case, list[Prompt]]]:
        """What a bench is to judge, and by which questions: labelled answers first, then the cases."""
        here = [case for case in {id(case.judge): case for case in self}.values() if at[id(case.judge)] == digest]
        for case in here:
            for known in case.judge.labelled:
                yield (
                    Case(case.name, case.judge, known.prompt, known.answer),
                    questions(case.judge, known.prompt, known.answer),
                )
        for case in self:
            if at[id(case.judge)] == digest:
                yield case, self.questions(case)

    def asked(self, digest: str, at: Mapping[int, str]) -> Iterator[Prompt]:
        """What a bench is asked, each question once."""
        seen: set[str] = set()
        for _, asked in self.heard(digest, at):
            for one in asked:
                if one.id not in seen:
                    seen.add(one.id)
                    yield one
