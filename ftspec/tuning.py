"""One tuning job from file to model: upload, submit (ftspec.claims), follow, result.

Everything that was learned is durable before the next step relies on it, so that a run may be killed between any two
lines, and the next one goes on from there: a file is not uploaded again, a job not made again, and of a finished job
the provider is not even asked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import msgspec

from ftspec.claims import Limits, Register, Submission, Uploads
from ftspec.errors import Ambiguous, FtspecError, JobFailed, Rejected, StillRunning, Transient
from ftspec.journal import Journal, Segments, decode
from ftspec.patience import Patience
from ftspec.progress import Progress
from ftspec.provider import (
    DataFile,
    Job,
    JobState,
    JobUpdate,
    Provider,
    RemoteFile,
    Request,
    TrainingEvent,
    TunedModel,
)
from ftspec.records import Record
from ftspec.store import Store

DRAIN = 1000
"""Answers with yet more events that are taken of a job that has ended; a provider that makes up new ones is left."""

AGAIN = "`ftspec run --again tuning` makes a new job (and a hosted provider may charge for it)"


class Follow(Record):
    """How a job is followed; times in seconds.

    `wait` bounds how long (None: to its end), `detach` leaves it at once. `patience` bounds how long the provider may
    be out of reach, `stall` how long the job may show no sign of life. Polls start `first` apart and become rarer, up
    to `longest`, while there is nothing new.
    """

    wait: float | None = None
    detach: bool = False
    patience: float = 900.0
    stall: float = 24 * 3600.0
    first: float = 0.1
    longest: float = 15.0


class Result(Record):
    """How a job ended. Once written it is what every later run reads, and the provider is not asked again."""

    job: Job
    state: JobState
    raw: str = ""
    model: TunedModel | None = None
    error: str = ""
    hint: str = ""
    at: float = 0.0


class Status(Record):
    """What is known about a key's job: `state` is None before one was made. `last` is the latest training event.

    `claimed` names the process that claimed a submission of which nothing has been heard; "" where there is none.
    """

    state: JobState | None = None
    raw: str = ""
    claimed: str = ""
    job: Job | None = None
    model: TunedModel | None = None
    error: str = ""
    hint: str = ""
    last: TrainingEvent | None = None
    orphans: tuple[Job, ...] = ()


def tune(
    provider: Provider,
    request: Request,
    files: Sequence[DataFile],
    *,
    store: Store,
    journal: Journal,
    key: str,
    progress: Progress,
    resubmit: bool = False,
    follow: Follow | None = None,
    limits: Limits | None = None,
) -> TunedModel:
    """The model that the key's job makes, by doing whatever has not been done yet.

    Args:
        request: without files; `files` are uploaded and filled in here.
        key: names the job in the store and at the provider: the digest of the plan's tuning step.
        resubmit: a person has decided to submit again though an earlier attempt may have made a job.

    Raises:
        JobFailed: it ended without a model. Rejected: the provider said no. Ambiguous: a person has to decide.
        StillRunning: it goes on without us. Transient: the provider could not be reached for too long.
    """
    follow = follow or Follow()
    result = ended(store, key)
    if result is None:
        tuning = Tuning(provider, store, journal, key, progress)
        try:
            job = Register(store, key).job()
            if job is None:
                ready = tuning.uploaded(request, files, Patience(follow.patience))
                job = tuning.submitted(ready, files, resubmit, limits or Limits())
            result = tuning.followed(job, follow)
        except KeyboardInterrupt:
            tuning.say_what_goes_on()
            raise
    if result.model is None:
        reason = result.error or "no reason given"
        raise JobFailed(f"job {result.job.id} {result.raw or result.state}: {reason}", result.hint or AGAIN)
    return result.model


def status(provider: Provider, store: Store, key: str) -> Status:
    """What is known about the key's job; asks the provider once unless the job has ended. Changes nothing."""
    register, events = Register(store, key), history(store, key)
    result, attempt = ended(store, key), register.latest()
    job = result.job if result else register.job()
    orphans = tuple(register.orphans())
    if job is None:
        return Status(claimed=attempt.writer if attempt and not attempt.outcome else "", orphans=orphans)
    known: Result | JobUpdate = result or provider.poll(job, cursor=None)
    if isinstance(known, JobUpdate):
        events += known.events  # from the first one on, perhaps not to the last: of both, the latest counts
    return Status(
        state=known.state,
        raw=known.raw,
        job=job,
        model=known.model,
        error=known.error,
        hint=known.hint,
        last=max(events, key=_when, default=None),
        orphans=orphans,
    )


def cancel(provider: Provider, store: Store, key: str) -> Job:
    """Ask the provider to cancel the key's job and return it; one that has ended is left alone."""
    result = ended(store, key)
    job = result.job if result else Register(store, key).job()
    if job is None:
        raise FtspecError("no job has been submitted for this spec", "there is nothing to cancel; see `ftspec runs`")
    if result is None:
        provider.cancel(job)
    return job


def history(store: Store, key: str) -> list[TrainingEvent]:
    """Everything that happened in the key's job, oldest first, each event once."""
    events = {event.id: event for event in Segments(store, f"jobs/{key}").read(TrainingEvent)}
    return sorted(events.values(), key=_when)


def _when(event: TrainingEvent) -> tuple[float, int]:
    return event.at, event.step or 0


class Tuning:
    """The three things to do about a job; each is durable when it returns."""

    def __init__(self, provider: Provider, store: Store, journal: Journal, key: str, progress: Progress) -> None:
        self.provider = provider
        self.store = store
        self.journal = journal
        self.key = key
        self.progress = progress
        self.uploads = Uploads(store, provider.endpoint)

    def uploaded(self, request: Request, files: Sequence[DataFile], patience: Patience) -> Request:
        """The request with its files at the provider."""
        remote = {}
        for file in files:
            held = self.uploads.get(file)
            if held is None:
                self.progress.phase(f"uploading {file.purpose} file", total=file.bytes, unit="B")
                held = self._upload(file, patience)
                self.uploads.put(file, held)
                self.journal.append("file_uploaded", purpose=file.purpose, sha256=file.sha256, id=held.id)
            remote[file.purpose] = held
        return msgspec.structs.replace(request, training=remote.get("training"), validation=remote.get("validation"))

    def submitted(self, request: Request, files: Sequence[DataFile], resubmit: bool, limits: Limits) -> Job:
        """The job of the request, whoever makes it."""
        self.progress.phase("submitting")
        register = Register(self.store, self.key)
        try:
            return Submission(
                self.provider, request, register, journal=self.journal, progress=self.progress, limits=limits
            ).job(resubmit=resubmit)
        except Rejected:
            # A file that has expired there is a reason to say no: the next run looks for it anew.
            for file in files:
                self.uploads.forget(file)
            raise

    def followed(self, job: Job, follow: Follow) -> Result:
        """How the job ended."""
        result = Following(self.provider, job, self.store, self.key, self.progress, follow).result()
        self.journal.append("job_finished", job=job.id, state=result.state, error=result.error)
        return result

    def say_what_goes_on(self) -> None:
        """What ^C leaves behind: a job, or a submission of which nothing has been heard."""
        register = Register(self.store, self.key)
        job, attempt = register.job(), register.latest()
        if job:
            self.progress.note(f"job {job.id} goes on; run again to follow it, `ftspec cancel` to stop it")
        elif attempt and not attempt.outcome:
            self.progress.note("a job may have been submitted already; run again to find out")

    def _upload(self, file: DataFile, patience: Patience) -> RemoteFile:
        """Upload with retries: a provider finds by its content hash what an earlier try brought there."""
        patience.reset()
        while True:
            try:
                return self.provider.upload(file)
            except (Transient, Ambiguous) as error:
                patience.wait(error)


class Following:
    """Polls a job to its end: keeps what is new, says how far it is, and knows when to stop."""

    def __init__(
        self, provider: Provider, job: Job, store: Store, key: str, progress: Progress, follow: Follow
    ) -> None:
        self.provider = provider
        self.job = job
        self.store = store
        self.key = key
        self.progress = progress
        self.follow = follow
        self.segments = Segments(store, f"jobs/{key}")
        self.seen = {event.id for event in history(store, key)}
        self.patience = Patience(follow.patience, first=follow.first, longest=follow.longest)
        self.step, self.loss = 0, ""

    def result(self) -> Result:
        """How the job ended; durable when this returns. Raises StillRunning, or Transient when out of reach."""
        self.progress.phase("tuning", unit="steps")
        return self._kept(self._last())

    def _last(self) -> JobUpdate:
        """The update with which the job has ended, every event kept."""
        started = alive = time.monotonic()
        cursor, delay, before = None, self.follow.first, ""
        while True:
            update = self._poll(cursor)
            if update:
                cursor = update.cursor or cursor
                news = self._keep(update)
                if update.state.terminal:
                    return self._drained(update, news)
                if news or update.raw != before:
                    alive, delay, before = time.monotonic(), self.follow.first, update.raw
            now = time.monotonic()
            self._leave_if_due(now - started, now - alive, before)
            time.sleep(min(delay, max(0.0, (self.follow.wait or math.inf) - (now - started))))
            delay = min(delay * 1.5, self.follow.longest)

    def _drained(self, update: JobUpdate, news: bool) -> JobUpdate:
        """The last update, after asking for the events that did not fit into one answer."""
        for _ in range(DRAIN):
            if not news:
                break
            more = self._poll(update.cursor)
            news = more is not None and self._keep(more)
            update = more or update
        return update

    def _poll(self, cursor: str | None) -> JobUpdate | None:
        """One answer of the provider; None when there was none that could be used, after a wait."""
        try:
            update = self.provider.poll(self.job, cursor=cursor)
            if update.state is JobState.SUCCEEDED and update.model is None:
                raise Transient(f"job {self.job.id} has succeeded, but the provider does not name its model yet")
        except (Transient, Ambiguous) as error:
            self._leave_if_due(0.0, 0.0, error.message)
            self.patience.wait(error)
            return None
        self.patience.reset()
        return update

    def _keep(self, update: JobUpdate) -> bool:
        """Keep the events that are new and show the latest; True when there were any."""
        new = [event for event in update.events if event.id not in self.seen]
        self.segments.append(new)
        self.seen.update(event.id for event in new)
        self._show(new)
        return bool(new)

    def _show(self, new: Sequence[TrainingEvent]) -> None:
        """How far the job is, and its latest loss; before there is one, its latest message."""
        self.loss = _loss(new) or self.loss
        self.step = next((event.step for event in reversed(new) if event.step), self.step)
        if new:
            self.progress.advance(self.step, total=new[-1].total_steps, detail=self.loss or new[-1].message)

    def _leave_if_due(self, followed: float, silent: float, what: str) -> None:
        if self.follow.detach or (self.follow.wait is not None and followed >= self.follow.wait):
            raise StillRunning(
                f"job {self.job.id} goes on without us ({what})",
                "run again to follow it; `ftspec status` says how far it is, `ftspec cancel` stops it",
            )
        if silent > self.follow.stall:
            raise StillRunning(
                f"job {self.job.id} has shown no sign of life for {silent / 3600:.1f} hours ({what})",
                "look at the provider's own page of the job; run again to follow it, `ftspec cancel` stops it",
            )

    def _kept(self, update: JobUpdate) -> Result:
        result = Result(
            job=self.job,
            state=update.state,
            raw=update.raw,
            model=update.model,
            error=update.error,
            hint=update.hint,
            at=time.time(),
        )
        self.store.put_new(f"jobs/{self.key}/result", msgspec.json.encode(result))
        return ended(self.store, self.key) or result


def ended(store: Store, key: str) -> Result | None:
    name = f"jobs/{key}/result"
    return decode(store, name, Result) if store.head(name) else None


def _loss(events: Sequence[TrainingEvent]) -> str:
    """The latest loss among the events, for people; "" where there is none."""
    for event in reversed(events):
        for name in ("train_loss", "validation_loss"):
            if name in event.metrics:
                return f"{name.replace('train_loss', 'loss').replace('_', ' ')} {event.metrics[name]:.3f}"
    return ""
