"""A tuning job as records: what is asked for, the files that go there, what comes back, what it makes."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ftspec.common.records import Record

if TYPE_CHECKING:
    Metrics = dict[str, float]
else:
    Metrics = dict[str, float | None]
    """JSON has no word for a loss that is no number (NaN) but null: what is read as that is NaN again."""


class ModelRef(Record):
    """A base model as the spec names it.

    `id` is a provider's model name, an alias, a hub id, or an absolute folder when the spec gave a path.
    """

    id: str
    revision: str | None = None


class TunedModel(Record):
    """A model that a job made. `id` is the provider's own name for it; `base` is what it was tuned from.

    `details` is the provider's own (folder of the adapter, deployment id, ...): JSON-able, no secrets.
    """

    id: str
    base: ModelRef
    details: dict[str, Any] = {}


class DataFile(Record):
    """A training or validation file in the provider's own format, on this machine's disk."""

    purpose: Literal["training", "validation"]
    path: str
    sha256: str
    bytes: int
    rows: int


class RemoteFile(Record):
    """A file as the provider knows it. `id` is what `submit` sends.

    `waiting` is the provider's own word for its state while it cannot be used yet, "" once it can.
    """

    id: str
    sha256: str
    bytes: int = 0
    waiting: str = ""


class Size(Record):
    """How much data there is. Tokens are None where the provider has no tokenizer at hand."""

    rows: int = 0
    validation_rows: int = 0
    tokens: int | None = None
    trained_tokens: int | None = None
    prompts: int = 0
    """Prompts to be answered by base and tuned model together, repeats included."""
    bytes: int | None = None
    """Of the training file: it has no more tokens than that."""
    prompt_tokens: int | None = None
    """No model makes more tokens of all the prompts, each asked once (see ftspec.costs.costs)."""
    row_tokens: int | None = None
    """Nor of their rows and what is expected, each once: what a judge may be shown."""


class Written(Record):
    """What `Provider.write` wrote."""

    rows: int
    tokens: int | None = None
    trained_tokens: int | None = None


class Request(Record):
    """Everything that decides what a tuning job makes, and so what its key is made of.

    `hyperparameters` and `method_options` hold what the spec says, validated, with the provider's defaults filled in;
    the key holds them without defaults (see plan). `model_fingerprint` is what `Provider.fingerprint` said.
    `training` and `validation` are None until uploaded, and their ids are not part of the key: the sha256 is.
    """

    model: ModelRef
    method: str = "sft"
    method_options: dict[str, Any] = {}
    hyperparameters: dict[str, Any] = {}
    model_fingerprint: str = ""
    suffix: str = ""
    training: RemoteFile | None = None
    validation: RemoteFile | None = None


class JobState(enum.StrEnum):
    """Every provider's states map to these. UNKNOWN and CANCELLING are not terminal."""

    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    FINALIZING = "finalizing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended, one way or another."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}


class Job(Record):
    """A job as the provider knows it. `created_at` is seconds since the epoch, by the provider's clock."""

    id: str
    created_at: float = 0.0
    details: dict[str, Any] = {}


def _read(record: TrainingEvent | Checkpoint) -> None:
    """Make NaN of what JSON has no word for."""
    if None in record.metrics.values():
        known = {name: math.nan if value is None else value for name, value in record.metrics.items()}
        msgspec.structs.force_setattr(record, "metrics", known)


class TrainingEvent(Record):
    """One thing that happened in a job; `id` is unique within the job, core drops what it has seen.

    `metrics` uses the field's names: train_loss, validation_loss, train_accuracy, learning_rate, tokens_per_second,
    epoch; of preference methods also reward_accuracy (share of pairs whose better answer the model prefers) and
    reward_margin; of reinforcement train_reward and validation_reward (the graders' mean). A loss that is no number any
    more is NaN, which is told as diverging. `step` counts optimizer steps from 1.
    """

    id: str
    at: float
    message: str = ""
    level: Literal["info", "warning", "error"] = "info"
    step: int | None = None
    total_steps: int | None = None
    metrics: Metrics = {}

    def __post_init__(self) -> None:
        _read(self)


class Checkpoint(Record):
    """A model that a job had on its way: after `step` optimizer steps, with the metrics of that step."""

    id: str
    step: int
    model: TunedModel
    metrics: Metrics = {}

    def __post_init__(self) -> None:
        _read(self)


class JobUpdate(Record):
    """What one poll learned. `raw` keeps the provider's own status string; `cursor` goes into the next poll.

    `checkpoints` are all that are known by now, by step; `trained_tokens` is what the provider will bill, once it says.
    """

    state: JobState
    raw: str = ""
    events: tuple[TrainingEvent, ...] = ()
    cursor: str | None = None
    model: TunedModel | None = None
    error: str = ""
    hint: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()
    trained_tokens: int | None = None


class Estimate(Record):
    """What a job will take, said before it is submitted. None means "cannot tell"; `basis` says where it comes from.

    `cost` is that of tuning alone. Core adds what the evaluation costs, from the price table.
    """

    seconds: float | None = None
    cost: float | None = None
    currency: str = "USD"
    steps: int | None = None
    basis: str = ""
    watermark: str = ""
    """Said wherever results of this provider are shown, e.g. "simulated"."""
