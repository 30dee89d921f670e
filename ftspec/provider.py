"""The contract between ftspec and a tuner: what core sends, what it expects back, in plain records.

One life of a tuning job, as core drives it::

    problems ─ estimate ─ write ─ upload ─┬─ submit ─┬─ poll … poll ─ serve ─ (export)
       offline, no side effect            └─ find ───┘        └─ cancel

Core owns the order, the retries, the claim register (a job is submitted once: see ftspec.claims), the cache and the
journal. A provider owns its wire format and its states, and never retries a call that could make a second job.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, Protocol, runtime_checkable

import msgspec

from ftspec.errors import Problem
from ftspec.records import Record

if TYPE_CHECKING:
    import pyarrow as pa


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
    """No model makes more tokens of all the prompts, each asked once (see ftspec.costs)."""
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
    the key holds them without defaults (see ftspec.plan). `model_fingerprint` is what `Provider.fingerprint` said.
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
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}


class Job(Record):
    """A job as the provider knows it. `created_at` is seconds since the epoch, by the provider's clock."""

    id: str
    created_at: float = 0.0
    details: dict[str, Any] = {}


class TrainingEvent(Record):
    """One thing that happened in a job; `id` is unique within the job, core drops what it has seen.

    `metrics` uses the field's names: train_loss, validation_loss, train_accuracy, learning_rate, tokens_per_second,
    epoch; of preference methods also reward_accuracy (share of pairs whose better answer the model prefers) and
    reward_margin; of reinforcement train_reward and validation_reward (the graders' mean). `step` counts optimizer
    steps from 1.
    """

    id: str
    at: float
    message: str = ""
    level: Literal["info", "warning", "error"] = "info"
    step: int | None = None
    total_steps: int | None = None
    metrics: dict[str, float] = {}


class Checkpoint(Record):
    """A model that a job had on its way: after `step` optimizer steps, with the metrics of that step."""

    id: str
    step: int
    model: TunedModel
    metrics: dict[str, float] = {}


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


class Message(Record, omit_defaults=True):
    """One chat message in the shape that every hosted tuner reads. `content` is text or a list of content parts."""

    role: str
    content: Any = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    weight: float | None = None


class Example(Record, omit_defaults=True):
    """One row after `format`: messages, and the tools that were on offer.

    Of a preference pair `messages` is the conversation so far, `chosen` and `rejected` are how it may go on. Of a
    reinforcement item `messages` ends with the user, and `item` holds the columns that graders look at.
    """

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    row: int = -1
    chosen: list[Message] | None = None
    rejected: list[Message] | None = None
    item: dict[str, Any] | None = None


class Token(Record):
    """One token of a rendered example: its text, its id (-1 where the provider does not tell) and its loss weight.

    Below 0 is what the model learns not to say: the rejected answer of a preference pair.
    """

    text: str
    id: int = -1
    weight: float = 0.0


class Prompt(Record):
    """One evaluation case. `id` is the content hash of messages, tools and expected answer.

    `expected` is the last assistant message's content (or its tool calls as JSON text), None where the row has none.
    `row` holds the columns of the prompt's source row, for graders that look at them. `tags` name the slices that it
    belongs to; `weight` says how much it counts, beside the others.
    """

    id: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    expected: str | None = None
    row: dict[str, Any] = {}
    origin: str = ""
    tags: tuple[str, ...] = ()
    weight: float = 1.0


class Generation(Record):
    """How answers are sampled. Temperature 0 is greedy decoding; `max_tokens` bounds the answer, in tokens."""

    temperature: float = 0.0
    max_tokens: int = 256
    top_p: float = 1.0
    stop: tuple[str, ...] = ()

    def repeats(self, wanted: int) -> int:
        """How often a prompt is really asked: once when decoding is greedy, whose repeats would only be copies."""
        return 1 if self.temperature == 0 else wanted


class Question(Record):
    """One prompt to be answered once: `repeat` counts from 0, `seed` differs per prompt and repeat."""

    prompt: Prompt
    repeat: int = 0
    seed: int = 0


class Answer(Record):
    """What a model said to one Question. `error` is set, and `text` empty, where it could not be asked.

    `cost` is in USD, None where it is not known.
    """

    prompt: str
    repeat: int
    text: str = ""
    tool_calls: list[dict[str, Any]] | None = None
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = None
    error: str = ""
    cost: float | None = None


class Model(Protocol):
    """A model that is up and answers, in batches of its own."""

    def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
        """Answer every question, in any order, as soon as each is known, so that core can keep it."""
        ...


class RateLimits(Record):
    """How hard a remote model may be asked: calls in flight, and calls and tokens per minute (None: no limit)."""

    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@runtime_checkable
class RemoteModel(Protocol):
    """A model behind a network: core asks many questions at once, keeps to the limits, repeats what may be repeated.

    `serve` returns either this or a Model.
    """

    limits: RateLimits

    async def ask(self, question: Question, generation: Generation) -> Answer:
        """One call, no retry. Raises Transient (with `retry_after` where the provider says) or Ambiguous for what may
        be asked again, Rejected for what will not be answered, whoever asks."""
        ...

    async def close(self) -> None:
        """Let go of connections; called in the loop that asked."""
        ...


Shape = Literal["chat", "preference", "reinforcement"]
"""What the rows of a training method are: conversations, pairs of a better and a worse answer, or prompts to act on."""


class Method(msgspec.Struct, frozen=True):
    """What a provider takes for one training method.

    Args:
        data: the shape of the rows that it trains on.
        hyperparameters: a Struct whose fields are the keys of the spec's `hyperparameters`, with defaults and bounds.
        options: a Struct of the method's own options, as in `method: {dpo: {beta: 0.1}}`.
        shapes_data: hyperparameters that `write` looks at (such as max_length): changing one makes the data step run
            again, changing any other does not.
        images: the most images that a row may hold; 0: none are taken; None: what the service takes is not known.
        image_urls: how the address of an image begins that the service reads.
    """

    hyperparameters: type[msgspec.Struct]
    options: type[msgspec.Struct]
    shapes_data: tuple[str, ...] = ()
    data: Shape = "chat"
    images: int | None = 0
    image_urls: tuple[str, ...] = ("https://", "http://", "data:image/")


@runtime_checkable
class Provider(Protocol):
    """A tuner. The options under its name in the spec are its `__init__`'s keyword-only parameters."""

    methods: ClassVar[Mapping[str, Method]]
    """By name. A fact of the class, because the schema of a spec is composed of it before there is an instance."""
    endpoint: str
    """Where jobs live (a URL without secrets, or a word): part of the job's key."""

    @property
    def submission(self) -> Literal["idempotent", "findable", "blind"]:
        """idempotent: the same key twice makes one job. findable: a job can be found by its key. blind: neither.

        A class attribute where it is always the same; a property where it depends on options, such as the address."""
        ...

    def attach(self, home: Path) -> None:
        """Receive a private folder on this machine (it may not exist yet). Called once, before `upload` and so on."""
        ...

    def problems(self, request: Request) -> Iterable[Problem]:
        """Say what is wrong with the request, offline and without heavy imports. Paths are relative to the spec's root,
        e.g. ("hyperparameters", "epochs") or ("model",)."""
        ...

    def fingerprint(self, model: ModelRef) -> str:
        """The base model's content hash or pinned revision, "" where it cannot be told. Reads, never writes."""
        ...

    def estimate(self, request: Request, size: Size) -> Estimate:
        """Say what the job will take; offline."""
        ...

    def write(self, request: Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> Written:
        """Write examples (the columns of the method's shape and `_row`: see ftspec.rows) in the provider's own format.

        Raises DataError with Findings that carry `row` for rows that the provider would refuse."""
        ...

    def upload(self, file: DataFile) -> RemoteFile:
        """Bring the file to the provider, or find it there by its content hash. Core calls again after Transient and
        Ambiguous, and while the file is `waiting` to be usable."""
        ...

    def submit(self, request: Request, *, key: str) -> Job:
        """Make the job: one attempt, no retry, within half a minute or so. Raises Rejected, Ambiguous (also when the
        answer is lost or cannot be read) or, only where nothing was made for certain (429, refused), Transient."""
        ...

    def find(self, request: Request, *, key: str) -> Sequence[Job]:
        """Jobs that were made with this key, oldest first."""
        ...

    def poll(self, job: Job, *, cursor: str | None) -> JobUpdate:
        """The job's state and the events since `cursor`. Raises Transient."""
        ...

    def cancel(self, job: Job) -> None:
        """Ask for the job to be cancelled; a job that has ended is left alone. Idempotent."""
        ...

    def serve(self, model: ModelRef | TunedModel) -> AbstractContextManager[Model | RemoteModel]:
        """Make the model answer; leaving the context takes down whatever was put up.

        Where the provider `SupportsDeployment`, core has deployed a tuned model before, and hands over
        `Deployment.model`."""
        ...


@runtime_checkable
class SupportsRender(Protocol):
    """A provider that can show the exact tokens of an example and which of them are trained on."""

    def render(self, request: Request, example: Example) -> Sequence[Token]: ...


@runtime_checkable
class SupportsExport(Protocol):
    """A provider whose models can be taken away."""

    exports: ClassVar[tuple[str, ...]]
    """Forms that can be exported: "adapter", "merged"."""

    def export(self, model: TunedModel, form: str, out: Path) -> None:
        """Write the model into the existing empty folder `out`."""
        ...


@runtime_checkable
class SupportsAdoption(Protocol):
    """A provider that can be told the id of a job, by a person who has found it in the provider's own list."""

    def job(self, request: Request, id: str) -> Job:
        """The job, as `submit` would have returned it for this request. Raises Rejected where there is none, or one
        of another base model; Transient."""
        ...


class Tokenizer(Protocol):
    """The model's own tokenizer, as steps and checks use it: from any thread."""

    @property
    def special(self) -> Sequence[str]:
        """Control tokens, as text: one inside a row's text would end a turn or open another."""
        ...

    @property
    def per_byte(self) -> float:
        """No text has more tokens than this times its bytes in UTF-8: so a bound can decide without counting."""
        ...

    def counts(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text alone, without what a chat template adds."""
        ...

    def cut(self, text: str, most: int) -> str:
        """The longest beginning of the text that has at most so many tokens, and ends where a token ends."""
        ...

    def row(self, example: Example) -> tuple[int, int] | None:
        """(tokens that training sees of a row, those of them that are trained on); None for one that the model cannot
        take, which `write` refuses with a reason."""
        ...


@runtime_checkable
class SupportsTokenizer(Protocol):
    """A provider that has its models' tokenizers on this machine."""

    def tokenizer(self, request: Request) -> Tokenizer | None:
        """The tokenizer of the request's model; None where it cannot be had here. Offline."""
        ...


class Limits(Record):
    """What a provider takes of training data. None where it is not known; `source` is who says so.

    Examples are those of a file, `row_tokens` is the most tokens of a row, `file_bytes` the most bytes of a file.
    `images` is the most images of a row where that is another number with this model than `Method` says.
    """

    max_examples: int | None = None
    max_validation_examples: int | None = None
    file_bytes: int | None = None
    row_tokens: int | None = None
    source: str = ""
    images: int | None = None


@runtime_checkable
class SupportsLimits(Protocol):
    """A provider that knows what it takes of training data; offline."""

    def data_limits(self, request: Request) -> Limits: ...


class Tuner:
    """What the spec tunes, for a step or check that must know the model: a factory's parameter of this type is no
    option, core fills it in. All is offline, and without a provider nothing is known."""

    def __init__(self, provider: Provider | None = None, request: Request | None = None) -> None:
        self.provider, self.request = provider, request

    def tokenizer(self) -> Tokenizer | None:
        """The model's tokenizer, None where it cannot be had on this machine."""
        if self.request is None or not isinstance(self.provider, SupportsTokenizer):
            return None
        return self.provider.tokenizer(self.request)

    def images(self) -> int | None:
        """The most images that a row may hold, as Limits or Method say; None where nothing is known."""
        if self.request is None or self.provider is None:
            return None
        of_model = self.limits().images
        if of_model is not None:
            return of_model
        method = self.provider.methods.get(self.request.method)
        return method.images if method else None

    def image_urls(self) -> tuple[str, ...]:
        """How the address of an image may begin, as Method says; () where nothing is known."""
        if self.request is None or self.provider is None:
            return ()
        method = self.provider.methods.get(self.request.method)
        return method.image_urls if method else ()

    def limits(self) -> Limits:
        """What the provider takes of training data, as far as it says."""
        if self.request is None or not isinstance(self.provider, SupportsLimits):
            return Limits()
        return self.provider.data_limits(self.request)


class Weighed(Record):
    """What was prepared, by size and price. None where it cannot be told; `basis` says how the cost was reckoned.

    Tokens and bytes are those of the training file, once; `cost` is that of tuning with its `epochs`; `bound`: at most.
    """

    rows: int
    validation_rows: int = 0
    bytes: int | None = None
    validation_bytes: int | None = None
    tokens: int | None = None
    trained_tokens: int | None = None
    epochs: float | None = None
    cost: float | None = None
    currency: str = ""
    bound: bool = False
    basis: str = ""


@runtime_checkable
class SupportsPause(Protocol):
    """A provider whose jobs can be halted and taken up again. Both calls are idempotent."""

    def pause(self, job: Job) -> None: ...

    def resume(self, job: Job) -> None: ...


@runtime_checkable
class SupportsCheckpoints(Protocol):
    """A provider whose jobs keep models on their way, told in `JobUpdate.checkpoints`."""

    checkpoints: ClassVar[str]
    """When one is kept, for people: "after each epoch"."""


@runtime_checkable
class SupportsLeastRows(Protocol):
    """A provider that takes no fewer training rows than so many: the data step says so, before anything is sent."""

    @property
    def least_rows(self) -> int: ...


@runtime_checkable
class SupportsStop(Protocol):
    """A provider that can end a job early and keep what it has learned until then."""

    def stop(self, job: Job) -> None:
        """Ask for the job to be ended. Once it has, its model or its checkpoints are there. Idempotent."""
        ...


class Deployment(Record):
    """A tuned model that was put up to answer. `model` is what `serve` is given; it costs money until it is taken down.

    `ready` is False while it is being put up. `created_at` is seconds since the epoch, by the provider's clock.
    """

    id: str
    model: TunedModel
    ready: bool = True
    created_at: float = 0.0
    error: str = ""


@runtime_checkable
class SupportsDeployment(Protocol):
    """A provider whose tuned models answer only when they are deployed, which costs money while they stand.

    Core writes down its intent, looks for the key, deploys, waits until it is ready, asks, and undeploys; the next run
    or `ftspec gc` takes down what a crash left standing.
    """

    def deploys(self, model: ModelRef | TunedModel) -> bool:
        """Whether this model needs a deployment, by its options; offline. The plan says so."""
        ...

    def deploy(self, model: TunedModel, *, key: str) -> Deployment:
        """Put the model up, or find the deployment that was made with this key. One attempt. Raises as `submit`."""
        ...

    def find_deployment(self, *, key: str) -> Deployment | None:
        """The deployment that was made with this key, None where there is none. Raises Transient."""
        ...

    def deployment(self, deployment: Deployment) -> Deployment | None:
        """The deployment as it is now; None when it is gone. Raises Transient."""
        ...

    def undeploy(self, deployment: Deployment) -> None:
        """Take it down; one that is gone is left alone. Idempotent."""
        ...


class RemoteObject(Record):
    """Something that lies at the provider and was made for ftspec: what `ftspec gc` lists and may delete.

    `sha256` is that of a file's content where the provider or its name tells; `job` the job that made a model.
    """

    kind: Literal["file", "model", "deployment"]
    id: str
    name: str = ""
    bytes: int | None = None
    created_at: float = 0.0
    sha256: str = ""
    job: str = ""


@runtime_checkable
class SupportsCleanup(Protocol):
    """A provider where things can be listed and deleted."""

    def remote_objects(self) -> Iterable[RemoteObject]:
        """What ftspec has put or made there, told by names and metadata; nothing that others own. Raises Transient."""
        ...

    def delete(self, remote: RemoteObject) -> None:
        """Delete it; one that is gone is left alone. Idempotent."""
        ...
