"""What a spec may say to Together, and how it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

# Bounds that hold for every model are the SDK's own (together 3.1.1, lib/resources/fine_tuning.py); a model's own are
# asked for before a job is submitted. Defaults are those of the SDK's `fine_tuning.create`.


class Lora(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adapters."""

    rank: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Width of the adapters; the model's default if not given.")
    ] = None
    alpha: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Scale of the adapters; twice the rank if not given.")
    ] = None
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Share of adapter inputs dropped while training.")] = 0.0
    targets: Annotated[list[str] | None, Meta(description="Layers to adapt; every linear one if not given.")] = None


class Hyperparameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What steers a job on Together."""

    epochs: Annotated[int, Meta(ge=1, le=20, description="How often every row is seen.")] = 1
    batch_size: Annotated[
        Annotated[int, Meta(ge=1)] | Literal["max"], Meta(description="Rows per step; `max` is the model's largest.")
    ] = "max"
    gradient_accumulation: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Batches per optimizer step; the model's own if not given."),
    ] = None
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="Peak learning rate.")] = 1e-5
    schedule: Annotated[Literal["linear", "cosine"], Meta(description="How the learning rate falls.")] = "cosine"
    warmup_ratio: Annotated[float, Meta(ge=0, le=1, description="Share of the steps in which the rate rises.")] = 0.0
    weight_decay: Annotated[float, Meta(ge=0, description="Decay of the trained weights.")] = 0.0
    max_grad_norm: Annotated[float, Meta(ge=0, description="Gradients are clipped to this norm; 0 does not.")] = 1.0
    max_length: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Most tokens of a row; the model's most if not given.")
    ] = None
    packing: Annotated[bool, Meta(description="Put several short rows into one sequence.")] = True
    seed: Annotated[int, Meta(ge=0, lt=2**31, description="Decides the order of rows and the adapters' start.")] = 42
    lora: Annotated[Lora | bool, Meta(description="Adapters: true or their options; false trains every weight.")] = True
    checkpoints: Annotated[int, Meta(ge=0, description="Models that are kept on the way.")] = 1
    evaluations: Annotated[int, Meta(ge=0, description="Validation losses on the way, with a validation set.")] = 0
    early_stopping_patience: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Evaluations without improvement before the job stops; it never does if not given."),
    ] = None


class Sft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning."""

    train_on: Annotated[
        Literal["assistant", "all"], Meta(description="Which messages count: the assistant's, or everything.")
    ] = "assistant"


class Dpo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Direct preference optimization."""

    beta: Annotated[float, Meta(gt=0, le=2, description="How close the model stays to its base.")] = 0.1
    normalize_by_length: Annotated[bool, Meta(description="Divide log-probabilities by the answer's length.")] = False


def arguments(method: str, options: Mapping[str, Any], hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `fine_tuning.create`."""
    wanted = msgspec.convert(hyperparameters, Hyperparameters)
    sent: dict[str, Any] = {
        "n_epochs": wanted.epochs,
        "batch_size": wanted.batch_size,
        "gradient_accumulation_steps": wanted.gradient_accumulation,
        "learning_rate": wanted.learning_rate,
        "lr_scheduler_type": wanted.schedule,
        "warmup_ratio": wanted.warmup_ratio,
        "weight_decay": wanted.weight_decay,
        "max_grad_norm": wanted.max_grad_norm,
        "max_seq_length": wanted.max_length,
        "packing": wanted.packing,
        "random_seed": wanted.seed,
        "n_checkpoints": wanted.checkpoints,
        "n_evals": wanted.evaluations,
        "training_method": method,
        **_lora(wanted.lora),
    }
    if wanted.early_stopping_patience is not None:
        sent |= {"early_stopping_enabled": True, "early_stopping_patience": wanted.early_stopping_patience}
    if method == "dpo":
        dpo = msgspec.convert(options, Dpo)
        return sent | {"dpo_beta": dpo.beta, "dpo_normalize_logratios_by_length": dpo.normalize_by_length}
    return sent | {"train_on_inputs": msgspec.convert(options, Sft).train_on == "all"}


def _lora(lora: Lora | bool) -> dict[str, Any]:
    if not lora:
        return {"lora": False}
    adapters = lora if isinstance(lora, Lora) else Lora()
    targets = ",".join(adapters.targets) if adapters.targets else "all-linear"
    sizes = {"lora_r": adapters.rank, "lora_alpha": adapters.alpha, "lora_dropout": adapters.dropout}
    return {"lora": True, "lora_trainable_modules": targets, **sizes}
