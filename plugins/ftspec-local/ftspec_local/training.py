"""Train one job: a trainer of TRL's on rows that are already token ids, checkpointed so that a kill changes nothing.

What makes a continued run equal an uninterrupted one, bit for bit: the order of rows follows from the seed alone;
optimizer, scheduler and random states are in each checkpoint; and a checkpoint counts only when it is complete.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer
from transformers.trainer_utils import set_seed
from trl import SFTConfig, SFTTrainer

from ftspec_local import checkpoints, rows
from ftspec_local.device import Resolved, prepare
from ftspec_local.jobs import EventLog, JobFolder, make_durable
from ftspec_local.options import Hyperparameters, Lora, Sft
from ftspec_local.render import Renderer
from ftspec_local.reporter import Reporter

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
            callbacks=[Reporter(self.folder, self.log, steps, self.hyperparameters)],
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
