"""What a model is shown and asked, what it answers, and what a model that answers is to core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from ftspec.common.records import Record


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
