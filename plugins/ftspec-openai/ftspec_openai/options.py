"""What a spec may say to these tuners: hyperparameters and options of each method, with the services' own bounds.

The bounds are those of OpenAI's published API description, and of Nebius' (both as of 2026-11).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ftspec_openai.graders import Grader

Auto = Literal["auto"]
Epochs = Annotated[int, Meta(ge=1, le=50)]
Batch = Annotated[int, Meta(ge=1, le=256)]
Multiplier = Annotated[float, Meta(gt=0)]
Steps = Annotated[int, Meta(ge=1)]
Seed = Annotated[int, Meta(ge=0, le=2**31 - 1)]

EPOCHS = Meta(description="How often every row is seen; the service decides by the size of the data when `auto`.")
BATCH = Meta(description="Rows per optimizer step; the service decides when `auto`.")
MULTIPLIER = Meta(description="Scale of the service's own learning rate (not the rate itself).")
SEED = Meta(description="Makes a job repeatable, mostly; the service draws one when not given.")


class Hyperparameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What OpenAI takes for supervised and preference tuning."""

    epochs: Annotated[Epochs | Auto, EPOCHS] = "auto"
    batch_size: Annotated[Batch | Auto, BATCH] = "auto"
    learning_rate_multiplier: Annotated[Multiplier | Auto, MULTIPLIER] = "auto"
    seed: Annotated[Seed | None, SEED] = None


class ReinforcementHyperparameters(Hyperparameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What OpenAI takes for reinforcement tuning."""

    reasoning_effort: Annotated[
        Literal["default", "low", "medium", "high"], Meta(description="How much the model thinks while it is trained.")
    ] = "default"
    compute_multiplier: Annotated[
        Annotated[float, Meta(gt=0.00001, le=10)] | Auto, Meta(description="Scale of the compute spent on exploring.")
    ] = "auto"
    eval_interval: Annotated[Steps | Auto, Meta(description="Training steps between evaluations.")] = "auto"
    eval_samples: Annotated[Steps | Auto, Meta(description="Samples per evaluation.")] = "auto"


class CompatibleHyperparameters(Hyperparameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server of this shape may take; what one does not know, it refuses or ignores by itself."""

    learning_rate: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(description="Peak learning rate, where the server takes one instead of a multiplier."),
    ] = None


class Lora(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adapters."""

    rank: Annotated[int, Meta(ge=8, le=128, description="Width of the adapters: more can learn more.")] = 8
    alpha: Annotated[int, Meta(ge=8, description="Scale of the adapters.")] = 8
    dropout: Annotated[float, Meta(ge=0, le=1, description="Share of adapter inputs dropped while training.")] = 0.0


class NebiusHyperparameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Nebius takes; its learning rate is the rate itself, not a multiplier."""

    epochs: Annotated[int, Meta(ge=1, le=20, description="How often every row is seen.")] = 3
    batch_size: Annotated[int, Meta(ge=8, le=32, description="Rows per optimizer step.")] = 8
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="Peak learning rate.")] = 1e-5
    warmup_ratio: Annotated[float, Meta(ge=0, le=1, description="Share of the steps in which the rate rises.")] = 0.0
    weight_decay: Annotated[float, Meta(ge=0, description="Decay of the trained weights.")] = 0.0
    max_grad_norm: Annotated[float, Meta(ge=0, description="Longest gradient; longer ones are cut.")] = 1.0
    packing: Annotated[bool, Meta(description="Put several short rows into one sequence.")] = True
    context_length: Annotated[
        Literal[8192, 16384, 32768, 65536, 131072], Meta(description="Most tokens of a sequence.")
    ] = 8192
    lora: Annotated[
        Lora | bool, Meta(description="Adapters: true or their options; false trains every weight of the model.")
    ] = True
    seed: Annotated[Seed | None, SEED] = None


class Sft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning: the model learns to write the assistant's messages."""


class Dpo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Direct preference optimization: the model learns to prefer one answer over another."""

    beta: Annotated[
        Annotated[float, Meta(gt=0, le=2)] | Auto,
        Meta(description="How strongly the model is held to the base model; less changes it more."),
    ] = "auto"


class Reinforcement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reinforcement fine-tuning: the model answers, a grader at the service says how well."""

    grader: Annotated[Grader, Meta(description="What scores an answer; of the service's own types.")]
    response_format: Annotated[
        dict[str, Any] | None,
        Meta(description="A JSON schema that answers have to follow, as the service's API writes it."),
    ] = None


class LambdaReinforcement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reinforcement fine-tuning: the model answers, a function of yours at AWS says how well."""

    function: Annotated[str, Meta(description="ARN of the AWS Lambda function that scores answers.", min_length=1)]
