"""What a job tells on its way: its log, its metrics, its checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ftspec import api, hosted

NAMES = {
    "train/loss": "train_loss",
    "train/learning_rate": "learning_rate",
    "train/epoch": "epoch",
    "eval/loss": "validation_loss",
    "validation/loss": "validation_loss",
}
LEVELS = {"warning": "warning", "error": "error", "legacy_iwarning": "warning", "legacy_ierror": "error"}


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What has been told already: so many lines of the log, metrics up to a step, and the ids told at that step."""

    log: int = 0
    step: int = 0
    seen: tuple[str, ...] = ()


def log(events: Iterable[Any]) -> Iterator[api.TrainingEvent]:
    """Lines of the job's log; they have no ids, so one is made of what they say."""
    for number, event in enumerate(events):
        text = f"{number}\n{event.type}\n{event.created_at}\n{event.message}"
        yield api.TrainingEvent(
            id=f"log:{hashlib.sha256(text.encode()).hexdigest()[:16]}",
            at=hosted.timestamp(event.created_at),
            message=str(event.message or event.type),
            level=LEVELS.get(str(event.level), "info"),  # type: ignore[arg-type]
            step=event.step or None,
            total_steps=event.total_steps or None,
        )


def metrics(rows: Sequence[Mapping[str, Any]], cursor: Cursor, started: float) -> list[api.TrainingEvent]:
    """One event per step and side that has numbers, without what the cursor has seen."""
    events = []
    for row in rows:
        step = int(row.get("train/global_step") or row.get("global_step") or 0)
        for side in ("train", "eval", "validation"):
            named = {NAMES[key]: float(value) for key, value in row.items() if key in NAMES and key.startswith(side)}
            identity = f"{side}:{step}"
            if step >= 1 and named and (step > cursor.step or identity not in cursor.seen):
                at = float(row.get("timestamp") or 0) or started + step * 1e-3
                events.append(api.TrainingEvent(id=identity, at=at, step=step, metrics=named))
    return sorted(events, key=lambda event: event.step or 0)


def told(cursor: Cursor, lines: int, events: Sequence[api.TrainingEvent]) -> Cursor:
    """The cursor after these."""
    last = max([cursor.step, *(event.step or 0 for event in events)])
    kept = cursor.seen if last == cursor.step else ()
    now = tuple(event.id for event in events if event.step == last)
    return Cursor(log=cursor.log + lines, step=last, seen=(*kept, *now))
