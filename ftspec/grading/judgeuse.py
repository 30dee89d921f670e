"""What each grader's judge was asked: how many questions at which cost, how it decided, and how far people agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from ftspec.common.errors import PluginError
from ftspec.common.evaluation import JudgeUse
from ftspec.common.messages import Answer, Prompt
from ftspec.contracts.graders import Judge, Labelled, Unjudged
from ftspec.costs.costs import of_answer, rate_of
from ftspec.costs.tables import Rate, Tables
from ftspec.grading.benches import Bench
from ftspec.grading.judgecases import Case, Cases, Replies, judged, questions


def agreement(pairs: Sequence[tuple[bool, bool]]) -> tuple[float | None, float | None]:
    """(share of pairs that agree, Cohen's kappa): Cohen (1960), Educational and Psychological Measurement 20:37-46.

    Kappa is None where both sides always say the same one thing: then chance alone explains all agreement.
    """
    if not pairs:
        return None, None
    total = len(pairs)
    observed = sum(one == two for one, two in pairs) / total
    one, two = sum(one for one, _ in pairs) / total, sum(two for _, two in pairs) / total
    chance = one * two + (1 - one) * (1 - two)
    return observed, (observed - chance) / (1 - chance) if chance < 1 else None


class Use:
    """What one grader has asked one bench so far; `cost` is None as soon as it cannot be told."""

    def __init__(self, rate: Rate | None) -> None:
        self.rate = rate
        self.cost = None if rate is None else 0.0
        self.judges: dict[int, Judge] = {}
        self.questions: set[str] = set()
        self.failed = self.unclear = self.prompt_tokens = self.completion_tokens = 0
        self.scores: Counter[float | None] = Counter()

    def judged(self, judge: Judge, replies: Replies, asked: Sequence[Prompt], case: Case) -> None:
        """Count what came of one answer."""
        if not asked or any(replies[one.id].error for one in asked):
            return
        try:
            found = judged(judge, replies, asked, case.prompt, case.answer)
        except (Unjudged, PluginError):
            self.unclear += 1
        else:
            self.scores[found.score] += judge.compares

    def add(self, judge: Judge, asked: Iterable[Prompt], replies: Replies) -> None:
        self.judges[id(judge)] = judge
        for one in asked:
            if one.id not in self.questions:
                self.questions.add(one.id)
                reply = replies[one.id]
                self.failed += bool(reply.error)
                self.prompt_tokens += reply.prompt_tokens or 0
                self.completion_tokens += reply.completion_tokens or 0
                self._count(reply)

    def _count(self, reply: Answer) -> None:
        if self.rate is None or self.cost is None:
            return
        cost = of_answer(self.rate, reply)
        if cost is None and reply.error:  # a refusal costs nothing
            cost = 0.0
        self.cost = None if cost is None else self.cost + cost


def uses_of(
    cases: Cases, benches: Mapping[str, Bench], at: Mapping[int, str], replies: Mapping[str, Replies], tables: Tables
) -> Iterator[JudgeUse]:
    """What each grader's judge was asked, in the order of their names' first use."""
    priced = {
        digest: rate_of(tables, one.provider.endpoint, one.model.id, tuned=False) for digest, one in benches.items()
    }
    uses: dict[tuple[str, str], Use] = {}
    for case in cases:
        digest = at[id(case.judge)]
        use = uses.setdefault((case.name, digest), Use(priced[digest][1]))
        asked = cases.questions(case)
        use.add(case.judge, asked, replies[digest])
        use.judged(case.judge, replies[digest], asked, case)
    for (name, digest), use in uses.items():
        # One file of labels is one set of labels, however many prompts bring the same judge along.
        labelled = {id(judge.labelled): judge for judge in use.judges.values()}
        pairs = [pair for judge in labelled.values() for pair in _both(judge, replies[digest], judge.labelled)]
        share, kappa = agreement(pairs)
        yield JudgeUse(
            grader=name,
            provider=benches[digest].name,
            model=benches[digest].model.id,
            questions=len(use.questions),
            failed=use.failed,
            unclear=use.unclear,
            won=use.scores[1.0],
            tied=use.scores[0.5],
            lost=use.scores[0.0],
            prompt_tokens=use.prompt_tokens,
            completion_tokens=use.completion_tokens,
            labelled=len(pairs),
            unlabelled=sum(len(judge.labelled) for judge in labelled.values()) - len(pairs),
            agreement=share,
            kappa=kappa,
            cost=use.cost,
            currency=price.currency if (price := priced[digest][0]) else "",
        )


def _both(judge: Judge, replies: Replies, labelled: Sequence[Labelled]) -> Iterator[tuple[bool, bool]]:
    """(judge, person) of every labelled answer that the judge has a verdict on."""
    for known in labelled:
        asked = questions(judge, known.prompt, known.answer)
        with suppress(Unjudged, PluginError):
            yield judged(judge, replies, asked, known.prompt, known.answer).passed, known.passed
