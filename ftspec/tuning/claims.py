"""The register of jobs: who may submit, once, and what came of it.

`jobs/<key>/<n>.claim` is put only if absent and durable before anything is sent. Only the process whose nonce reads
back may submit attempt n, once, and only while the claim is fresh by two clocks (a process that was stopped, or a
laptop that slept, must not send what others have given up). `<n>.outcome` is put only if absent too: a job, a
rejection, or "abandoned". Anyone may look for the job and write it down; nobody submits attempt n again, except to a
provider that makes one job of the same key sent twice (*idempotent*).

The promise: at most one job without a person's consent, whatever breaks; exactly one where the provider is idempotent.
An "I intend to submit" event followed by a look-up and a POST is not enough: two runners can both look before either
has sent.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Literal, TypeVar

import msgspec

from ftspec.common.errors import StoreError
from ftspec.common.jobs import Job
from ftspec.common.records import Record
from ftspec.state.journal import WRITER, decode
from ftspec.state.store import Store

R = TypeVar("R", bound=Record)
BOOTTIME = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""A clock that nobody sets and that counts while the machine sleeps (macOS: its monotonic clock does)."""


class Claim(Record):
    """Who wants to submit; the nonce tells two claims of one process apart."""

    nonce: str
    writer: str = WRITER


class Outcome(Record):
    """What came of an attempt. A `transient` rejection may be followed by the next attempt without asking."""

    kind: Literal["job", "rejected", "abandoned"]
    job: Job | None = None
    transient: bool = False
    message: str = ""
    hint: str = ""


class Attempt(Record):
    """The latest attempt at a job: who claimed it, when by the store's clock, and its outcome if it has one."""

    number: int
    claimed: float
    writer: str
    outcome: Outcome | None = None


class Ticket:
    """The right to submit one attempt, for a short while. Its clocks start before the claim is written."""

    def __init__(self) -> None:
        self.nonce = secrets.token_hex(16)
        self._started = _clocks()

    def fresh(self, seconds: float) -> bool:
        """Whether both clocks agree that the claim is not older than `seconds`."""
        return all(0 <= now - start <= seconds for now, start in zip(_clocks(), self._started, strict=True))


class Register:
    """The attempts at one job, shared by everyone who uses the store."""

    def __init__(self, store: Store, key: str) -> None:
        self.store = store
        self.key = key
        self.prefix = f"jobs/{key}"

    def latest(self) -> Attempt | None:
        """The attempt with the highest number, None before the first."""
        claims = {
            int(stored.key.rpartition("/")[2].partition(".")[0]): stored
            for stored in self.store.list(self.prefix)
            if stored.key.endswith(".claim")
        }
        if not claims:
            return None
        number = max(claims)
        claim = self._read(self._key(number, "claim"), Claim)
        return Attempt(
            number=number,
            claimed=claims[number].modified,
            writer=claim.writer if claim else "somebody",
            outcome=self.outcome(number),
        )

    def claim(self, number: int) -> Ticket | None:
        """Claim an attempt; a Ticket if it is ours. Read back, because a lost first write may have been our own."""
        ticket = Ticket()
        key = self._key(number, "claim")
        self.store.put_new(key, msgspec.json.encode(Claim(nonce=ticket.nonce)))
        standing = self._read(key, Claim)
        return ticket if standing and standing.nonce == ticket.nonce else None

    def outcome(self, number: int) -> Outcome | None:
        return self._read(self._key(number, "outcome"), Outcome)

    def settle(self, number: int, outcome: Outcome) -> Outcome:
        """Write the attempt's outcome unless it has one; returns the one that stands."""
        self.store.put_new(self._key(number, "outcome"), msgspec.json.encode(outcome))
        return self.outcome(number) or outcome

    def adopt(self, job: Job) -> Outcome:
        """Make the job the outcome of the attempt that is open, or else of a new one; returns what stands there."""
        while True:
            attempt = self.latest()
            if attempt and attempt.outcome is None:
                return self.settle(attempt.number, Outcome(kind="job", job=job))
            if attempt and attempt.outcome and attempt.outcome.job:
                return attempt.outcome
            self.claim(attempt.number + 1 if attempt else 1)

    def orphan(self, number: int, job: Job) -> None:
        """Write down a job that exists and is not used."""
        name = hashlib.sha256(job.id.encode()).hexdigest()[:16]
        self.store.put(self._key(number, f"orphan-{name}"), msgspec.json.encode(job))

    def orphans(self) -> list[Job]:
        """Jobs that exist and are not used: a person may want to cancel them."""
        keys = [stored.key for stored in self.store.list(self.prefix) if ".orphan-" in stored.key]
        return [job for key in keys if (job := self._read(key, Job))]

    def job(self) -> Job | None:
        """The job, if it is known."""
        attempt = self.latest()
        return attempt.outcome.job if attempt and attempt.outcome else None

    def age(self, attempt: Attempt) -> float:
        """Seconds since the claim, by the store's clock and no machine's."""
        return self.store.now() - attempt.claimed

    def _key(self, number: int, what: str) -> str:
        return f"{self.prefix}/{number:04d}.{what}"

    def _read(self, key: str, type: type[R]) -> R | None:
        """The record, None if it is not there. A damaged one stops us: guessing could pay twice."""
        try:
            return decode(self.store, key, type) if self.store.head(key) else None
        except StoreError as error:
            raise StoreError(
                error.message,
                "restore it from a backup; without one, look at the provider's own list of jobs first: "
                "removing this object allows a second job",
            ) from error


def _clocks() -> tuple[float, float]:
    """Wall clock and boot clock, in seconds. The first can be set, the second can stand still in a moved machine."""
    return time.time(), time.monotonic() if BOOTTIME is None else time.clock_gettime(BOOTTIME)
