"""What a trainer says while it trains, as the job's events; models that are kept on the way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import TrainerCallback

from ftspec_local import checkpoints
from ftspec_local.jobs import EventLog, JobFolder, make_durable, write_atomically
from ftspec_local.options import Hyperparameters


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Turns what the trainer says into the job's events, marks checkpoints, and looks whether to stop."""

    def __init__(self, folder: JobFolder, log: EventLog, total: int, hyperparameters: Hyperparameters) -> None:
        self.folder, self.log, self.total, self.hyperparameters = folder, log, total, hyperparameters
        self.reported = (time.monotonic(), 0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.folder.cancelled():
            control.should_training_stop = True
            control.should_save = False
        elif self.folder.stopping():
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" in logs:
            metrics = {
                "train_loss": logs["loss"],
                "train_accuracy": logs.get("mean_token_accuracy"),
                "learning_rate": logs["learning_rate"],
                "epoch": logs["epoch"],
                "tokens_per_second": self._speed(logs.get("num_tokens", 0.0)),
                "reward_accuracy": logs.get("rewards/accuracies"),
                "reward_margin": logs.get("rewards/margins"),
            }
            self._add("train", state.global_step, metrics)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        found = {
            "validation_loss": metrics["eval_loss"],
            "validation_accuracy": metrics.get("eval_mean_token_accuracy"),
        }
        self._add("validation", state.global_step, found)
        best = self.folder.best()
        if self.hyperparameters.keeps and (best is None or metrics["eval_loss"] < best.validation_loss):
            keep_best(self.folder, _parts(kwargs), state.global_step, metrics["eval_loss"])

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        checkpoints.mark_complete(self.folder.checkpoints / f"{checkpoints.PREFIX}{state.global_step}")
        if state.global_step in self._kept(args.save_steps):
            _keep(self.folder, "kept", _parts(kwargs), state.global_step)
        self._add("checkpoint", state.global_step, {}, f"checkpoint at step {state.global_step}")

    def _kept(self, every: int) -> Sequence[int]:
        """The steps after which the model is kept: every adapter, and as many full models as are wanted. The last state
        is the job's model itself."""
        steps = range(every, self.total, every)
        return steps if self.hyperparameters.adapters else spread(steps, self.hyperparameters.full_checkpoints)

    def _add(self, kind: str, step: int, metrics: dict[str, float | None], message: str = "") -> None:
        known = {name: value for name, value in metrics.items() if value is not None}
        self.log.add(f"{kind}:{step}", message, step=step, total_steps=self.total, metrics=known)

    def _speed(self, tokens: float) -> float | None:
        """Tokens per second since the last report; the trainer counts all tokens since it was started."""
        now, (then, before) = time.monotonic(), self.reported
        self.reported = (now, tokens)
        return round((tokens - before) / (now - then), 1) if tokens > before else None


def spread(steps: Sequence[int], count: int) -> Sequence[int]:
    """So many of the steps, evenly."""
    if count >= len(steps):
        return steps
    return [steps[round((place + 1) * (len(steps) + 1) / (count + 1)) - 1] for place in range(count)]


def _parts(given: dict[str, Any]) -> list[Any]:
    """What makes a model's folder, of what a callback is given: an adapter, or a whole model and its tokenizer."""
    model = given["model"]
    return [model] if isinstance(model, PeftModel) else [model, given["processing_class"]]


def keep_best(folder: JobFolder, parts: Sequence[Any], step: int, validation_loss: float) -> None:
    """Keep the model as the best one so far, in the place of the one before."""
    place = _keep(folder, "best", parts, step, **{"best.json": {"step": step, "validation_loss": validation_loss}})
    for other in folder.path.glob("best-*"):
        if other != place:
            shutil.rmtree(other)


def _keep(folder: JobFolder, name: str, parts: Sequence[Any], step: int, **beside: dict[str, Any]) -> Path:
    """Keep the model as it is after this step, and files beside it: whole or not at all. Gives its place."""
    staging, place = folder.path / f".{name}-{step}", folder.path / f"{name}-{step}"
    shutil.rmtree(staging, ignore_errors=True)
    if not place.exists():
        for part in parts:
            part.save_pretrained(staging)
        for file, content in beside.items():
            write_atomically(staging / file, content)
        make_durable(staging)
        staging.replace(place)
    return place
