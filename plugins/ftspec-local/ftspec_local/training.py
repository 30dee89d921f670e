"""Train one job: a trainer of TRL's on rows that are already token ids, checkpointed so that a kill changes nothing.

What makes a continued run equal an uninterrupted one, bit for bit: the order of rows follows from the seed alone;
optimizer, scheduler and random states are in each checkpoint; and a checkpoint counts only when it is complete.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback
from transformers.trainer_utils import set_seed
from trl import SFTConfig, SFTTrainer

from ftspec_local import checkpoints, rows
from ftspec_local.device import Resolved, prepare
from ftspec_local.jobs import EventLog, JobFolder, make_durable, write_atomically
from ftspec_local.options import Hyperparameters, Lora, Sft
from ftspec_local.render import Renderer

IGNORED = -100
MOST_EVENTS = 1000  # train losses reported per run; more steps are averaged
CHECKPOINTS_PER_RUN = 10
KEPT_CHECKPOINTS = 2  # while one is written the other is the one that counts


class Cancelled(Exception):
    """Somebody asked for the job to be cancelled."""


class Training:
    """One training run, from the base model's folder and the data files to a saved model."""

    def __init__(
        self,
        folder: JobFolder,
        log: EventLog,
        base: Path,
        hyperparameters: Hyperparameters,
        options: dict[str, Any],
        machine: Resolved,
    ) -> None:
        self.folder, self.log, self.base = folder, log, base
        self.hyperparameters, self.options, self.machine = hyperparameters, options, machine

    def run(self, training: Path, validation: Path | None) -> dict[str, Any]:
        """Train from the last complete checkpoint, or from the start, and save the model."""
        renderer = Renderer.from_folder(self.base)
        dataset = self._dataset(renderer, training)
        validation_dataset = self._dataset(renderer, validation) if validation else None
        checkpoint = checkpoints.latest(self.folder.checkpoints)
        trainer = self._trainer(dataset, validation_dataset)
        self.log.add(f"ready:{time.time_ns()}", self._ready_message(len(dataset), checkpoint))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if self.folder.cancelled():
            raise Cancelled
        self._save(trainer)
        return {
            "form": "adapter" if self.hyperparameters.adapters else "full",
            "steps": trainer.state.global_step,
            "seconds_per_step": _seconds_per_step(trainer),
        }

    def _dataset(self, renderer: Renderer, path: Path) -> Dataset:
        sft = msgspec.convert(self.options, Sft)
        tokenized = [rows.tokenize(renderer, row, self.hyperparameters, sft) for row in rows.read(path)]
        return Dataset.from_dict(
            {
                "input_ids": [row.ids for row in tokenized],
                "labels": [
                    [token if trained else IGNORED for token, trained in zip(row.ids, row.trained, strict=True)]
                    for row in tokenized
                ],
            }
        )

    def _trainer(self, dataset: Dataset, validation: Dataset | None) -> Trainer:
        set_seed(self.hyperparameters.seed)
        model = load_model(self.base, self._dtype())
        steps = self.hyperparameters.total_steps(len(dataset))
        arguments = self._arguments(steps, len(dataset), evaluate=validation is not None)
        return self._made(
            arguments,
            model=model,
            train_dataset=dataset,
            eval_dataset=validation,
            processing_class=AutoTokenizer.from_pretrained(self.base),
            peft_config=lora_config(self.hyperparameters.adapters, model),
            callbacks=[_Reporter(self.folder, self.log, steps, self.hyperparameters)],
        )

    def _made(self, arguments: dict[str, Any], **parts: Any) -> Trainer:
        """The trainer of the method."""
        return _Trainer(args=SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, **arguments), **parts)

    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = prepare(self.machine)
        # Updates of a full fine-tuning are too small for 16 bits: its weights stay in fp32.
        return dtype if self.hyperparameters.adapters else torch.float32

    def _arguments(self, steps: int, row_count: int, *, evaluate: bool) -> dict[str, Any]:
        """What every method's configuration is made of."""
        h = self.hyperparameters
        report_every = -(-steps // MOST_EVENTS)
        per_epoch = -(-row_count // (h.batch_size * h.gradient_accumulation))
        return {
            "output_dir": str(self.folder.checkpoints),
            "num_train_epochs": h.epochs,
            "max_steps": h.max_steps or -1,
            "per_device_train_batch_size": h.batch_size,
            "per_device_eval_batch_size": h.batch_size,
            "gradient_accumulation_steps": h.gradient_accumulation,
            "learning_rate": h.learning_rate,
            "lr_scheduler_type": h.schedule if h.schedule != "constant" else "constant_with_warmup",
            "warmup_steps": round(h.warmup_ratio * steps),
            "weight_decay": h.weight_decay,
            "seed": h.seed,
            "max_length": None,
            # TRL turns gradient checkpointing on by default: it saves memory that these models do not need, for a third
            # more time.
            "gradient_checkpointing": False,
            "bf16": self.machine.precision == "bf16",
            "fp16": self.machine.precision == "fp16",
            "use_cpu": self.machine.device == "cpu",
            "logging_steps": report_every,
            "logging_nan_inf_filter": False,
            "save_strategy": "steps",
            # A multiple of the reporting interval, or a continued run would report a part of it
            "save_steps": _round_up(h.checkpoint_steps or -(-steps // CHECKPOINTS_PER_RUN), report_every),
            "save_total_limit": KEPT_CHECKPOINTS,
            "eval_strategy": "steps" if evaluate else "no",
            "eval_steps": h.evaluation_steps or per_epoch,
            "prediction_loss_only": True,
            "report_to": [],
            "disable_tqdm": True,
        }

    def _ready_message(self, row_count: int, checkpoint: Path | None) -> str:
        start = (
            f"going on from step {checkpoints.step_of(checkpoint)}" if checkpoint else f"training on {row_count} rows"
        )
        machine = self.machine
        return f"{start} ({machine.device}, {machine.precision}, {machine.threads} threads)"

    def _save(self, trainer: Trainer) -> None:
        """Save the model in its ecosystem's own format: a peft adapter, or a transformers model with its tokenizer."""
        trainer.model.save_pretrained(self.folder.model)
        trainer.processing_class.save_pretrained(self.folder.model)
        make_durable(self.folder.model)


class _Trainer(SFTTrainer):  # type: ignore[misc]  # TRL is not typed
    """TRL's trainer, whose output layer sees only the positions that are trained on.

    TRL computes it, a piece at a time, for every position. With an answer of ten tokens behind a prompt of fifty and a
    vocabulary of 49,000 that is a fifth of the whole training time. The loss is the same.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if self.aux_loss_enabled:  # a mixture of experts adds a loss of its own, which TRL knows how to weigh
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        targets = inputs["labels"][:, 1:]
        counted = targets != IGNORED
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        # What the model does with its logits afterwards (scaling, capping) stays its own affair.
        hook = head.register_forward_pre_hook(lambda _, given: (given[0][:, :-1][counted],))
        try:
            outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs.get("attention_mask"), use_cache=False)
        finally:
            hook.remove()
        logits, targets = outputs.logits.float(), targets[counted]
        count = counted.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / count.clamp(min=1)
        self._count(inputs, (logits.detach().argmax(-1) == targets).float())
        return (loss, outputs) if return_outputs else loss

    def _count(self, inputs: dict[str, Any], right: torch.Tensor) -> None:
        """Keep the metrics that TRL logs."""
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["mean_token_accuracy"].append(right.mean().item() if len(right) else 0.0)
        if mode == "train":
            self._total_train_tokens += int(inputs["attention_mask"].sum().item())
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]


class _Reporter(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
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


def load_model(folder: Path, dtype: torch.dtype) -> Any:
    """The base model in this precision."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def lora_config(lora: Lora | None, model: Any) -> LoraConfig | None:
    """peft's configuration; None for full fine-tuning."""
    if lora is None:
        return None
    count = model.config.get_text_config().num_hidden_layers
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha or 2 * lora.rank,
        lora_dropout=lora.dropout,
        target_modules=lora.targets or linear_names(model),
        layers_to_transform=list(range(max(0, count - lora.layers), count)) if lora.layers else None,
        task_type="CAUSAL_LM",
    )


def linear_names(model: Any) -> list[str]:
    """Names of the model's linear layers (q_proj, ...), without its output layer.

    peft's own "all-linear" cannot be combined with a choice of layers.
    """
    head = model.get_output_embeddings()
    linear = (
        name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module is not head
    )
    return sorted({name.rpartition(".")[2] for name in linear})


def _seconds_per_step(trainer: Trainer) -> float | None:
    runtime = next((entry["train_runtime"] for entry in trainer.state.log_history if "train_runtime" in entry), None)
    return round(runtime / trainer.state.global_step, 3) if runtime and trainer.state.global_step else None


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
