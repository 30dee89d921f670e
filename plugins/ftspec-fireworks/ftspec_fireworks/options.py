"""What a spec may say to Fireworks, and how it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]


class Lora(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adapters."""

    rank: Annotated[int, Meta(ge=1, le=64, description="Width of the adapters.")] = 8


class Hyperparameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What steers a job on Fireworks; what is not given is Fireworks' own default."""

    epochs: Annotated[Count | None, Meta(description="How often every row is seen.")] = None
    batch_size: Annotated[Count | None, Meta(description="Rows per batch.")] = None
    gradient_accumulation: Annotated[Count | None, Meta(description="Batches per optimizer step.")] = None
    learning_rate: Annotated[Annotated[float, Meta(gt=0, le=1)] | None, Meta(description="Peak learning rate.")] = None
    warmup_steps: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="Steps in which the learning rate rises.")
    ] = None
    weight_decay: Annotated[Annotated[float, Meta(ge=0)] | None, Meta(description="Decay of the trained weights.")] = (
        None
    )
    max_length: Annotated[Count | None, Meta(description="Most tokens of a row.")] = None
    lora: Annotated[Lora | None, Meta(description="Options of the adapters.")] = None


class SftHyperparameters(Hyperparameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, and what only supervised jobs take."""

    early_stopping: Annotated[bool, Meta(description="Stop when the validation loss does not fall any more.")] = False


class Sft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning on the assistant's messages."""


class Dpo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Direct preference optimization."""

    beta: Annotated[float, Meta(gt=0, lt=0.5, description="How close the model stays to its base.")] = 0.1


WIRE = {
    "epochs": "epochs",
    "batch_size": "batch_size_samples",
    "gradient_accumulation": "gradient_accumulation_steps",
    "learning_rate": "learning_rate",
    "warmup_steps": "learning_rate_warmup_steps",
    "weight_decay": "optimizer_weight_decay",
    "max_length": "max_context_length",
}


def training(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as both kinds of job take them."""
    sent = {WIRE[name]: value for name, value in hyperparameters.items() if name in WIRE and value is not None}
    if hyperparameters.get("lora"):
        sent["lora_rank"] = msgspec.convert(hyperparameters["lora"], Lora).rank
    return sent
