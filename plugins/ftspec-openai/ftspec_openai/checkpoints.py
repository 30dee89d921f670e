"""The models that a job had on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec import api
from ftspec_openai.calls import calling, listed
from ftspec_openai.events import metrics_of
from ftspec_openai.presets import Preset

if TYPE_CHECKING:
    import openai


class Checkpoints:
    """The checkpoints of one job, as far as they are known: looked for again when something has happened."""

    def __init__(self, client: openai.OpenAI, preset: Preset, identity: str, base: api.ModelRef) -> None:
        self.client, self.preset, self.identity, self.base = client, preset, identity, base
        self.known: tuple[api.Checkpoint, ...] = ()
        self.absent = False

    def refresh(self, *, needed: bool) -> tuple[api.Checkpoint, ...]:
        """All that are known by now, by step; what cannot be read is an error only where the model is `needed`."""
        if self.absent:
            return self.known
        what = "list the checkpoints"
        try:
            with calling(what):
                page = self.client.fine_tuning.jobs.checkpoints.list(self.identity, limit=100)
            found = [self._checkpoint(entry) for entry in listed(page, what)]
            self.known = tuple(sorted(found, key=lambda checkpoint: (checkpoint.step, checkpoint.id)))
        except api.Rejected:
            self.absent = True  # a server without checkpoints
        except (api.Transient, api.Ambiguous):
            if needed:
                raise
        return self.known

    def _checkpoint(self, entry: Any) -> api.Checkpoint:
        by_id = f"{self.identity}:{entry.id}"  # what Nebius deploys, whatever else the entry names
        named = None if self.preset.newest_is_model else getattr(entry, "fine_tuned_model_checkpoint", None)
        metrics = getattr(entry, "metrics", None)
        told = metrics.model_dump() if metrics is not None and hasattr(metrics, "model_dump") else metrics
        details = {"job": self.identity, "checkpoint": entry.id}
        return api.Checkpoint(
            id=entry.id,
            step=int(getattr(entry, "step_number", None) or 0),
            model=api.TunedModel(id=named or by_id, base=self.base, details=details),
            metrics=metrics_of(told) if isinstance(told, dict) else {},
        )
