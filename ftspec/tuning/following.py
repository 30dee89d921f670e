"""A job from its submission to its end: poll, keep what is new, say how far it is, and know when to stop looking.

`Following` looks once and says how long to wait until the next look, so that one loop can follow one job or hundreds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from ftspec.asking.patience import Patience
from ftspec.common.errors import Ambiguous, StillRunning, Transient
from ftspec.common.figures import duration
from ftspec.common.jobs import Checkpoint, Job, JobState, JobUpdate, TrainingEvent, TunedModel
from ftspec.common.progress import Progress
from ftspec.common.records import Record
from ftspec.common.references import mask
from ftspec.contracts.abilities import SupportsStop
from ftspec.contracts.provider import Provider
from ftspec.spec import EarlyStopping
from ftspec.state.journal import Segments, decode
from ftspec.state.store import Store
from ftspec.tuning.diagnosis import curve, diagnose, futile

STOPPED = "ftspec:stopped"
"""The event that says that we ended the job early."""
DRAIN = 1000
"""Answers with yet more events that are taken of a job that has ended; a provider that makes up new ones is left."""


class Follow(Record):
    """How a job is followed; times in seconds.

    `wait` bounds how long (None: to its end), `detach` leaves it at once. `patience` bounds how long the provider may
    be out of reach, `stall` how long the job may show no sign of life. Polls start `first` apart and become rarer, up
    to `longest`, while there is nothing new. `early_stopping` and `checkpoint` are as in the spec.
    """

    wait: float | None = None
    detach: bool = False
    patience: float = 900.0
    stall: float = 24 * 3600.0
    first: float = 0.1
    longest: float = 15.0
    early_stopping: EarlyStopping | None = None
    checkpoint: Literal["last", "best"] = "last"


class Result(Record):
    """How a job ended. Once written it is what every later run reads, and the provider is not asked again.

    `stopped` says that we asked for it, because its loss no longer fell.
    """

    job: Job
    state: JobState
    raw: str = ""
    model: TunedModel | None = None
    error: str = ""
    hint: str = ""
    at: float = 0.0
    checkpoints: tuple[Checkpoint, ...] = ()
    trained_tokens: int | None = None
    stopped: bool = False


def chosen(result: Result, which: Literal["last", "best"]) -> TunedModel | None:
    """The job's model: its last state, or its best checkpoint by validation loss. None where it has none.

    A job that was ended early may have checkpoints and no model of its own: then the last of them is its last state.
    """
    kept = sorted(result.checkpoints, key=lambda checkpoint: checkpoint.step)
    measured = [one for one in kept if math.isfinite(one.metrics.get("validation_loss", math.nan))]
    if which == "best" and measured and result.state in {JobState.SUCCEEDED, JobState.CANCELLED}:
        return min(measured, key=lambda checkpoint: checkpoint.metrics["validation_loss"]).model
    if result.model is None and result.stopped and kept:
        return kept[-1].model
    return result.model


def ended(store: Store, key: str) -> Result | None:
    """How the key's job ended; None while it has not, as far as the store knows."""
    name = f"jobs/{key}/result"
    return decode(store, name, Result) if store.head(name) else None


def history(store: Store, key: str) -> list[TrainingEvent]:
    """Everything that happened in the key's job, oldest first, each event once."""
    events = {event.id: event for event in Segments(store, f"jobs/{key}").read(TrainingEvent)}
    return sorted(events.values(), key=when)


def when(event: TrainingEvent) -> tuple[float, int]:
    """What events are sorted by."""
    return event.at, event.step or 0


class Following:
    """Looks at a job until it has ended. After each look `pause` says how many seconds to let pass before the next."""

    def __init__(
        self,
        provider: Provider,
        job: Job,
        store: Store,
        key: str,
        progress: Progress,
        follow: Follow,
        hyperparameters: Mapping[str, Any],
    ) -> None:
        self.provider = provider
        self.job = job
        self.store = store
        self.key = key
        self.progress = progress
        self.follow = follow
        self.segments = Segments(store, f"jobs/{key}")
        self.events = {event.id: event for event in history(store, key)}
        self.heard: set[str] = set()  # of those, what this process was told: old ones come first, and news after them
        self.hyperparameters = hyperparameters
        self._diagnosed = 0
        self.patience = Patience(follow.patience, first=follow.first, longest=follow.longest)
        self.step, self.loss = 0, ""
        self.cursor: str | None = None
        self.raw = ""
        self.pause = self._delay = follow.first
        self._started = self._alive = time.monotonic()

    def result(self) -> Result:
        """How the job ended, however long that takes; durable when this returns.

        Raises StillRunning, or Transient when the provider is out of reach for too long."""
        self.progress.phase("tuning", unit="steps")
        while (result := self.look()) is None:
            time.sleep(self.pause)
        return result

    def look(self) -> Result | None:
        """Ask once. How the job ended, or None when it goes on. Raises as `result`."""
        update = self._poll()
        if update is None:
            return None
        news = self._keep(update)
        if update.state.terminal:
            return self._kept(self._drained(update, news))
        if news:
            self._stop_if_due()
            self._warn_if_diverging()
        now = time.monotonic()
        if news or update.raw != self.raw:
            self._alive, self._delay, self.raw = now, self.follow.first, update.raw
        self._leave_if_due(now - self._started, now - self._alive, self.raw)
        self.pause = min(self._delay, max(0.0, (self.follow.wait or math.inf) - (now - self._started)))
        self._delay = min(self._delay * 1.5, self.follow.longest)
        return None

    def _drained(self, update: JobUpdate, news: bool) -> JobUpdate:
        """The last update, after asking for the events that did not fit into one answer."""
        for _ in range(DRAIN):
            if not news:
                break
            more = self._poll()
            if more is None:
                time.sleep(self.pause)
                continue
            news = self._keep(more)
            update = more if more.state.terminal else update  # a replica that lags behind has the job running still
        return update

    def _poll(self) -> JobUpdate | None:
        """One answer of the provider; None when there was none that could be used."""
        try:
            update = self.provider.poll(self.job, cursor=self.cursor)
            if update.state is JobState.SUCCEEDED and update.model is None:
                raise self._nameless()
        except (Transient, Ambiguous) as error:
            self._leave_if_due(0.0, 0.0, mask(error.message))
            self.pause = self.patience.delay(error)
            return None
        self.patience.reset()
        self.cursor = update.cursor or self.cursor
        return _masked(update)

    def _nameless(self) -> Transient:
        """A model that is made may get its name a little later; one that never does is waited for in vain."""
        said = f"job {self.job.id} has succeeded, but the provider does not name its model yet"
        if self.patience.fresh:
            self.progress.note(f"{said}: asking again for up to {duration(self.patience.total)}")
        return Transient(said, "where it never does, that is a fault of the provider: report it to its authors")

    def _keep(self, update: JobUpdate) -> bool:
        """Keep the events that are new and show the latest; True when there were any that we had not been told."""
        told = {event.id for event in update.events} - self.heard
        self.heard |= told
        new = [event for event in update.events if event.id not in self.events]
        self.segments.append(new)
        self.events |= {event.id: event for event in new}
        self._show(new)
        return bool(told)

    def _show(self, new: Sequence[TrainingEvent]) -> None:
        """How far the job is, and its latest loss; before there is one, its latest message."""
        self.loss = _loss(new) or self.loss
        self.step = next((event.step for event in reversed(new) if event.step), self.step)
        if new:
            self.progress.advance(self.step, total=new[-1].total_steps, detail=self.loss or new[-1].message)

    def _stop_if_due(self) -> None:
        """End the job when its loss no longer falls. The event that says so comes last: a kill before it asks again."""
        rule = self.follow.early_stopping
        if rule is None or STOPPED in self.events or not isinstance(self.provider, SupportsStop):
            return
        losses = curve(self.events.values(), rule.metric)
        if not futile(losses, rule):
            return
        try:
            self.provider.stop(self.job)
        except (Transient, Ambiguous):
            return  # the next look asks again
        what = f"{rule.metric.replace('_', ' ')} has not fallen {rule.patience} times in a row: the job is ended early"
        event = TrainingEvent(id=STOPPED, at=time.time(), step=losses[-1].step, message=what)
        self.segments.append([event])
        self.events[STOPPED] = event
        self.progress.note(f"step {losses[-1].step}: {what}")

    def _warn_if_diverging(self) -> None:
        """Say once, while there is still money to be saved, that the job is going wrong."""
        if len(self.events) < 1.25 * self._diagnosed or self._diagnosed < 0:
            return
        self._diagnosed = len(self.events)
        found = diagnose(self.events.values(), self.hyperparameters)
        if found.kind == "diverging":
            self._diagnosed = -1
            self.progress.note(f"{found.message}; `ftspec cancel` stops the job. Next time: {found.advice}")

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
            checkpoints=update.checkpoints,
            trained_tokens=update.trained_tokens,
            stopped=STOPPED in self.events,
        )
        found = diagnose(self.events.values(), self.hyperparameters)
        if found.faulty:
            self.progress.note(f"{found.kind}: {found.message}. Next time: {found.advice}")
        self.store.put_new(f"jobs/{self.key}/result", msgspec.json.encode(result))
        return ended(self.store, self.key) or result


def _masked(update: JobUpdate) -> JobUpdate:
    """The update as it may be kept: services put keys into their messages."""
    masked = mask.now()
    events = tuple(msgspec.structs.replace(event, message=masked(event.message)) for event in update.events)
    return msgspec.structs.replace(update, events=events, error=masked(update.error), hint=masked(update.hint))


def _loss(events: Sequence[TrainingEvent]) -> str:
    """The latest loss among the events, for people; "" where there is none."""
    for event in reversed(events):
        for name in ("train_loss", "validation_loss"):
            if name in event.metrics:
                return f"{name.replace('train_loss', 'loss').replace('_', ' ')} {event.metrics[name]:.3f}"
    return ""
