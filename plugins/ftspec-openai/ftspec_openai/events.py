"""What happened in a job: from its events, in any order and each once, and from its result files."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ftspec import api, hosted
from ftspec_openai.calls import calling, made_at, pages
from ftspec_openai.files import Files

if TYPE_CHECKING:
    import openai

PAGE = 100
METRICS = {
    "train_loss": "train_loss",
    "train_accuracy": "train_accuracy",
    "train_mean_token_accuracy": "train_accuracy",
    "valid_loss": "validation_loss",
    "valid_accuracy": "validation_accuracy",
    "valid_mean_token_accuracy": "validation_accuracy",
    "full_valid_loss": "full_validation_loss",
    "full_valid_accuracy": "full_validation_accuracy",
    "full_valid_mean_token_accuracy": "full_validation_accuracy",
    "learning_rate": "learning_rate",
    "epoch": "epoch",
}
"""The service's names and ours. Others are kept as the service calls them, `valid` written out."""
STEP = re.compile(r"Step (\d+)(?:/(\d+))?", re.IGNORECASE)
LOSS = re.compile(r"training loss[=:]\s*([0-9.eE+-]+)", re.IGNORECASE)
LEVELS: Mapping[str, Literal["info", "warning", "error"]] = {"warn": "warning", "warning": "warning", "error": "error"}


class Log:
    """What one job has told so far, in the order in which we learned it: a cursor is how much of it is known."""

    def __init__(self, client: openai.OpenAI, job: api.Job) -> None:
        self.client, self.job = client, job
        self.asides = hosted.Asides()
        self.events: list[api.TrainingEvent] = []
        self.seen: set[str] = set()
        self.results_read = False

    def after(self, cursor: str | None) -> tuple[api.TrainingEvent, ...]:
        return tuple(self.events[int(cursor or 0) :])

    @property
    def cursor(self) -> str:
        return str(len(self.events))

    def refresh(self, *, ended: bool) -> bool:
        """Read what is new; of a job that has ended to the last page. True when there was anything."""
        before = len(self.events)
        _, unread = self.asides.read(self.job, "events", partial(self._read, everything=ended), ended=ended)
        self._keep(unread)
        return len(self.events) > before

    def _read(self, *, everything: bool) -> None:
        found: list[api.TrainingEvent] = []
        what = "read the job's events"
        try:
            with calling(what):
                page = self.client.fine_tuning.jobs.list_events(self.job.id, limit=PAGE)
            for entries in pages(page, what):
                found += [event_of(entry) for entry in entries]
                # Their order is not documented: only where newer ones come first does a page without news end it.
                if not everything and _falling(entries) and all(entry.id in self.seen for entry in entries):
                    break
        finally:
            self._keep(found)

    def read_results(self, files: Files, identities: list[str]) -> None:
        """Add the metrics of the job's result files for steps of which no event told any."""
        if self.results_read:
            return
        told = {event.step for event in self.events if event.metrics}
        for identity in identities:
            content, unread = self.asides.read(
                self.job, f"result file {identity}", partial(files.content, identity), ended=True
            )
            rows = result_rows(content or b"")
            self._keep([*unread, *(_of_row(identity, row, self._latest()) for row in rows if row[0] not in told)])
        self.results_read = True

    def _keep(self, events: Sequence[api.TrainingEvent]) -> None:
        """Keep those that are new, oldest first."""
        new = [event for event in events if event.id not in self.seen]
        self.seen.update(event.id for event in new)
        self.events += sorted(new, key=lambda event: (event.at, event.step or 0))

    def _latest(self) -> float:
        return max((event.at for event in self.events), default=0.0)


def _falling(entries: list[Any]) -> bool:
    """Whether a page lists newer events before older ones."""
    times = [made_at(entry) for entry in entries]
    return bool(times) and times[0] > times[-1]


def event_of(entry: Any) -> api.TrainingEvent:
    """One event of the service's. Older ones tell their step and loss in the message only."""
    message = str(getattr(entry, "message", None) or "")
    data = getattr(entry, "data", None)
    told = data if isinstance(data, Mapping) else {}
    spoken = STEP.search(message)
    metrics = metrics_of(told)
    if not metrics and (loss := LOSS.search(message)):
        metrics = metrics_of({"train_loss": loss[1]})
    step = _step(told.get("step")) or (int(spoken[1]) if spoken else None)
    total = _step(told.get("total_steps")) or (int(spoken[2]) if spoken and spoken[2] else None)
    return api.TrainingEvent(
        id=entry.id,
        at=made_at(entry),
        message=message[:1000],
        level=LEVELS.get(str(getattr(entry, "level", "")), "info"),
        step=step,
        total_steps=total,
        metrics=metrics,
    )


def result_rows(content: bytes) -> list[tuple[int, dict[str, float]]]:
    """(step, metrics) of each row of a result file: CSV, often encoded as base64. What is no such row is left out."""
    text = _plain(content).decode("utf-8", "replace")
    rows = csv.DictReader(io.StringIO(text))
    found = ((_step(row.get("step")), metrics_of(row)) for row in rows)
    return [(step, metrics) for step, metrics in found if step and metrics]


def _plain(content: bytes) -> bytes:
    """The CSV itself: only base64 has no comma."""
    if b"," in content:
        return content
    try:
        return base64.b64decode(content, validate=False)
    except (binascii.Error, ValueError):
        return content


def _of_row(identity: str, row: tuple[int, dict[str, float]], at: float) -> api.TrainingEvent:
    step, metrics = row
    return api.TrainingEvent(id=f"{identity}:{step}", at=at, step=step, metrics=metrics)


def metrics_of(told: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among what was told, under our names."""
    found = {}
    for name, value in told.items():
        if not isinstance(name, str) or name in {"step", "total_steps"} or isinstance(value, bool | None):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number):
            found[METRICS.get(name, name.replace("valid_", "validation_"))] = number
    return found


def _step(value: Any) -> int | None:
    """A step from 1, None for anything else."""
    try:
        step = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return step if step > 0 else None
