"""A key's job from outside, whoever follows it: how it stands, and its cancellation."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ftspec.asking.patience import Patience
from ftspec.common.errors import Ambiguous, FtspecError, NotFound, ProviderError, Transient
from ftspec.common.jobs import Job, JobState, JobUpdate, Request, TrainingEvent, TunedModel
from ftspec.common.records import Record
from ftspec.contracts.abilities import SupportsLook
from ftspec.contracts.provider import Provider
from ftspec.state.store import Store
from ftspec.tuning.claims import Register
from ftspec.tuning.diagnosis import Diagnosis, diagnose
from ftspec.tuning.following import Result, ended, history, when

CANCEL = 60.0
"""Seconds for which a job is tried to be cancelled."""


class Status(Record):
    """What is known about a key's job: `state` is None before one was made. `last` is the latest training event.

    `unknown` says why the provider could not tell the state of a job that was made.
    `claimed` names the process that claimed a submission of which nothing has been heard; "" where there is none.
    """

    state: JobState | None = None
    raw: str = ""
    unknown: str = ""
    claimed: str = ""
    job: Job | None = None
    model: TunedModel | None = None
    error: str = ""
    hint: str = ""
    last: TrainingEvent | None = None
    diagnosis: Diagnosis | None = None
    orphans: tuple[Job, ...] = ()


def status(provider: Provider, store: Store, key: str, hyperparameters: Mapping[str, Any] | None = None) -> Status:
    """What is known about the key's job; asks the provider once unless the job has ended. Changes nothing."""
    register, events = Register(store, key), history(store, key)
    result, attempt = ended(store, key), register.latest()
    job = result.job if result else register.job()
    orphans = tuple(register.orphans())
    if job is None:
        return Status(claimed=attempt.writer if attempt and not attempt.outcome else "", orphans=orphans)
    try:
        known: Result | JobUpdate = result or _look(provider, job)
    except ProviderError as error:
        last = max(events, key=when, default=None)
        return Status(unknown=error.message, job=job, hint=error.hint, last=last, orphans=orphans)
    if isinstance(known, JobUpdate):
        events += known.events  # from the first one on, perhaps not to the last: of both, the latest counts
    return Status(
        state=known.state,
        raw=known.raw,
        job=job,
        model=known.model,
        error=known.error,
        hint=known.hint,
        last=max(events, key=when, default=None),
        diagnosis=diagnose(events, hyperparameters or {}),
        orphans=orphans,
    )


def _look(provider: Provider, job: Job) -> JobUpdate:
    """How the job stands, without setting it going again."""
    return provider.look(job) if isinstance(provider, SupportsLook) else provider.poll(job, cursor=None)


def cancel(provider: Provider, store: Store, key: str, request: Request, *, patience: float = CANCEL) -> Job:
    """Ask the provider to cancel the key's job and return it; one that has ended is left alone.

    A job of which only a doubtful submission is known is looked for first. Asking again changes nothing, so it is done
    for `patience` seconds where the provider cannot be reached or its answer is lost.
    """
    result, register, waits = ended(store, key), Register(store, key), Patience(patience)
    if result:
        return result.job
    job = register.job() or waits.retry(lambda: _doubtful(provider, register, request))
    try:
        provider.cancel(job)
    except NotFound as error:
        what = f"job {job.id} is not there: {error.message}"
        raise FtspecError(what, "where it was removed there, nothing is left to cancel") from error
    except (Transient, Ambiguous) as error:
        if not (isinstance(error, Ambiguous) and _stopped(provider, job)):
            waits.wait(error)
            waits.retry(lambda: provider.cancel(job))
    return job


def _stopped(provider: Provider, job: Job) -> bool:
    """Whether a cancellation was heard though its answer was lost."""
    with contextlib.suppress(Transient, Ambiguous):
        state = provider.poll(job, cursor=None).state
        return state.terminal or state is JobState.CANCELLING
    return False


def _doubtful(provider: Provider, register: Register, request: Request) -> Job:
    """The job of a submission of which nothing was heard, if it can be found."""
    attempt = register.latest()
    if attempt is None or attempt.outcome:
        raise FtspecError("no job has been submitted for this spec", "there is nothing to cancel; see `ftspec runs`")
    found = provider.find(request, key=register.key)
    if not found:
        raise FtspecError(
            f"{attempt.writer} may have submitted a job, and the provider shows none",
            "look at the provider's own list of jobs; `ftspec run` looks again",
        )
    return register.adopt(found[0]).job or found[0]
