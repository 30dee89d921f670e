"""Asking over a network: many at once, within limits, again where allowed, and an end where there is no hope."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import pytest

from ftspec.asking import inflight, remote
from ftspec.asking.breaker import Breaker
from ftspec.asking.pacing import BURST, Pace
from ftspec.common.errors import Ambiguous, BudgetReached, PluginError, ProviderError, Rejected, Transient, Unauthorized
from ftspec.common.messages import Answer, Generation, Message, Prompt, Question, RateLimits
from ftspec.common.references import mask, resolve

HOW = Generation(max_tokens=8)


class Server:
    """A remote model: `says` decides what becomes of the n-th call (from 1) with a question."""

    def __init__(self, says: Callable[[Question, int], str | Exception] | None = None, *, concurrency: int = 8) -> None:
        self.limits = RateLimits(concurrency=concurrency)
        self.says = says or (lambda question, call: "yes")
        self.calls: Counter[str] = Counter()
        self.flying = self.most = 0
        self.closed_in: threading.Thread | None = None
        self.asked_in: threading.Thread | None = None

    async def ask(self, question: Question, generation: Generation) -> Answer:
        self.asked_in = threading.current_thread()
        self.calls[question.prompt.id] += 1
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            await asyncio.sleep(0.001)
            said = self.says(question, self.calls[question.prompt.id])
            if isinstance(said, Exception):
                raise said
            return Answer(prompt=question.prompt.id, repeat=question.repeat, text=said)
        finally:
            self.flying -= 1

    async def close(self) -> None:
        self.closed_in = threading.current_thread()


def questions(count: int) -> list[Question]:
    return [Question(prompt=Prompt(id=str(n), messages=[Message(role="user", content="hi")])) for n in range(count)]


def ask(model: Server, count: int, meter: object = None) -> list[Answer]:
    with remote.asking(model, meter) as answers:  # type: ignore[arg-type]
        return list(answers(questions(count), HOW))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "FIRST", 0.001)


def test_everything_is_asked_once_and_no_more_at_a_time_than_allowed() -> None:
    model = Server(concurrency=5)
    assert {answer.prompt for answer in ask(model, 40)} == {str(n) for n in range(40)}
    assert set(model.calls.values()) == {1}
    assert model.most == 5


def test_a_key_that_a_server_gives_back_is_no_part_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in words nor in a tool's arguments; what graders look for stays, and so does what could be a word."""
    monkeypatch.setattr(mask, "servers", set())
    values = {"SENT": "live-Zq81LmPv0aTqWx93", "SHORT": "no-key", "LOOKED_FOR": "canary-7hTbQe0xWm"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    resolve("${secret:SENT} ${secret:SHORT}")
    resolve("${secret:LOOKED_FOR}", sent=False)

    class Echo(Server):
        async def ask(self, question: Question, generation: Generation) -> Answer:
            call = {"function": {"name": "f", "arguments": {"given": [f"Bearer {values['SENT']}", 1]}}}
            answer = await super().ask(question, generation)
            return msgspec.structs.replace(answer, text=" ".join(values.values()), tool_calls=[call])

    (answer,) = ask(Echo(), 1)
    assert answer.text == f"*** no-key {values['LOOKED_FOR']}"
    assert answer.tool_calls == [{"function": {"name": "f", "arguments": {"given": ["Bearer ***", 1]}}}]


def test_a_key_that_a_refusal_quotes_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_API_KEY", "key-0123456789")
    (answer,) = ask(Server(lambda question, call: Rejected("key-0123456789 may not")), 1)
    assert answer.error == "*** may not"


def test_nothing_to_ask_is_no_call() -> None:
    assert ask(Server(), 0) == []


def test_connections_are_closed_in_the_loop_that_used_them() -> None:
    model = Server()
    ask(model, 2)
    assert model.closed_in is model.asked_in is not threading.current_thread()


def test_a_connection_that_will_not_close_takes_no_answer_away() -> None:
    class Stuck(Server):
        async def close(self) -> None:
            raise OSError("broken pipe")

    assert len(ask(Stuck(), 2)) == 2


def test_several_rounds_share_the_connections() -> None:
    model = Server()
    with remote.asking(model) as answers:
        assert len(list(answers(questions(3), HOW))) == 3
        assert model.closed_in is None
        assert len(list(answers(questions(2), HOW))) == 2
    assert model.closed_in


@pytest.mark.parametrize("error", [Transient("busy"), Ambiguous("reset")])
def test_what_may_be_asked_again_is(error: ProviderError) -> None:
    model = Server(lambda question, call: error if question.prompt.id == "1" and call < 3 else "yes")
    assert [answer.text for answer in ask(model, 3)] == ["yes"] * 3
    assert model.calls["1"] == 3


def test_who_cannot_know_asks_only_so_often() -> None:
    model = Server(lambda question, call: Ambiguous("reset") if question.prompt.id == "1" else "yes")
    assert sorted(answer.error for answer in ask(model, 3)) == ["", "", "reset"]
    assert model.calls["1"] == inflight.TRIES


def test_a_refusal_is_an_answer_and_is_not_repeated() -> None:
    model, purse = Server(lambda question, call: Rejected("no") if question.prompt.id == "1" else "yes"), Purse(99)
    assert sorted(answer.error for answer in ask(model, 3, purse)) == ["", "", "no"]
    assert model.calls["1"] == 1
    assert sorted(purse.recorded) == ["no", "ok", "ok"], "what was set aside for it is free again"


def test_many_refusals_are_the_questions_fault_where_one_was_answered() -> None:
    model = Server(lambda question, call: "yes" if question.prompt.id == "0" else Rejected("no"), concurrency=1)
    assert len(ask(model, 2 * inflight.REFUSALS)) == 2 * inflight.REFUSALS


def test_when_all_are_refused_nobody_asks_ten_thousand_times() -> None:
    model = Server(lambda question, call: Rejected("bad key"))
    with pytest.raises(Rejected, match="bad key"):
        ask(model, 10_000)
    assert model.calls.total() <= inflight.REFUSALS + model.limits.concurrency


def test_a_key_that_expires_midway_ends_the_asking_and_what_was_answered_is_kept() -> None:
    expired = Unauthorized("expired")
    model, purse = Server(lambda question, call: "yes" if int(question.prompt.id) < 30 else expired), Purse(99)
    arrived: list[Answer] = []
    with pytest.raises(Unauthorized), remote.asking(model, purse) as answers:
        arrived.extend(answers(questions(10_000), HOW))
    assert model.calls.total() <= 30 + model.limits.concurrency
    assert purse.recorded.count("ok") == 30


@pytest.mark.parametrize("error", [Transient("busy"), Ambiguous("reset")])
def test_a_model_that_answers_nobody_ends_the_asking(monkeypatch: pytest.MonkeyPatch, error: ProviderError) -> None:
    monkeypatch.setattr(inflight, "PATIENCE", 0.0)
    with pytest.raises(type(error)):
        ask(Server(lambda question, call: error), 100)


def breaking(model: Server, count: int, breaker: Breaker) -> list[Answer]:
    with remote.asking(model, breaker=breaker) as answers:
        return list(answers(questions(count), HOW))


def test_a_model_that_answered_nobody_is_asked_little_the_next_time_and_without_waiting() -> None:
    model, breaker = Server(lambda question, call: Ambiguous("reset")), Breaker()
    assert len(breaking(model, 3, breaker)) == 3
    assert (model.calls.total(), breaker.reason) == (3 * inflight.TRIES, "reset")
    model.calls.clear()
    assert breaking(model, 100, breaker) == []
    assert model.calls.total() == inflight.PROBES
    model.says = lambda question, call: Transient("refused")
    assert breaking(model, 100, breaker) == []
    assert (model.calls.total(), breaker.reason) == (2 * inflight.PROBES, "refused")
    model.says = lambda question, call: Ambiguous("reset") if question.prompt.id == "0" and call < 9 else "yes"
    model.calls.clear()
    assert sorted(answer.text for answer in breaking(model, 20, breaker)) == ["", *["yes"] * 19]
    assert breaker.reason == "", "who answers again is asked everything, and is patient"
    breaker.open("reset")
    model.says = lambda question, call: "yes"
    model.calls.clear()
    breaking(model, 20, breaker)
    assert set(model.calls.values()) == {1}, "and no question twice"


def test_nobody_waits_for_a_thousand_questions_to_a_model_that_answers_none() -> None:
    model, breaker = Server(lambda question, call: Ambiguous("reset"), concurrency=4), Breaker()
    breaking(model, 1000, breaker)
    assert model.calls.total() <= (inflight.GIVEN_UP + 4) * inflight.TRIES
    model, few = Server(lambda question, call: Ambiguous("reset"), concurrency=1), inflight.GIVEN_UP - 1
    assert len(breaking(model, few, Breaker())) == few, "a few are tried to the end"
    model, breaker = Server(lambda question, call: Ambiguous("no") if int(question.prompt.id) > 1 else "yes"), Breaker()
    assert len(breaking(model, 50, breaker)) == 50
    assert breaker.reason == "", "it has answered, so that the fault may be the questions'"


def test_who_leaves_questions_because_nobody_answers_blames_no_budget() -> None:
    breaker = Breaker()
    breaker.open("reset")
    model, purse = Server(lambda question, call: Ambiguous("reset")), Purse(99)
    with remote.asking(model, purse, breaker=breaker) as answers:
        assert list(answers(questions(20), HOW)) == []
    assert (purse.unasked, purse.missed) == (0, inflight.PROBES)


def test_without_a_breaker_every_question_is_tried_to_the_end() -> None:
    assert [answer.error for answer in ask(Server(lambda question, call: Ambiguous("reset")), 3)] == ["reset"] * 3


def test_refusals_open_no_breaker() -> None:
    breaker = Breaker()
    breaking(Server(lambda question, call: Rejected("no")), 3, breaker)
    assert (breaker.reason, breaker.reached) == ("", True)
    breaking(Server(lambda q, call: Ambiguous("reset") if q.prompt.id == "0" else Rejected("no")), 3, breaker)
    assert breaker.reason == "", "who says no is there"


def test_who_waits_is_told_why_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "WORD", 0.0)
    told: list[str] = []
    with remote.asking(Server(lambda q, call: Transient("full") if call < 3 else "yes"), tell=told.append) as answers:
        assert len(list(answers(questions(5), HOW))) == 5
    assert told == ["no answer yet: full; it is asked for up to 10 min 00 s"]


def test_patience_is_for_the_time_since_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now, passed = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now() + passed[0])

    def late(question: Question, call: int) -> str | Exception:
        if question.prompt.id == "3":
            return Transient("busy") if call == 1 else "yes"
        passed[0] += 0.7 * inflight.PATIENCE
        return "yes"

    assert len(ask(Server(late, concurrency=1), 4)) == 4


def test_a_wait_that_is_too_long_is_not_begun() -> None:
    with pytest.raises(Transient, match="quota; it asks to wait 24 h 00 min"):
        ask(Server(lambda question, call: Transient("quota", retry_after=86_400.0)), 3)


def test_a_fault_of_the_plugin_is_named_and_hangs_nothing() -> None:
    model = Server(lambda question, call: KeyError("choices") if question.prompt.id == "1" else "yes")
    with pytest.raises(PluginError, match=r"KeyError.*choices"):
        ask(model, 50)


def test_the_first_fault_ends_the_calls_in_flight() -> None:
    class Slow(Server):
        async def ask(self, question: Question, generation: Generation) -> Answer:
            answer = await super().ask(question, generation)
            self.flying += 1
            try:
                await asyncio.sleep(60)
            finally:
                self.flying -= 1
            return answer

    model, purse = Slow(lambda question, call: KeyError("choices") if question.prompt.id == "1" else "yes"), Purse(99)
    started = time.monotonic()
    with remote.asking(model, purse) as answers, pytest.raises(PluginError):
        list(answers(questions(8), HOW))
    assert (model.flying, time.monotonic() - started < 60) == (0, True)
    assert (purse.missed, purse.recorded) == (8, []), "each may be billed"


class Timed(Server):
    """Knows when it was called."""

    def __init__(self, says: Callable[[Question, int], str | Exception]) -> None:
        super().__init__(says, concurrency=1)
        self.at: list[float] = []

    async def ask(self, question: Question, generation: Generation) -> Answer:
        self.at.append(time.monotonic())
        return await super().ask(question, generation)

    @property
    def waits(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.at)]


def test_each_wait_is_twice_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "FIRST", 0.05)
    monkeypatch.setattr(inflight, "LONGEST", 0.1)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    model = Timed(lambda question, call: Ambiguous("reset") if call < 4 else "yes")
    ask(model, 1)
    assert all(wait >= least for wait, least in zip(model.waits, (0.05, 0.1, 0.1), strict=True))
    assert sum(model.waits) < 10


def test_the_pace_is_by_what_answers_have_taken() -> None:
    """10,000 tokens a second: each of the three takes more than a second's."""

    class Long(Timed):
        async def ask(self, question: Question, generation: Generation) -> Answer:
            return msgspec.structs.replace(await super().ask(question, generation), prompt_tokens=15_000)

    model = Long(lambda question, call: "yes")
    model.limits = RateLimits(concurrency=1, tokens_per_minute=600_000)
    ask(model, 3)
    assert max(model.waits) > 0.5


@pytest.mark.parametrize("kind", [Transient, Ambiguous])
def test_who_has_had_enough_is_asked_by_nobody_for_so_long(kind: type[ProviderError]) -> None:
    model = Timed(lambda question, call: kind("busy", retry_after=1.0) if call == 1 else "yes")
    ask(model, 1)
    assert min(model.waits) >= 1.0


def test_no_more_is_asked_while_nobody_takes_what_is_there() -> None:
    model = Server(concurrency=2)
    with remote.asking(model) as answers:
        arriving = answers(questions(10_000), HOW)
        next(arriving)
        time.sleep(0.5)
        assert model.calls.total() <= 1 + 2 * inflight.BEHIND + 2 * 2
        assert len(list(itertools.islice(arriving, 100))) == 100
        arriving.close()  # type: ignore[attr-defined]


def test_who_stops_listening_ends_the_calls() -> None:
    model = Server()
    with remote.asking(model) as answers:
        arriving = answers(questions(10_000), HOW)
        next(arriving)
        arriving.close()  # type: ignore[attr-defined]
        made = model.calls.total()
        assert model.flying == 0
    assert made == model.calls.total() < 10_000


def test_a_question_that_cannot_be_read_ends_the_asking() -> None:
    def broken() -> Iterator[Question]:
        yield from questions(3)
        raise OSError("disk")

    with remote.asking(Server()) as answers, pytest.raises(OSError, match="disk"):
        list(answers(broken(), HOW))


class Purse:
    """Allows so many calls in all."""

    def __init__(self, calls: int) -> None:
        self.left = calls
        self.recorded: list[str] = []
        self.missed = 0
        self.unasked = 0

    def may(self, question: Question) -> bool:
        self.left -= 1
        return self.left >= 0

    def record(self, answer: Answer) -> None:
        self.recorded.append(answer.error or "ok")

    def lost(self, question: Question) -> None:
        self.missed += 1

    def reached(self, left: int) -> BudgetReached | None:
        self.unasked = left
        return BudgetReached(f"{left} left")


class Batches:
    def answer(self, asked: list[Question], generation: Generation) -> Iterator[Answer]:
        for question in asked:
            yield Answer(prompt=question.prompt.id, repeat=question.repeat, text="yes")


@pytest.mark.parametrize("model", [Server(), Batches()])
def test_the_meter_stops_new_calls_and_what_was_paid_for_is_kept(
    monkeypatch: pytest.MonkeyPatch, model: object
) -> None:
    monkeypatch.setattr(remote, "CHUNK", 10)
    purse = Purse(7)
    found = []
    with remote.asking(model, purse) as answers, pytest.raises(BudgetReached):  # type: ignore[arg-type]
        for answer in answers(questions(20), HOW):
            found.append(answer)
    assert len(found) == 7
    assert purse.recorded == ["ok"] * 7
    assert purse.unasked == 13


def test_the_meter_hears_of_every_try() -> None:
    said: dict[int, str | Exception] = {1: Ambiguous("reset"), 2: Transient("busy"), 3: "yes"}
    purse = Purse(99)
    ask(Server(lambda question, call: said[call]), 1, purse)
    assert (purse.missed, purse.recorded) == (1, ["busy", "ok"])


def test_a_batch_that_ends_early_counts_as_lost() -> None:
    class Stops(Batches):
        def answer(self, asked: list[Question], generation: Generation) -> Iterator[Answer]:
            yield from super().answer(asked[:2], generation)

    purse = Purse(99)
    with remote.asking(Stops(), purse) as answers:  # type: ignore[arg-type]
        list(answers(questions(5), HOW))
    assert (len(purse.recorded), purse.missed) == (2, 3)


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def paced(limits: RateLimits, calls: int, tokens: int) -> list[float]:
    """When each call was let in, seconds after the first one, when each takes so many tokens."""
    clock = Time()

    async def all() -> list[float]:
        pace = Pace(limits, clock, clock.sleep)
        at = []
        for question in questions(calls):
            expected = await pace.admit(question, HOW)
            at.append(clock.now - 100)
            pace.settle(expected, Answer(prompt="0", repeat=0, prompt_tokens=tokens, completion_tokens=0))
        return at

    return asyncio.run(all())


def most_in_a_minute(at: list[float]) -> int:
    return max(sum(start <= other < start + 60 for other in at) for start in at)


def test_calls_keep_to_the_limit_per_minute() -> None:
    at = paced(RateLimits(requests_per_minute=60), 300, 1)
    assert most_in_a_minute(at) <= 60 + 60 * BURST / 60 + 1
    assert at[-1] == pytest.approx(300 - BURST, abs=2)


def test_tokens_keep_to_the_limit_per_minute_by_what_calls_really_take() -> None:
    at = paced(RateLimits(tokens_per_minute=6000), 300, 100)
    assert most_in_a_minute(at) * 100 <= 6000 + 6000 * BURST / 60 + 2 * 100
    assert at[-1] == pytest.approx(300, abs=5)


def test_a_call_is_expected_to_take_what_those_before_it_took() -> None:
    async def expected() -> list[float]:
        pace, found = Pace(RateLimits(tokens_per_minute=1e9)), []
        for prompt, completion in ((20, 10), (None, None), (50, None), (0, 0)):
            found.append(await pace.admit(questions(1)[0], HOW))
            pace.settle(found[-1], Answer(prompt="0", repeat=0, prompt_tokens=prompt, completion_tokens=completion))
        return found

    assert asyncio.run(expected()) == [len("hi") / 4 + 8, 30, 30, 40]


def test_a_call_that_is_larger_than_the_limit_is_made_all_the_same() -> None:
    at = paced(RateLimits(tokens_per_minute=60), 3, 120)
    assert at[1] == pytest.approx(120, abs=10)


def test_without_limits_nobody_waits() -> None:
    assert paced(RateLimits(), 50, 1000) == [0.0] * 50


def test_a_pause_holds_everybody() -> None:
    clock = Time()

    async def wait() -> float:
        pace = Pace(RateLimits(), clock, clock.sleep)
        pace.pause(30)
        pace.pause(10)
        await pace.admit(questions(1)[0], HOW)
        return clock.now - 100

    assert asyncio.run(wait()) == 30
