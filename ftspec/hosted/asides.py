"""What a job tells beside its state, its log and its losses: never worth its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ftspec import api

T = TypeVar("T")
PATIENCE = 3
"""Failures in a row after which the end of a job is told without what could not be read."""


class Asides:
    """Reads them for as long as there is hope: what cannot be read must not keep the end of a job from us."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def read(
        self, job: api.Job, what: str, call: Callable[[], T], *, ended: bool
    ) -> tuple[T | None, tuple[api.TrainingEvent, ...]]:
        """What the call returns, or None and, of a job that has `ended`, an event that says why.

        While a job goes on the next look reads what this one could not; once it has ended, what the call raises is
        raised a few times.
        """
        key = f"{job.id} {what}"
        try:
            found = call()
        except (api.Transient, api.Ambiguous, api.Rejected) as error:
            if not ended:
                return None, ()
            self._failures[key] = failures = self._failures.get(key, 0) + 1
            if not isinstance(error, api.Rejected) and failures < PATIENCE:
                raise
            said = f"the job's {what} cannot be read: {error.message}"
            return None, (api.TrainingEvent(id=f"unread {what}", at=time.time(), message=said, level="warning"),)
        self._failures.pop(key, None)
        return found, ()
