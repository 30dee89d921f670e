"""The accepted runs of a spec: what a later run must not fall behind.

A run whose gates passed is accepted when it ends; `ftspec accept` accepts another one. The last one counts.

accepted/<spec name>/<nanoseconds>      which run, and when
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

import msgspec

from ftspec.common.errors import StoreError
from ftspec.common.records import TUNED, Event, Record
from ftspec.state import history
from ftspec.state.journal import Journal, decode
from ftspec.state.store import Store

HAND: Literal["hand"] = "hand"
"""Accepted by a person, with `ftspec accept`."""


class Accepted(Record):
    """A run that was accepted, at seconds since the epoch; `by` says whether its gates or a person did."""

    run: str
    at: float
    by: str = "gates"


class Standing(NamedTuple):
    """What a run is judged by: the last accepted one beside it ("" where there is none), and when a person accepted
    the run itself since (0.0: nobody did)."""

    run: str = ""
    by_hand: float = 0.0


def accept(store: Store, name: str, run: str, by: Literal["gates", "hand"] = "gates") -> None:
    """Make the run the one that later runs of the spec called `name` are compared with."""
    now = time.time_ns()
    last = f"{_prefix(name)}/{now:020d}"
    store.put(last, msgspec.json.encode(Accepted(run=run, at=now / 1e9, by=by)))


def is_accepted(store: Store, name: str, run: str) -> bool:
    """Whether the run was ever accepted."""
    return any(decode(store, stored.key, Accepted).run == run for stored in store.list(_prefix(name)))


def standing(store: Store, name: str, run: str) -> Standing:
    """How the run stands among those of its spec. One that was removed (`ftspec runs --remove`), or that has asked no
    tuned model, is nothing to fall behind."""
    by_hand = 0.0
    for stored in reversed(store.list(_prefix(name))):
        found = decode(store, stored.key, Accepted)
        if found.run == run:
            by_hand = max(by_hand, found.at if found.by == HAND else 0.0)
        elif _asked_tuned(store, found.run):
            return Standing(found.run, by_hand)
    return Standing(by_hand=by_hand)


def _asked_tuned(store: Store, run: str) -> bool:
    try:
        plan = history.plan_of(run, Journal(store, run).events())
    except StoreError:  # removed, or damaged: nothing can be compared with it
        return False
    return any(step.name == TUNED for step in plan.steps)


def since(store: Store, name: str, run: str, events: list[Event]) -> bool:
    """Whether a person has accepted the run after its gates had spoken: they are asked again then."""
    spoke = next((event.at for event in reversed(events) if event.kind == "judged"), None)
    return spoke is not None and standing(store, name, run).by_hand > spoke


def _prefix(name: str) -> str:
    return f"accepted/{name}"
