"""What a spec may say to Vertex AI, and how it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

SIZES = {1: "ONE", 2: "TWO", 4: "FOUR", 8: "EIGHT", 16: "SIXTEEN", 32: "THIRTY_TWO"}


class Lora(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adapters; Vertex AI tunes Gemini with nothing else."""

    rank: Annotated[Literal[1, 2, 4, 8, 16, 32], Meta(description="Width of the adapters.")] = 4


class Hyperparameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What steers a job on Vertex AI; what is not given is the service's own default."""

    epochs: Annotated[Annotated[int, Meta(ge=1, le=100)] | None, Meta(description="How often every row is seen.")] = (
        None
    )
    learning_rate_multiplier: Annotated[
        Annotated[float, Meta(gt=0, le=10)] | None, Meta(description="Factor on the model's own learning rate.")
    ] = None
    lora: Annotated[Lora | None, Meta(description="Options of the adapters.")] = None


class Sft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning on the model's turns."""


class Dpo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Preference tuning."""

    beta: Annotated[float | None, Meta(description="How close the model stays to its base.")] = None


def config(method: str, options: Mapping[str, Any], hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as fields of the SDK's CreateTuningJobConfig."""
    wanted = msgspec.convert(hyperparameters, Hyperparameters)
    sent: dict[str, Any] = {
        "epoch_count": wanted.epochs,
        "learning_rate_multiplier": wanted.learning_rate_multiplier,
        "adapter_size": f"ADAPTER_SIZE_{SIZES[wanted.lora.rank]}" if wanted.lora else None,
    }
    if method == "dpo":
        sent |= {"method": "PREFERENCE_TUNING", "beta": msgspec.convert(options, Dpo).beta}
    return {name: value for name, value in sent.items() if value is not None}
