"""What a spec may say to the simulated tuner, method by method."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

TrainOn = Literal["assistant", "last", "all"]


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the simulated tuner takes."""

    epochs: Annotated[int, Meta(ge=1, le=50, description="How often every row is seen.")] = 3
    batch_size: Annotated[int, Meta(ge=1, le=256, description="Rows per optimizer step.")] = 8
    learning_rate_multiplier: Annotated[float, Meta(gt=0, description="How fast the loss falls; 1 is usual.")] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Decides the noise of the loss.")] = 0


class SftOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning."""

    train_on: Annotated[
        TrainOn, Meta(description="Which messages count: the assistant's, only its last one, or all.")
    ] = "assistant"


class DpoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Direct preference optimisation."""

    beta: Annotated[float, Meta(gt=0, description="How close the model stays to what it was.")] = 0.1


class ReinforcementOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reinforcement fine-tuning."""
