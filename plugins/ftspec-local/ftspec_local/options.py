"""What a spec may say to the local provider: its options, hyperparameters and the options of the method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct, convert

if TYPE_CHECKING:
    from ftspec import api

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Lora(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adapters: train a small addition to the model and leave the model itself as it is."""

    rank: Annotated[int, Meta(ge=1, le=1024, description="Width of the adapters: more can learn more.")] = 8
    alpha: Annotated[float | None, Meta(description="Scale of the adapters; twice the rank when not given.")] = None
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Share of adapter inputs dropped while training.")] = 0.0
    targets: Annotated[
        list[str] | None,
        Meta(description="Names of the layers to adapt, e.g. q_proj; every linear layer when not given."),
    ] = None
    layers: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Adapt only this many of the top layers; faster: training stops there. All when not given."),
    ] = None


class Hyperparameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What steers a local training run."""

    epochs: Annotated[int, Meta(ge=1, le=1000, description="How often every row is seen.")] = 3
    batch_size: Annotated[int, Meta(ge=1, le=4096, description="Rows per forward pass.")] = 8
    gradient_accumulation: Annotated[int, Meta(ge=1, le=4096, description="Forward passes per optimizer step.")] = 1
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="Peak learning rate.")] = 2e-4
    schedule: Annotated[
        Literal["linear", "cosine", "constant"], Meta(description="How the learning rate falls after the warm-up.")
    ] = "linear"
    warmup_ratio: Annotated[float, Meta(ge=0, lt=1, description="Share of the steps in which the rate rises.")] = 0.1
    weight_decay: Annotated[float, Meta(ge=0, le=1, description="Decay of the trained weights.")] = 0.0
    max_length: Annotated[int, Meta(ge=8, description="Most tokens of a row.")] = 2048
    truncate: Annotated[
        bool, Meta(description="Cut rows that are longer than max_length at their end; an error otherwise.")
    ] = False
    max_steps: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Stop after this many optimizer steps, whatever `epochs` says."),
    ] = None
    seed: Annotated[
        int, Meta(ge=0, lt=2**31, description="Decides the adapters' start, the order of rows, dropout.")
    ] = 0
    lora: Annotated[
        Lora | bool, Meta(description="Adapters: true or their options; false trains every weight of the model.")
    ] = True
    checkpoint_steps: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Optimizer steps between checkpoints; about ten per run when not given."),
    ] = None
    full_checkpoints: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Of a full fine-tuning: models kept on the way, evenly over the job, and the one of the lowest "
            "validation loss beside them. Each takes 4 bytes a weight on disk. An adapter is kept anyway.",
        ),
    ] = 0
    evaluation_steps: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Optimizer steps between validation losses; once per epoch when not given."),
    ] = None

    @property
    def adapters(self) -> Lora | None:
        """The adapters' options, None for full fine-tuning."""
        if isinstance(self.lora, bool):
            return Lora() if self.lora else None
        return self.lora

    @property
    def keeps(self) -> bool:
        """Whether models are kept on the way."""
        return self.adapters is not None or self.full_checkpoints > 0

    def total_steps(self, rows: int) -> int:
        """Optimizer steps for this many rows."""
        per_epoch = -(-rows // (self.batch_size * self.gradient_accumulation))
        return min(per_epoch * self.epochs, self.max_steps or per_epoch * self.epochs)


class Sft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning: the model learns to write the assistant's messages."""

    train_on: Annotated[
        Literal["assistant", "all", "last"],
        Meta(description="Which tokens count: the assistant's messages, everything, or only the last answer."),
    ] = "assistant"


class DpoHyperparameters(Hyperparameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What steers preference training: as supervised training, at a lower rate: a little goes a long way."""

    learning_rate: Annotated[float, Meta(gt=0, le=1, description="Peak learning rate.")] = 5e-5


class Dpo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Direct preference optimisation: the model learns to prefer the chosen answer to the rejected one.

    Rafailov et al. 2023, https://arxiv.org/abs/2305.18290; the reference is the base model.
    """

    beta: Annotated[float, Meta(gt=0, description="How close the model stays to the base model: higher is closer.")] = (
        0.1
    )


class Settings(Struct, frozen=True, kw_only=True):
    """How to use the machine. `threads` 0 means every core that this process may use."""

    device: Device = "auto"
    precision: Precision = "auto"
    threads: int = 0


def hyperparameters_of(request: api.Request) -> Hyperparameters:
    return convert(request.hyperparameters, Hyperparameters)


def sft_of(request: api.Request) -> Sft:
    return convert(request.method_options, Sft)
