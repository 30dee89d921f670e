"""Look at a run from outside: how far it is, what it said, and stop its job."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.common.errors import FtspecError
from ftspec.common.jobs import Job, TrainingEvent
from ftspec.common.records import Event, Record, RunInfo
from ftspec.contracts.abilities import SupportsPause
from ftspec.run.reopen import Opened
from ftspec.state import history
from ftspec.state.journal import Journal
from ftspec.tuning import control, following
from ftspec.tuning.claims import Register
from ftspec.tuning.following import Follow, Following

POLL = 1.0
"""Seconds between two looks of `logs -f`."""


class Status(Record):
    """How far a run is. `alive`: a process on this machine works on it. `job` is None before one was submitted.

    `error` and `hint` say why a run has failed, `overrides` what `--set` gave it."""

    run: RunInfo
    alive: bool
    job: control.Status | None = None
    error: str = ""
    hint: str = ""
    overrides: tuple[str, ...] = ()


def status(opened: Opened) -> Status:
    """How far the run is; asks the provider once when its job has not ended."""
    job = _job(opened) if opened.key else None
    why = _failed(opened) if opened.run.state == "failed" else {}
    told = {"error": why.get("error", ""), "hint": why.get("hint", "")}
    return Status(run=opened.run, alive=opened.alive, job=job, overrides=opened.overrides, **told)


def _failed(opened: Opened) -> Mapping[str, Any]:
    return history.last(Journal(opened.store, opened.run.id).events(), "failed") or {}


def _job(opened: Opened) -> control.Status:
    return control.status(opened.provider, opened.store, opened.key, opened.request.hyperparameters)


def cancel(opened: Opened) -> control.Status:
    """Ask the provider to cancel the run's job; one that has ended is left alone.

    Returns what was known of the job just before. A process that follows it writes down how it ended; where there is
    none, the run's own journal says that it was cancelled.
    """
    if not opened.key:
        raise FtspecError(f"run {opened.run.id} has not submitted a job yet", "there is nothing to cancel")
    before = _job(opened)
    if before.state is None or not before.state.terminal:
        job = control.cancel(opened.provider, opened.store, opened.key, opened.request)
        if not opened.alive:
            Journal(opened.store, opened.run.id).append("cancelled", job=job.id)
    return before


def pause(opened: Opened) -> Job:
    """Ask the provider to halt the run's job; `resume` takes it up again."""
    provider, job = _pausable(opened)
    provider.pause(job)
    return job


def resume(opened: Opened) -> Job:
    """Ask the provider to take up the run's job again."""
    provider, job = _pausable(opened)
    provider.resume(job)
    return job


def _pausable(opened: Opened) -> tuple[SupportsPause, Job]:
    job = Register(opened.store, opened.key).job() if opened.key else None
    if job is None:
        raise FtspecError(f"run {opened.run.id} has not submitted a job yet", "see `ftspec status`")
    if not isinstance(opened.provider, SupportsPause):
        name = opened.spec.provider.name
        raise FtspecError(f"jobs of provider '{name}' cannot be paused", "`ftspec cancel` ends one for good")
    if ended := following.ended(opened.store, opened.key):
        raise FtspecError(f"job {job.id} has ended: {ended.state}", "there is nothing to pause or resume")
    return opened.provider, job


def logs(opened: Opened, *, follow: bool = False) -> Iterator[Event | TrainingEvent]:
    """Decisions of the run and events of its job, in the order of their times.

    With `follow`, what comes after that too, until the run ends. Of a job that goes on while no process works on the
    run (it was detached), the provider is asked here.
    """
    seen: set[str] = set()
    asked = opened.following(Follow(first=POLL)) if follow else None
    while True:
        # Asked before reading: what a process wrote last is then not missed.
        ended = not follow or not (opened.alive or _goes_on(opened, asked))
        for mark, entry in _entries(opened):
            if mark not in seen:
                seen.add(mark)
                yield entry
        if ended:
            return
        time.sleep(max(POLL, asked.pause) if asked and not opened.alive else POLL)


def _goes_on(opened: Opened, asked: Following | None) -> bool:
    """Look at the job, where nobody else does; whether it goes on."""
    return asked is not None and following.ended(opened.store, opened.key) is None and asked.look() is None


def _entries(opened: Opened) -> list[tuple[str, Event | TrainingEvent]]:
    store = opened.store
    decisions = Journal(store, opened.run.id).events()
    key = (history.last(decisions, "tuning") or {}).get("key", "")
    entries: list[tuple[str, Event | TrainingEvent]] = [(f"run {event.number}", event) for event in decisions]
    entries += [(f"job {event.id}", event) for event in (following.history(store, key) if key else ())]
    return sorted(entries, key=lambda entry: entry[1].at)
