"""Graders that ask a model: gather what all of them want to know, ask it once, and hand out plain graders.

judges ─ questions ─► one bench per (provider, model, generation) ─ ask what the store lacks ─► replies ─ grade
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ftspec.common.evaluation import Grade, JudgeUse
from ftspec.common.messages import Answer, Prompt
from ftspec.contracts.graders import Grader, Judge
from ftspec.grading.benches import Court, Hearing, bench, replies_of
from ftspec.grading.judgecases import Built, Cases, Key, Replies, judged, questions
from ftspec.grading.judgeuse import uses_of
from ftspec.spec import Item


class Settled(msgspec.Struct, frozen=True):
    """Graders that need nobody any more, for every prompt and by prompt id; and what was asked for them."""

    graders: list[tuple[Item, Grader]]
    own: dict[str, list[tuple[Item, Grader]]]
    uses: tuple[JudgeUse, ...]


def settle(
    graders: Sequence[tuple[Item, Built]],
    own: Mapping[str, Sequence[tuple[Item, Built]]],
    prompts: Sequence[Prompt],
    answers: Sequence[Answer],
    base: Sequence[Answer],
    court: Court,
) -> Settled:
    """Have every judge's questions about the answers answered.

    Args:
        own: by prompt id, the graders of that prompt alone.
        base: the base model's answers, for judges that compare; of the base model itself the same as `answers`.
    """
    cases = Cases(graders, own, prompts, answers, base)
    made = {key: bench(judge, court) for key, judge in {id(case.judge): case.judge for case in cases}.items()}
    at = {key: one.digest for key, one in made.items()}
    benches = {one.digest: one for one in made.values()}
    heard = {} if court.hearings is None else court.hearings
    replies = {
        digest: replies_of(one, cases, at, court, heard.setdefault(digest, Hearing()))
        for digest, one in benches.items()
    }

    def plain(item: Item, grader: Built) -> tuple[Item, Grader]:
        if not isinstance(grader, Judge):
            return item, grader
        return item, _settled(grader, replies.get(at.get(id(grader), ""), {}), cases.others)

    return Settled(
        graders=[plain(*pair) for pair in graders],
        own={prompt: [plain(*pair) for pair in pairs] for prompt, pairs in own.items()},
        uses=tuple(uses_of(cases, benches, at, replies, court.tables)),
    )


def _settled(judge: Judge, replies: Replies, others: Mapping[Key, Answer]) -> Grader:
    def grade(prompt: Prompt, answer: Answer) -> Grade:
        return judged(judge, replies, questions(judge, prompt, answer, others), prompt, answer)

    return grade
