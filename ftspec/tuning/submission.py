"""One job of a request: made by us, found at the provider, or written down by another run (see claims)."""

from __future__ import annotations

import contextlib
import time

from ftspec.asking.patience import Patience
from ftspec.common.errors import Ambiguous, ProviderError, Rejected, Transient
from ftspec.common.figures import duration
from ftspec.common.jobs import Job, Request
from ftspec.common.progress import Progress
from ftspec.common.records import Record
from ftspec.common.references import mask
from ftspec.contracts.provider import Provider
from ftspec.state.journal import Journal
from ftspec.tuning.claims import Attempt, Outcome, Register, Ticket


class Times(Record):
    """How long to wait for what, in seconds.

    `fresh` is how old a claim may be when its owner sends. `grace` is how old it must be, without an outcome, before
    it is given up; it has to be longer than `fresh` and the longest that a submission may take together.
    `patience` bounds how long a submission that fails for now is tried again.
    """

    fresh: float = 30.0
    grace: float = 120.0
    patience: float = 900.0


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
        times: Times,
    ) -> None:
        self.provider = provider
        self.request = request
        self.register = register
        self.journal = journal
        self.progress = progress
        self.times = times
        self.patience = Patience(times.patience)
        self._watched: dict[int, float] = {}  # attempts, and when we first saw them, by a clock that nobody sets
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
        self._watched.setdefault(number, time.monotonic())
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
        if self.provider.submission != "idempotent" and not (ticket and ticket.fresh(self.times.fresh)):
            raise Transient("the job was not sent: this process was stopped for too long after its claim")

    def _refused(self, number: int, error: Transient) -> None:
        """Nothing was sent, or nothing was done: the next attempt may be made, a little later."""
        if self.provider.submission != "idempotent":
            self.register.settle(number, _rejection(error, transient=True))
        self.patience.wait(error, self.progress)

    def _unknown(self, error: Ambiguous) -> None:
        """It may have been made. The claim stays open, and from here on we are like anyone else who finds it so."""
        if self._doubt is None and self.provider.submission == "findable":
            wait = duration(self.times.grace)
            self.progress.note(f"{mask(error.message)}: looking for up to {wait} whether the job was made")
        self._doubt = error
        if self.provider.submission == "blind":
            raise self._ask(error.message)
        if self.provider.submission == "idempotent":
            self.patience.wait(error, self.progress)

    def _open(self, attempt: Attempt, *, resubmit: bool) -> Job | None:
        """An attempt without outcome, of another run or of one that died."""
        if self.provider.submission == "idempotent":
            return self._submit(attempt.number)
        with contextlib.suppress(Transient):
            if found := self._found(attempt.number):
                return found
        if self._age(attempt) <= self.times.grace:
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
        self._watched.setdefault(attempt.number, time.monotonic())
        time.sleep(min(1.0, self.times.grace / 20))

    def _age(self, attempt: Attempt) -> float:
        """How old a claim is at least: by the store's clock, which may have been set back since, or by our own."""
        seen = self._watched.get(attempt.number)
        return max(self.register.age(attempt), 0.0 if seen is None else time.monotonic() - seen)

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


def _rejection(error: ProviderError, *, transient: bool = False) -> Outcome:
    """The outcome of an attempt that the provider did not take. Services put keys into their messages."""
    return Outcome(kind="rejected", transient=transient, message=mask(error.message), hint=mask(error.hint))
