"""A run's decisions as they are made: each durable before the next, and told to whoever watches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ftspec.common.errors import FtspecError, StillRunning, in_short
from ftspec.common.records import Event, RunInfo
from ftspec.common.references import mask
from ftspec.observers import notify
from ftspec.run.site import Site
from ftspec.state import history
from ftspec.state.journal import Journal


class Diary:
    """What one process decides about a run: in the journal, told to observers, with the seconds that steps took."""

    def __init__(self, site: Site, run: str) -> None:
        self.site, self.run = site, run
        self.journal = Journal(site.store, run, self._tell)
        self.timings: dict[str, float] = {}

    @contextmanager
    def observed(self, **begun: Any) -> Iterator[None]:
        """Journal the beginning and a bad end, and tell observers of both, whatever happens in between."""
        self.decide("started", **begun)
        self._notify("ftspec_run_started", run=self.info())
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            self._ended_by(raised)
            raise
        finally:
            self._notify("ftspec_run_finished", run=self.info(), error=error)

    def _ended_by(self, error: BaseException) -> None:
        if isinstance(error, StillRunning):
            self.decide("detached")
        elif isinstance(error, FtspecError):
            message, hint = in_short(error)
            self.decide("failed", error=mask(message), hint=mask(hint))

    def decide(self, kind: str, **data: Any) -> None:
        """Write down what was decided; it is durable when this returns."""
        self.journal.append(kind, **data)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the seconds as those of a step."""
        started = time.monotonic()
        yield
        self.timings[name] = time.monotonic() - started

    def info(self) -> RunInfo:
        """The run as it stands now."""
        return history.info(self.run, self.journal.events())

    def _tell(self, event: Event) -> None:
        self._notify("ftspec_event", run=self.info(), event=event)

    def _notify(self, hook: str, **facts: Any) -> None:
        notify(self.site.registry, self.site.progress, hook, **facts)
