"""What a spec may say to Bedrock, and which model takes what of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ftspec import api

Epochs = Annotated[int, Meta(ge=1, le=10, description="How often every row is seen; the model's default if not given.")]
Batch = Annotated[int, Meta(ge=1, le=256, description="Rows per step; the model's default if not given.")]
Rate = Annotated[float, Meta(gt=0, le=1, description="Peak learning rate; the model's default if not given.")]
Multiplier = Annotated[
    float, Meta(ge=0.1, le=2, description="Factor on the model's own learning rate (Claude 3 Haiku).")
]
Warmup = Annotated[int, Meta(ge=0, le=250, description="Steps in which the learning rate rises.")]
Threshold = Annotated[
    float, Meta(ge=0, le=0.1, description="Least fall of the validation loss that counts as one (Claude 3 Haiku).")
]
Patience = Annotated[
    int, Meta(ge=1, le=10, description="Validations without such a fall before the job stops (Claude 3 Haiku).")
]


class Hyperparameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Bedrock's models take, between them; which of it a model takes is checked when the model is known."""

    epochs: Epochs | None = None
    batch_size: Batch | None = None
    learning_rate: Rate | None = None
    learning_rate_multiplier: Multiplier | None = None
    warmup_steps: Warmup | None = None
    early_stopping_threshold: Threshold | None = None
    early_stopping_patience: Patience | None = None


class Sft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning on the assistant's messages."""


WIRE = {
    "epochs": "epochCount",
    "batch_size": "batchSize",
    "learning_rate": "learningRate",
    "learning_rate_multiplier": "learningRateMultiplier",
    "warmup_steps": "learningRateWarmupSteps",
    "early_stopping_threshold": "earlyStoppingThreshold",
    "early_stopping_patience": "earlyStoppingPatience",
}
"""Our names and Bedrock's, whose values are all texts."""


class Family(Struct, frozen=True, kw_only=True):
    """Models that take the same: `bounds` per hyperparameter (both ends included), `lines` the shape of a row."""

    name: str
    pattern: str
    lines: Literal["conversation", "pair", "messages"]
    bounds: Mapping[str, tuple[float, float]]


# Nova and Titan: https://docs.aws.amazon.com/bedrock/latest/userguide/custom-models-hp.html, read on 2026-11-28.
# Those of Claude 3 Haiku and Llama 3 were not looked up there, and may be wrong.
FAMILIES = (
    Family(
        name="Amazon Nova",
        pattern=r"amazon\.nova-",
        lines="conversation",
        bounds={"epochs": (1, 5), "learning_rate": (1e-6, 1e-4), "warmup_steps": (0, 100)},
    ),
    Family(
        name="Amazon Titan Text Premier",
        pattern=r"amazon\.titan-text-premier",
        lines="pair",
        bounds={"epochs": (1, 5), "batch_size": (1, 1), "learning_rate": (1e-7, 1e-5), "warmup_steps": (0, 20)},
    ),
    Family(
        name="Amazon Titan Text",
        pattern=r"amazon\.titan-text-",
        lines="pair",
        bounds={"epochs": (1, 10), "batch_size": (1, 64), "learning_rate": (0, 1), "warmup_steps": (0, 250)},
    ),
    Family(
        name="Anthropic Claude 3 Haiku",
        pattern=r"anthropic\.claude-3-haiku",
        lines="messages",
        bounds={
            "epochs": (1, 10),
            "batch_size": (4, 256),
            "learning_rate_multiplier": (0.1, 2),
            "early_stopping_threshold": (0, 0.1),
            "early_stopping_patience": (1, 10),
        },
    ),
    Family(
        name="Meta Llama",
        pattern=r"meta\.llama3",
        lines="pair",
        bounds={"epochs": (1, 10), "batch_size": (1, 1), "learning_rate": (5e-6, 0.1)},
    ),
)


def family(model: str) -> Family | None:
    """The family that a model's id, or the ARN of one, belongs to."""
    name = model.rpartition("/")[2] if model.startswith("arn:") and "foundation-model/" in model else model
    return next((one for one in FAMILIES if re.match(one.pattern, name)), None)


def given(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that the spec says something about."""
    return {name: value for name, value in hyperparameters.items() if value is not None}


def misfits(model: str, hyperparameters: Mapping[str, Any]) -> Iterator[api.Problem]:
    """Hyperparameters that the model does not take, or not so large or small."""
    known = family(model)
    if known is None:
        return
    for name, value in given(hyperparameters).items():
        path = ("hyperparameters", name)
        if name not in known.bounds:
            hint = f"it takes {', '.join(known.bounds)}"
            yield api.Problem(message=f"{known.name} takes no '{name}'", hint=hint, path=path, on="key")
        elif not known.bounds[name][0] <= value <= known.bounds[name][1]:
            low, high = known.bounds[name]
            message = f"'{name}' of {known.name} is {low:g} to {high:g}"
            yield api.Problem(message=message, hint=f"found {value:g}", path=path)


def wire(hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    """Hyperparameters as Bedrock takes them."""
    return {WIRE[name]: f"{value:.10g}" for name, value in given(hyperparameters).items()}
