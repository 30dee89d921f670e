"""What a job's folder says, in the words in which ftspec asks."""

from __future__ import annotations

from pathlib import Path
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
        checkpoints=_checkpoints(job.id, folder, result),
    )


def _checkpoints(key: str, folder: JobFolder, result: dict[str, Any] | None = None) -> tuple[api.Checkpoint, ...]:
    """Every model that was kept, by step. The last one is the job's model itself, once there is one."""
    models = {step: _kept(key, folder, step, place) for step, place in sorted(folder.kept().items())}
    if models and result and result["state"] == api.JobState.SUCCEEDED:
        models[result["steps"]] = _model(key, folder, result)
    losses = folder.losses() if models else {}
    return tuple(
        api.Checkpoint(
            id=model.id,
            step=step,
            model=model,
            metrics={"validation_loss": losses[step]} if step in losses else {},
        )
        for step, model in models.items()
    )


def _kept(key: str, folder: JobFolder, step: int, place: Path) -> api.TunedModel:
    form = "adapter" if (place / "adapter_config.json").exists() else "full"
    model = _model(key, folder, {"form": form})
    return msgspec.structs.replace(model, id=f"{model.id}:step-{step}", details=model.details | {"folder": str(place)})


def _model(key: str, folder: JobFolder, result: dict[str, Any]) -> api.TunedModel:
    base = msgspec.convert(folder.job()["request"]["model"], api.ModelRef)
    details = {"folder": str(folder.model), "form": result["form"]}
    return api.TunedModel(id=f"{base.id}:ft:{key[:12]}", base=base, details=details)


def _event(event: dict[str, Any]) -> api.TrainingEvent:
    fields = {name: event[name] for name in ("message", "level", "step", "total_steps", "metrics") if name in event}
    return api.TrainingEvent(id=event["id"], at=event["at"], **fields)
