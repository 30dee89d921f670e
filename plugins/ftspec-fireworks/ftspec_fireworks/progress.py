"""What a job tells on its way: how far it is, and the losses in its metrics file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ftspec import api, hosted

STEPS = ("step", "global_step", "train/global_step")
NAMES = {
    "train/loss": "train_loss",
    "train_loss": "train_loss",
    "loss": "train_loss",
    "eval/loss": "validation_loss",
    "eval_loss": "validation_loss",
    "validation_loss": "validation_loss",
    "train/learning_rate": "learning_rate",
    "learning_rate": "learning_rate",
    "epoch": "epoch",
}
"""The names that trainers give to what a line of the file holds. Its format is documented nowhere: see README."""


def percent(said: Any) -> Iterator[api.TrainingEvent]:
    """How far the job is, where it says so."""
    progress = said.job_progress if hasattr(said, "job_progress") else None
    if progress is not None and progress.percent is not None:
        at = hosted.timestamp(said.update_time) if getattr(said, "update_time", None) else time.time()
        yield api.TrainingEvent(id=f"percent:{progress.percent}", at=at, message=f"{progress.percent} %")


def metrics(text: str, started: float) -> Iterator[api.TrainingEvent]:
    """The lines of a metrics file, JSON each, that have a step and a known number."""
    last = 0
    for number, line in enumerate(text.splitlines()):
        try:
            row = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        inner = row.get("metrics") if isinstance(row, Mapping) else None
        row = {**row, **inner} if isinstance(inner, Mapping) else row
        if not isinstance(row, Mapping):
            continue
        named = {NAMES[key]: float(value) for key, value in row.items() if key in NAMES and _number(value)}
        step = next((int(row[key]) for key in STEPS if _number(row.get(key))), 0)
        if named and step >= 1:
            last = max(last, step)
            yield api.TrainingEvent(id=f"metrics:{number}", at=started + number * 1e-3, step=last, metrics=named)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
