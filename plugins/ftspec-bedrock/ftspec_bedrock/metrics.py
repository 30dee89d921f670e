"""What a job tells on its way: its phases, and the losses in the files that it writes beside its output."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ftspec import api

PHASES = {"validationDetails": "validation", "dataProcessingDetails": "data processing", "trainingDetails": "training"}
TRAINING = "training_artifacts/step_wise_training_metrics.csv"
VALIDATION = "validation_artifacts/post_fine_tuning_validation/validation_metrics.csv"


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What has been told already: phases by name and status, and rows of the two files."""

    phases: tuple[str, ...] = ()
    training: int = 0
    validation: int = 0


def phases(job: Mapping[str, Any]) -> Iterator[api.TrainingEvent]:
    """One event per phase and status that the job names."""
    for key, name in PHASES.items():
        details = (job.get("statusDetails") or {}).get(key) or {}
        if details.get("status") not in {None, "NotStarted"}:
            at = details.get("lastModifiedTime") or job.get("lastModifiedTime")
            yield api.TrainingEvent(
                id=f"{name}:{details['status']}",
                at=at.timestamp() if at else time.time(),
                message=f"{name}: {details['status']}",
            )


def losses(text: str, kind: str, at: float) -> list[api.TrainingEvent]:
    """The rows of a metrics file (columns step_number from 0, epoch_number, training_loss or validation_loss)."""
    events: list[api.TrainingEvent] = []
    column, name = f"{kind}_loss", "train_loss" if kind == "training" else "validation_loss"
    for number, row in enumerate(csv.DictReader(io.StringIO(text))):
        try:
            step, loss = int(float(row["step_number"])) + 1, float(row[column])
        except (KeyError, TypeError, ValueError):
            continue
        metrics = {name: loss}
        if row.get("epoch_number"):
            metrics["epoch"] = float(row["epoch_number"])
        events.append(api.TrainingEvent(id=f"{kind}:{number}", at=at, step=step, metrics=metrics))
    return events
