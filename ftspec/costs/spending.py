"""What a run has spent: counted while it goes on, durable before it is spent, and never forgotten.

`spent/<run>/<writer>` holds what one process may have spent (`granted`) and what it knows that it has (`spent`). A
grant is written *before* anything is asked under it, a little ahead of need, so that a process that is killed has never
spent more than the store says; one that ends says how much it was. `granted` is what counts against the budget: after a
kill a little too much, never too little. A grant is written first and the others' are read after it, so that of two
processes that ask for the last of the budget at once, one sees the other.

`spent/<run>/<name>-<key>` holds what a job or a deployment costs: written before it is made, too.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from ftspec.common.errors import BudgetReached
from ftspec.common.figures import money, plural
from ftspec.common.messages import Answer, Generation, Question
from ftspec.common.records import Record
from ftspec.costs.costs import ANSWERS, HOUR, answering, is_judging, most_tokens, of_answer
from ftspec.costs.tables import Rate
from ftspec.state.journal import WRITER, decode
from ftspec.state.store import Store

AHEAD = 64
"""A grant is for so many questions more than the next one,"""
SHARE = 0.05
"""and for no more than this share of what is left: what a kill may count too much."""


class Meter(Protocol):
    """Counts what is spent. Not thread-safe: called by the one thread (or loop) that asks.

    Each question goes through `may`, and then through exactly one of `record` and `lost`; asking once more starts with
    `may` again.
    """

    def may(self, question: Question) -> bool:
        """Whether the question may be sent now; reserves the most that it can cost.

        False: it could pass the cap together with what is in flight. A worker that hears False stops asking; those
        that are in flight end, and may go on if they turn out cheaper. When nobody is left, the rest stays unasked.
        """
        ...

    def record(self, answer: Answer) -> None:
        """It was answered, or refused for certain (`answer.error`): what it cost takes the reservation's place."""
        ...

    def lost(self, question: Question) -> None:
        """Nobody knows what came of it (timeout, reset): it may be billed, so that it counts as spent in full."""
        ...

    def reached(self, left: int) -> BudgetReached | None:
        """The error to raise when asking has stopped with so many questions left unasked; None where nothing caps."""
        ...


class Unlimited:
    """Counts nothing and allows everything."""

    def may(self, question: Question) -> bool:
        return True

    def record(self, answer: Answer) -> None: ...

    def lost(self, question: Question) -> None: ...

    def reached(self, left: int) -> BudgetReached | None:
        return None


class Entry(Record):
    """What one process, job or deployment has cost, in the run's currency.

    `granted` is what counts against the budget, `spent` what is known. `uncounted` are answers whose price is not
    known; `verified`: whether somebody has read the price in the vendor's own list. Of a deployment `since` is when it
    was put up and `hourly` its price: it costs more until it has `ended`.
    """

    what: str
    granted: float = 0.0
    spent: float = 0.0
    uncounted: int = 0
    known: bool = True
    verified: bool = True
    since: float = 0.0
    hourly: float = 0.0
    ended: float = 0.0
    writer: str = WRITER

    def counts(self, now: float) -> float:
        """What it counts against the budget at a time (seconds since the epoch)."""
        return max(self.granted, ((self.ended or now) - self.since) / HOUR * self.hourly)


class Spent(Record):
    """What a run has spent, by part. `unsettled` is what counts as spent though nobody knows whether it was.

    `uncounted` are answers that cost nobody knows what; `unknown` parts without a price, `unverified`
    parts that rest on a price that nobody has read in the vendor's own list.
    """

    parts: dict[str, float] = {}
    unsettled: float = 0.0
    uncounted: int = 0
    unknown: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    currency: str = ""
    cap: float | None = None

    @property
    def total(self) -> float:
        """What counts against the budget."""
        return sum(self.parts.values()) + self.unsettled


class Purse:
    """What one run may spend, as one process sees it.

    Args:
        cap: the budget in `currency`; None: nothing caps, and what is spent is counted all the same.
    """

    def __init__(self, store: Store, run: str, cap: float | None, currency: str) -> None:
        self.store, self.run, self.cap, self.currency = store, run, cap, currency
        self.prefix = f"spent/{run}"

    def spent(self) -> Spent:
        """What has been spent by everyone, as the store knows it."""
        parts: dict[str, float] = {}
        unsettled, uncounted, unknown = 0.0, 0, []
        now = time.time()
        entries = self._entries()
        for entry in entries.values():
            settled = entry.spent if not entry.hourly else entry.counts(now)
            parts[entry.what] = parts.get(entry.what, 0.0) + settled
            unsettled += max(0.0, entry.counts(now) - settled)
            uncounted += entry.uncounted
            if not entry.known:
                unknown.append(entry.what)
        return Spent(
            parts=parts,
            unsettled=unsettled,
            uncounted=uncounted,
            unknown=tuple(unknown),
            unverified=tuple(dict.fromkeys(one.what for one in entries.values() if not one.verified)),
            currency=self.currency,
            cap=self.cap,
        )

    @contextmanager
    def meter(
        self, what: str, rate: Rate | None, generation: Generation, *, verified: bool = True
    ) -> Iterator[Questions]:
        """Leave to ask one model; what is still in flight when the context is left counts as spent."""
        account = _Account(self, what, verified)
        try:
            yield Questions(account, rate, generation)
        finally:
            account.close()

    def commit(self, what: str, key: str, amount: float | None, *, verified: bool = True) -> None:
        """A job is about to be made that costs so much (None: nobody knows)."""
        cost, known = amount or 0.0, amount is not None
        entry = Entry(what=what, granted=cost, spent=cost, known=known, verified=verified)
        self._put(f"{what}-{key}", entry)

    def has(self, what: str, key: str) -> bool:
        """Whether this run pays for the job."""
        return self.store.head(f"{self.prefix}/{what}-{key}") is not None

    def release(self, what: str, key: str) -> None:
        """The job was refused: it costs nothing."""
        self.store.delete(f"{self.prefix}/{what}-{key}")

    def stands(self, what: str, key: str, hourly: float | None, since: float) -> None:
        """A deployment is about to be put up; until `fell` it costs more by the hour."""
        self._put(f"{what}-{key}", Entry(what=what, hourly=hourly or 0.0, since=since, known=hourly is not None))

    def fell(self, what: str, key: str, at: float) -> None:
        """The deployment is gone. One that was never told of costs nothing here."""
        name = f"{what}-{key}"
        entry = self._entries().get(f"{self.prefix}/{name}")
        if entry and not entry.ended:
            self._put(name, msgspec.structs.replace(entry, ended=at))

    # ---- below

    def others(self, but: str) -> float:
        """What all but one entry count."""
        now = time.time()
        return sum(entry.counts(now) for key, entry in self._entries().items() if key != f"{self.prefix}/{but}")

    def _entries(self) -> dict[str, Entry]:
        return {stored.key: decode(self.store, stored.key, Entry) for stored in self.store.list(self.prefix)}

    def _put(self, name: str, entry: Entry) -> None:
        self.store.put(f"{self.prefix}/{name}", msgspec.json.encode(entry))


class _Account:
    """What one process spends on one thing: known, in flight, and granted, which is never less than both together."""

    def __init__(self, purse: Purse, what: str, verified: bool) -> None:
        self.purse, self.what, self.verified = purse, what, verified
        self.name = secrets.token_hex(8)
        self.spent = self.flying = self.granted = 0.0
        self.uncounted = 0

    def reserve(self, amount: float) -> bool:
        """Set an amount aside; False where it could pass the cap."""
        needed = self.spent + self.flying + amount
        if needed > self.granted and not self._grow(needed, amount):
            return False
        self.flying += amount
        return True

    def settle(self, reserved: float, cost: float) -> None:
        self.flying -= reserved
        self.spent += cost

    def close(self) -> None:
        """What is in flight counts as spent; the rest of the grant is given back."""
        self.spent, self.flying = self.spent + self.flying, 0.0
        if self.granted or self.uncounted:
            self._grant(self.spent)

    def _grow(self, needed: float, amount: float) -> bool:
        cap = self.purse.cap
        if cap is None:
            self._grant(needed + AHEAD * amount)
            return True
        left = cap - self.purse.others(self.name) - needed
        if left < 0:
            return False
        before = self.granted
        self._grant(needed + min(AHEAD * amount, SHARE * left))
        if self.granted + self.purse.others(self.name) <= cap:
            return True
        self._grant(max(before, self.spent + self.flying))  # somebody else asked at the same time
        return False

    def _grant(self, amount: float) -> None:
        self.granted = amount
        entry = Entry(
            what=self.what, granted=amount, spent=self.spent, uncounted=self.uncounted, verified=self.verified
        )
        self.purse._put(self.name, entry)


class Questions:
    """Leave to ask one model, question by question: the meter of one evaluation."""

    def __init__(self, account: _Account, rate: Rate | None, generation: Generation) -> None:
        self.account, self.rate, self.most = account, rate, generation.max_tokens
        self.open: dict[tuple[str, int], tuple[float, float]] = {}
        """The most that each question in flight can cost, and what is reserved for it."""
        self.excess = 0.0
        """By how much an answer has cost more than it could: of a server that does not hold to `max_tokens`, say."""

    def may(self, question: Question) -> bool:
        most = 0.0 if self.rate is None else answering(self.rate, most_tokens(question.prompt), self.most)
        reserved = most + self.excess
        if not self.account.reserve(reserved):
            return False
        self.open[question.prompt.id, question.repeat] = most, reserved
        return True

    def record(self, answer: Answer) -> None:
        most, reserved = self.open.pop((answer.prompt, answer.repeat), (0.0, 0.0))
        cost = of_answer(self.rate, answer) if self.rate else 0.0
        if self.rate is None and not answer.error:
            self.account.uncounted += 1
        if cost is None:
            # A refusal costs nothing; an answer whose tokens nobody has counted may have cost the most.
            cost = 0.0 if answer.error else reserved
        self.excess = max(self.excess, cost - most)
        self.account.settle(reserved, cost)

    def lost(self, question: Question) -> None:
        _, reserved = self.open.pop((question.prompt.id, question.repeat), (0.0, 0.0))
        self.account.settle(reserved, reserved)

    def _whom(self) -> str:
        what = self.account.what
        return what if is_judging(what) else f"{what.removesuffix(ANSWERS)} model"

    def reached(self, left: int) -> BudgetReached | None:
        purse = self.account.purse
        if purse.cap is None:
            return None
        return BudgetReached(
            f"the budget of {money(purse.cap, purse.currency)} is reached: {plural(left, 'question')} to the "
            f"{self._whom()} might exceed it and {'was' if left == 1 else 'were'} not asked; "
            f"{money(purse.spent().total, purse.currency)} are spent",
            "what was answered is kept: raise `budget.max` and run again, or ask less "
            "(`eval.repeat`, `eval.generation.max_tokens`)",
        )
