"""Graders that ask a model: gather what all of them want to know, ask it once, and hand out plain graders.

    judges ─ questions ─► one bench per (provider, model, generation) ─ ask what the store lacks ─► replies ─ grade

Replies lie in the store under the digest of their bench, each under its question's content: whoever asks the same thing
of the same model, in whatever run, reads the answer. A reply that is no verdict is kept too, and asked anew by the next
run, once: as the question's next repeat, so that the last one counts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ftspec import ask, items
from ftspec.breaker import Breaker
from ftspec.costs import judge_name, of_answer, rate_of
from ftspec.errors import ProviderError
from ftspec.evaluation import Grade, JudgeUse
from ftspec.grade import names
from ftspec.graders import Grader, Judge, Labelled, Unjudged
from ftspec.jobs import ModelRef
from ftspec.kept import Keyed, keep
from ftspec.messages import Answer, Generation, Prompt, RemoteModel
from ftspec.progress import Progress
from ftspec.provider import Provider
from ftspec.registry import Registry
from ftspec.spec import Item
from ftspec.spending import Meter, Purse, Unlimited
from ftspec.spill import Spill
from ftspec.tables import Rate, Tables
from ftspec.workspace import Workspace

AGAIN = "run again, which asks only those"

Built = Grader | Judge
Key = tuple[str, int]
Replies = Mapping[str, Answer]
"""By a question's id."""


class Hearing:
    """What one run knows of a bench: whether it answers, and which questions the run has asked it."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.asked: set[str] = set()


class Court(NamedTuple):
    """Where judges are built and asked."""

    registry: Registry
    folder: Path
    workspace: Workspace
    progress: Progress
    tables: Tables = Tables()
    purse: Purse | None = None
    """What judging may cost, together with all else; None: nobody counts."""
    hearings: dict[str, Hearing] | None = None
    """By a bench's digest, what the run has heard so far; None: it begins here."""


class Bench(NamedTuple):
    """One judging model, asked in one way. `name` is the provider's, as the spec calls it."""

    name: str
    provider: Provider
    model: ModelRef
    generation: Generation
    digest: str


class Settled(NamedTuple):
    """Graders that need nobody any more, for every prompt and by prompt id; and what was asked for them."""

    graders: list[tuple[Item, Grader]]
    own: dict[str, list[tuple[Item, Grader]]]
    uses: tuple[JudgeUse, ...]


class _Case(NamedTuple):
    """One judge, called `name`, and what it is to judge."""

    name: str
    judge: Judge
    prompt: Prompt
    answer: Answer


def bench(judge: Judge, court: Court) -> Bench:
    """Build the provider that a judge names."""
    item = items.referred(judge.provider)
    provider: Provider = items.build(item, court.registry, court.folder)
    provider.attach(court.workspace.home(item.name))
    model = ModelRef(id=judge.model)
    covered: list[Any] = [provider.endpoint, model, provider.fingerprint(model), judge.generation]
    digest = hashlib.sha256(msgspec.json.encode(covered, order="sorted")).hexdigest()
    return Bench(item.name, provider, model, judge.generation, digest)


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
    cases = _Cases(graders, own, prompts, answers, base)
    made = {key: bench(judge, court) for key, judge in {id(case.judge): case.judge for case in cases}.items()}
    at = {key: one.digest for key, one in made.items()}
    benches = {one.digest: one for one in made.values()}
    heard = {} if court.hearings is None else court.hearings
    replies = {
        digest: _replies(one, cases, at, court, heard.setdefault(digest, Hearing())) for digest, one in benches.items()
    }

    def plain(item: Item, grader: Built) -> tuple[Item, Grader]:
        if not isinstance(grader, Judge):
            return item, grader
        return item, _settled(grader, replies.get(at.get(id(grader), ""), {}), cases.others)

    return Settled(
        graders=[plain(*pair) for pair in graders],
        own={prompt: [plain(*pair) for pair in pairs] for prompt, pairs in own.items()},
        uses=tuple(_uses(cases, benches, at, replies, court.tables)),
    )


def questions(judge: Judge, prompt: Prompt, answer: Answer, others: Mapping[Key, Answer] | None = None) -> list[Prompt]:
    """What the judge wants to know, each under an id that follows from its messages and tools."""
    other = (others or {}).get((answer.prompt, answer.repeat))
    asked = judge.questions(prompt, answer, None if other is None or other.error else other)
    return [msgspec.structs.replace(one, id=_content(one)) for one in asked]


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


def _content(question: Prompt) -> str:
    said = msgspec.json.encode([question.messages, question.tools], order="sorted")
    return hashlib.sha256(said).hexdigest()[:32]


class _Cases:
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

    def __iter__(self) -> Iterator[_Case]:
        for answer in self._answers if self._some else ():
            pairs = [*self._graders, *self._own.get(answer.prompt, ())]
            if answer.error or not any(isinstance(grader, Judge) for _, grader in pairs):
                continue
            for name, (_, grader) in zip(names([item for item, _ in pairs]), pairs, strict=True):
                if isinstance(grader, Judge):
                    yield _Case(name, grader, self._prompts[answer.prompt], answer)

    def questions(self, case: _Case) -> list[Prompt]:
        return questions(case.judge, case.prompt, case.answer, self.others)

    def heard(self, digest: str, at: Mapping[int, str]) -> Iterator[tuple[_Case, list[Prompt]]]:
        """What a bench is to judge, and by which questions: labelled answers first, then the cases."""
        here = [case for case in {id(case.judge): case for case in self}.values() if at[id(case.judge)] == digest]
        for case in here:
            for known in case.judge.labelled:
                yield (
                    _Case(case.name, case.judge, known.prompt, known.answer),
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


def _replies(bench: Bench, cases: _Cases, at: Mapping[int, str], court: Court, hearing: Hearing) -> Replies:
    """Replies to all questions; the model is only put up where the store lacks one, or has one that is no verdict."""
    spill = Spill(court.workspace.store, f"judgements/{bench.digest}")
    wanted = keep(Prompt, cases.asked(bench.digest, at), court.workspace.local)
    round_ = ask.Round(wanted, bench.generation, repeat=1, seed=0)
    _note(round_, spill)

    def kept() -> Replies:
        silent = hearing.breaker.reason or ask.SILENT
        given = round_.answers(spill.read(Answer), silent)
        return Keyed(keep(Answer, given, court.workspace.local), lambda reply: reply.prompt)

    if any(one not in hearing.asked for one in round_.given()):
        earlier = kept()
        for one in dict.fromkeys(_unclear(cases.heard(bench.digest, at), earlier)):
            if one not in hearing.asked:
                round_.ask_anew(one)
    if round_.known < len(round_):
        _ask(bench, round_, spill, court, hearing)
    return kept()


def _note(round_: ask.Round, spill: Spill) -> None:
    """Mark what is known. Of a question that was asked anew the last reply counts: those before were no verdicts."""
    for reply in spill.read(Answer):
        if reply.repeat and not reply.error:
            round_.first[reply.prompt] = max(reply.repeat, round_.first.get(reply.prompt, 0))
    for reply in spill.read(Answer):
        round_.note(reply)


def _unclear(heard: Iterable[tuple[_Case, list[Prompt]]], replies: Replies) -> Iterator[str]:
    """Ids of questions whose replies are no verdict."""
    for case, asked in heard:
        got = [replies[one.id] for one in asked]
        if asked and not any(reply.error for reply in got):
            try:
                case.judge.grade(case.prompt, case.answer, got)
            except Unjudged as why:
                yield from (asked[place].id for place in why.replies or range(len(asked)))


def _ask(bench: Bench, round_: ask.Round, spill: Spill, court: Court, hearing: Hearing) -> None:
    """Have the model asked what is missing. Raises its error where it answers nobody for too long."""
    from ftspec import remote

    model, breaker = bench.model.id, hearing.breaker
    hearing.asked.update(question.prompt.id for question in round_.missing())

    def tell(said: str) -> None:
        if not breaker.reason:
            court.progress.note(said)
        elif not breaker.told:
            breaker.told = True
            court.progress.note(f"{said}; in this run it is not waited for again: {AGAIN}")

    def waiting(said: str) -> None:
        court.progress.note(f"the judge {model}: {said}")

    try:
        with (
            _metered(bench, court) as meter,
            bench.provider.serve(bench.model) as up,
            remote.asking(up, meter, breaker=breaker, tell=waiting) as answers,
            spill.writer() as writer,
        ):
            again = not isinstance(up, RemoteModel)
            ask.ask(
                answers,
                round_,
                label="judge",
                about=model,
                keep=writer.add,
                progress=court.progress,
                again=again,
                tell=tell,
            )
    except ProviderError as error:
        error.message = f"the judge {model} gave no answer: {error.message}"
        error.hint = "; ".join(
            filter(None, [error.hint, "what was answered and judged is kept: run again, which asks only the rest"])
        )
        raise


def _metered(bench: Bench, court: Court) -> AbstractContextManager[Meter]:
    if court.purse is None:
        return nullcontext(Unlimited())
    price, rate = rate_of(court.tables, bench.provider.endpoint, bench.model.id, tuned=False)
    verified = price is None or price.verified
    return court.purse.meter(judge_name(bench.model.id), rate, bench.generation, verified=verified)


def _settled(judge: Judge, replies: Replies, others: Mapping[Key, Answer]) -> Grader:
    def grade(prompt: Prompt, answer: Answer) -> Grade:
        return _judged(judge, replies, questions(judge, prompt, answer, others), prompt, answer)

    return grade


def _judged(judge: Judge, replies: Replies, asked: Sequence[Prompt], prompt: Prompt, answer: Answer) -> Grade:
    got = [replies[question.id] for question in asked]
    if failed := next((reply.error for reply in got if reply.error), ""):
        raise Unjudged(f"the judge {judge.model} gave no answer: {failed}")
    return judge.grade(prompt, answer, got)


class _Use:
    """What one grader has asked one bench so far; `cost` is None as soon as it cannot be told."""

    def __init__(self, rate: Rate | None) -> None:
        self.rate = rate
        self.cost = None if rate is None else 0.0
        self.judges: dict[int, Judge] = {}
        self.questions: set[str] = set()
        self.failed = self.unclear = self.prompt_tokens = self.completion_tokens = 0
        self.scores: Counter[float | None] = Counter()

    def judged(self, judge: Judge, replies: Replies, asked: Sequence[Prompt], case: _Case) -> None:
        """Count what came of one answer."""
        if not asked or any(replies[one.id].error for one in asked):
            return
        try:
            found = _judged(judge, replies, asked, case.prompt, case.answer)
        except Unjudged:
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


def _uses(
    cases: _Cases, benches: Mapping[str, Bench], at: Mapping[int, str], replies: Mapping[str, Replies], tables: Tables
) -> Iterator[JudgeUse]:
    """What each grader's judge was asked, in the order of their names' first use."""
    priced = {
        digest: rate_of(tables, one.provider.endpoint, one.model.id, tuned=False) for digest, one in benches.items()
    }
    uses: dict[tuple[str, str], _Use] = {}
    for case in cases:
        digest = at[id(case.judge)]
        use = uses.setdefault((case.name, digest), _Use(priced[digest][1]))
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
        with suppress(Unjudged):
            yield _judged(judge, replies, asked, known.prompt, known.answer).passed, known.passed
