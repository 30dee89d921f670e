"""Judging models: one asked in one way is a bench. It is asked what the store has no reply to, and no more.

Replies lie in the store under the digest of their bench, each under its question's content: whoever asks the same thing
of the same model, in whatever run, reads the answer. A reply that is no verdict is kept too, and asked anew by the next
run, once: as the question's next repeat, so that the last one counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ftspec import items
from ftspec.asking import ask
from ftspec.asking.breaker import Breaker
from ftspec.asking.spill import Spill
from ftspec.common.errors import PluginError, ProviderError
from ftspec.common.jobs import ModelRef
from ftspec.common.messages import Answer, Generation, Prompt, RemoteModel
from ftspec.common.progress import Progress
from ftspec.contracts.graders import Judge, Unjudged
from ftspec.contracts.provider import Provider
from ftspec.costs.costs import judge_name, rate_of
from ftspec.costs.spending import Meter, Purse, Unlimited
from ftspec.costs.tables import Tables
from ftspec.files.kept import Keyed, keep
from ftspec.grading.judgecases import Case, Cases, Replies
from ftspec.registry import Registry
from ftspec.state.workspace import Workspace

AGAIN = "run again, which asks only those"


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


def bench(judge: Judge, court: Court) -> Bench:
    """Build the provider that a judge names."""
    item = items.referred(judge.provider)
    provider: Provider = items.build(item, court.registry, court.folder)
    provider.attach(court.workspace.home(item.name))
    model = ModelRef(id=judge.model)
    covered: list[Any] = [provider.endpoint, model, provider.fingerprint(model), judge.generation]
    digest = hashlib.sha256(msgspec.json.encode(covered, order="sorted")).hexdigest()
    return Bench(item.name, provider, model, judge.generation, digest)


def replies_of(bench: Bench, cases: Cases, at: Mapping[int, str], court: Court, hearing: Hearing) -> Replies:
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


def _unclear(heard: Iterable[tuple[Case, list[Prompt]]], replies: Replies) -> Iterator[str]:
    """Ids of questions whose replies are no verdict."""
    for case, asked in heard:
        got = [replies[one.id] for one in asked]
        if asked and not any(reply.error for reply in got):
            try:
                case.judge.grade(case.prompt, case.answer, got)
            except PluginError:  # a fault of the judge's own, told when it grades: to ask again would only cost
                continue
            except Unjudged as why:
                yield from (asked[place].id for place in why.replies or range(len(asked)))


def _ask(bench: Bench, round_: ask.Round, spill: Spill, court: Court, hearing: Hearing) -> None:
    """Have the model asked what is missing. Raises its error where it answers nobody for too long."""
    from ftspec.asking import remote

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
