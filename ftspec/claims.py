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

import contextlib
import hashlib
import secrets
import time
from typing import Literal, TypeVar

import msgspec

from ftspec.errors import Ambiguous, ProviderError, Rejected, StoreError, Transient
from ftspec.jobs import DataFile, Job, RemoteFile, Request
from ftspec.journal import WRITER, Journal, decode
from ftspec.patience import Patience
from ftspec.progress import Progress
from ftspec.provider import Provider
from ftspec.records import Record
from ftspec.references import mask
from ftspec.store import Store

R = TypeVar("R", bound=Record)

BOOTTIME = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""A clock that nobody sets and that counts while the machine sleeps (macOS: its monotonic clock does)."""


class Limits(Record):
    """Times of the register, in seconds.

    `fresh` is how old a claim may be when its owner sends. `grace` is how old it must be, without an outcome, before
    it is given up; it has to be longer than `fresh` and the longest that a submission may take together.
    `patience` bounds how long a submission that fails for now is tried again.
    """

    fresh: float = 30.0
    grace: float = 120.0
    patience: float = 900.0


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
    writer: str = "somebody"
    outcome: Outcome | None = None


class Ticket:
    """The right to submit one attempt, for a short while. Its clocks start before the claim is written."""

    def __init__(self, number: int) -> None:
        self.number = number
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
        ticket = Ticket(number)
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


class Submission:
    """Gets the one job of a request: made by us, found, or written down by another run."""

    def __init__(
        self,
        provider: Provider,
        request: Request,
        register: Register,
        *,
        journal: Journal,
        progress: Progress,
        limits: Limits,
    ) -> None:
        self.provider = provider
        self.request = request
        self.register = register
        self.journal = journal
        self.progress = progress
        self.limits = limits
        self.patience = Patience(limits.patience)
        self._watched: set[int] = set()
        self._doubt: ProviderError | None = None

    def job(self, *, resubmit: bool = False) -> Job:
        """The job. Raises Rejected, or Ambiguous when a person has to decide.

        Args:
            resubmit: a person has decided: give up an attempt of which nobody knows what came of it.
        """
        while True:
            attempt = self.register.latest()
            if attempt is None:
                job = self._attempt(1)
            elif attempt.outcome is None:
                # Consent covers what was open before we came, never what we ourselves sent.
                job = self._open(attempt, resubmit=resubmit and self._doubt is None)
            else:
                job = self._settled(attempt.number, attempt.outcome)
            if job:
                return job

    def _settled(self, number: int, outcome: Outcome) -> Job | None:
        if outcome.kind == "rejected" and not outcome.transient and number in self._watched:
            raise Rejected(outcome.message, outcome.hint)
        return outcome.job or self._attempt(number + 1)

    def _attempt(self, number: int) -> Job | None:
        """Claim an attempt and submit it; None when there is more to see in the register."""
        ticket = self.register.claim(number)
        return self._submit(number, ticket) if ticket else None

    def _submit(self, number: int, ticket: Ticket | None = None) -> Job | None:
        """Send an attempt: with a ticket, or without one where sending the same key again is safe."""
        self._watched.add(number)
        try:
            if found := self._found(number):
                return found
            self._check(ticket)
            job = self.provider.submit(self.request, key=self.register.key)
        except Rejected as error:
            self.register.settle(number, _rejection(error))
            self.journal.append("job_rejected", attempt=number, message=mask(error.message))
            raise
        except Transient as error:
            self._refused(number, error)
            return None
        except Ambiguous as error:
            self._unknown(error)
            return None
        self.progress.note(f"submitted job {job.id}")
        return self._written_down(number, job, "job_submitted")

    def _check(self, ticket: Ticket | None) -> None:
        if self.provider.submission != "idempotent" and not (ticket and ticket.fresh(self.limits.fresh)):
            raise Transient("the job was not sent: this process was stopped for too long after its claim")

    def _refused(self, number: int, error: Transient) -> None:
        """Nothing was sent, or nothing was done: the next attempt may be made, a little later."""
        if self.provider.submission != "idempotent":
            self.register.settle(number, _rejection(error, transient=True))
        self.patience.wait(error)

    def _unknown(self, error: Ambiguous) -> None:
        """It may have been made. The claim stays open, and from here on we are like anyone else who finds it so."""
        self._doubt = error
        if self.provider.submission == "blind":
            raise self._ask(error.message)
        if self.provider.submission == "idempotent":
            self.patience.wait(error)

    def _open(self, attempt: Attempt, *, resubmit: bool) -> Job | None:
        """An attempt without outcome, of another run or of one that died."""
        if self.provider.submission == "idempotent":
            return self._submit(attempt.number)
        with contextlib.suppress(Transient):
            if found := self._found(attempt.number):
                return found
        if self.register.age(attempt) <= self.limits.grace:
            self._watch(attempt)
        elif resubmit:
            self.register.settle(attempt.number, Outcome(kind="abandoned"))
            self.journal.append("job_abandoned", attempt=attempt.number)
        else:
            raise self._ask(
                self._doubt.message
                if self._doubt
                else f"{attempt.writer} claimed it and left no word of what came of it"
            )
        return None

    def _watch(self, attempt: Attempt) -> None:
        if attempt.number not in self._watched and self._doubt is None:
            self.progress.note(f"{attempt.writer} is submitting this job; waiting for what comes of it")
        self._watched.add(attempt.number)
        time.sleep(min(1.0, self.limits.grace / 20))

    def _ask(self, reason: str) -> Ambiguous:
        return Ambiguous(
            f"the job may or may not have been made: {reason}",
            "look at the provider's own list of jobs: `ftspec run --adopt JOB` takes what is there; run again to look "
            "once more; if there is none, `ftspec run --resubmit` submits it again (and if there is one after all, "
            "that is a second job)",
        )

    def _found(self, number: int) -> Job | None:
        """The oldest job that was made with our key, written down; others are told, never cancelled."""
        if self.provider.submission != "findable":
            return None
        try:
            jobs = self.provider.find(self.request, key=self.register.key)
        except Ambiguous as error:
            raise Transient(error.message, error.hint) from error  # a look changes nothing
        for extra in jobs[1:]:
            self._leave(number, extra)
        return self._written_down(number, jobs[0], "job_adopted") if jobs else None

    def _written_down(self, number: int, job: Job, decision: str) -> Job | None:
        standing = self.register.settle(number, Outcome(kind="job", job=job))
        self.journal.append(decision, attempt=number, job=job.id)
        if standing.job is None and self.provider.submission == "idempotent":
            return None  # the next attempt, with the same key, gets the same job
        if standing.job is None or standing.job.id != job.id:
            self._leave(number, job)
        return standing.job

    def _leave(self, number: int, job: Job) -> None:
        self.register.orphan(number, job)
        self.journal.append("job_orphaned", attempt=number, job=job.id)
        self.progress.note(f"job {job.id} exists as well and is not used: cancel it at the provider if it still runs")


class Uploads:
    """Which files a provider has, so that neither a second run nor an upgraded plugin uploads them again."""

    def __init__(self, store: Store, endpoint: str) -> None:
        self.store = store
        self.prefix = f"uploads/{hashlib.sha256(endpoint.encode()).hexdigest()[:16]}"

    def get(self, file: DataFile) -> RemoteFile | None:
        """The file as the provider knows it. A damaged entry is as good as none: the provider finds it by content."""
        try:
            return msgspec.json.decode(self.store.get(self._key(file)) or b"", type=RemoteFile)
        except msgspec.DecodeError:
            return None

    def put(self, file: DataFile, remote: RemoteFile) -> None:
        self.store.put(self._key(file), msgspec.json.encode(remote))

    def forget(self, file: DataFile) -> None:
        """The provider does not know the file any more, or may not: the next run looks there again."""
        self.store.delete(self._key(file))

    def _key(self, file: DataFile) -> str:
        return f"{self.prefix}/{file.sha256}-{file.purpose}"


def _rejection(error: ProviderError, *, transient: bool = False) -> Outcome:
    """The outcome of an attempt that the provider did not take. Services put keys into their messages."""
    return Outcome(kind="rejected", transient=transient, message=mask(error.message), hint=mask(error.hint))


def _clocks() -> tuple[float, float]:
    """Wall clock and boot clock, in seconds. The first can be set, the second can stand still in a moved machine."""
    return time.time(), time.monotonic() if BOOTTIME is None else time.clock_gettime(BOOTTIME)
