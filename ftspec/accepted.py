"""The accepted runs of a spec: what a later run must not fall behind.

A run whose gates passed is accepted when it ends; `ftspec accept` accepts another one. The last one counts.

accepted/<spec name>/<nanoseconds>      which run, and when
"""

from __future__ import annotations

import time

import msgspec

from ftspec.journal import decode
from ftspec.records import Record
from ftspec.store import Store


class Accepted(Record):
    """A run that was accepted, at seconds since the epoch; `by` says whether its gates or a person did."""

    run: str
    at: float
    by: str = "gates"


def accept(store: Store, name: str, run: str, by: str = "gates") -> None:
    """Make the run the one that later runs of the spec called `name` are compared with."""
    now = time.time_ns()
    last = f"{prefix(name)}/{now:020d}"
    store.put(last, msgspec.json.encode(Accepted(run=run, at=now / 1e9, by=by)))


def latest(store: Store, name: str, besides: str = "") -> str:
    """The run of this spec that was accepted last, other than `besides`; "" where there is none."""
    for stored in reversed(store.list(prefix(name))):
        found = decode(store, stored.key, Accepted)
        if found.run != besides:
            return found.run
    return ""


def prefix(name: str) -> str:
    return f"accepted/{name}"
