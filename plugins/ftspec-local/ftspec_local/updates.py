"""What a job's folder says, in the words in which ftspec asks."""

from __future__ import annotations

from typing import Any

import msgspec

from ftspec import api
from ftspec_local.jobs import JobFolder


def update(
    job: api.Job, folder: JobFolder, result: dict[str, Any] | None, events: list[Any], cursor: str | None
) -> api.JobUpdate:
    last = str(events[-1]["number"]) if events else cursor
    training_events = tuple(_event(event) for event in events)
    if result is None:
        state = api.JobState.CANCELLING if folder.cancelled() else api.JobState.RUNNING
        return api.JobUpdate(
            state=state,
            raw=state.value,
            events=training_events,
            cursor=last,
            checkpoints=_checkpoints(job.id, folder),
        )
    state = api.JobState(result["state"])
    return api.JobUpdate(
        state=state,
        raw=state.value,
        events=training_events,
        cursor=last,
        model=_model(job.id, folder, result) if state is api.JobState.SUCCEEDED else None,
        error=result.get("error", ""),
        hint=result.get("hint", ""),
        checkpoints=_checkpoints(job.id, folder),
    )


def _checkpoints(key: str, folder: JobFolder) -> tuple[api.Checkpoint, ...]:
    """The best model so far, where one was kept."""
    best = folder.best()
    if best is None:
        return ()
    model = _model(key, folder, {"form": "adapter"})
    details = {**model.details, "folder": str(best.folder)}
    model = msgspec.structs.replace(model, id=f"{model.id}:step-{best.step}", details=details)
    loss = {"validation_loss": best.validation_loss}
    return (api.Checkpoint(id=model.id, step=best.step, model=model, metrics=loss),)


def _model(key: str, folder: JobFolder, result: dict[str, Any]) -> api.TunedModel:
    base = msgspec.convert(folder.job()["request"]["model"], api.ModelRef)
    details = {"folder": str(folder.model), "form": result["form"]}
    return api.TunedModel(id=f"{base.id}:ft:{key[:12]}", base=base, details=details)


def _event(event: dict[str, Any]) -> api.TrainingEvent:
    fields = {name: event[name] for name in ("message", "level", "step", "total_steps", "metrics") if name in event}
    return api.TrainingEvent(id=event["id"], at=event["at"], **fields)
