"""A model behind `/chat/completions`, asked many questions at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import api, hosted
from ftspec_openai.calls import Address, calling, decoded
from ftspec_openai.presets import Preset

if TYPE_CHECKING:
    import openai
    from openai import RequestOptions

WHAT = "ask the model"
FILTERED = ("content_filter", "responsibleaipolicyviolation")
NEW = ("model_not_found", "deploymentnotfound", "does not exist", "not ready", "not found")
"""What a server says of a model that it has just made and does not know everywhere yet."""


class ChatModel:
    """A model that answers over the network (api.RemoteModel).

    Args:
        model: its name there, or that of its deployment.
        tuned: it was made a moment ago, so that "no such model" may only mean "not yet".
        reasons: it thinks before it answers, and takes no temperature, top_p or stop.
    """

    def __init__(
        self,
        address: Address,
        preset: Preset,
        limits: api.RateLimits,
        model: str,
        *,
        tuned: bool = False,
        reasons: bool = False,
    ) -> None:
        self.limits = limits
        self.address, self.preset, self.model, self.tuned, self.reasons = address, preset, model, tuned, reasons
        self._client: openai.AsyncOpenAI | None = None
        self._options: RequestOptions = {}
        """Of every call. What is not among them the SDK copies from its defaults, each time."""

    async def ask(self, question: api.Question, generation: api.Generation) -> api.Answer:
        """One call, no retry. The SDK's typed method would cost more time than all the rest of it: this is its plain
        one, with the same connection and the same errors, which takes the body and gives the answer as they are."""
        import httpx2

        client = self._client or self._open()
        body = msgspec.json.encode(self.body(question, generation))
        started = time.monotonic()
        try:
            with calling(WHAT):
                given = await client.post(
                    self.address.completions,
                    content=body,
                    cast_to=httpx2.Response,
                    options={**self._options, "headers": self.address.signed()},
                )
        except api.Rejected as error:
            return self._refused(question, error)
        return hosted.chat_answer(question, decoded(given.content, WHAT), time.monotonic() - started)

    def _open(self) -> openai.AsyncOpenAI:
        client = self._client = self.address.asking(self.limits.concurrency)
        self._options = {
            "security": {},
            "params": {},
            "max_retries": 0,
            "timeout": client.timeout,
            "idempotency_key": "",
        }
        return client

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def body(self, question: api.Question, generation: api.Generation) -> dict[str, Any]:
        """What is sent."""
        body = hosted.chat_body(self.model, question, generation)
        body["seed"] = question.seed % 2**31
        body[self.preset.max_tokens] = body.pop("max_tokens")
        if self.reasons:
            body = {name: value for name, value in body.items() if name not in {"temperature", "top_p", "stop"}}
        return body

    def _refused(self, question: api.Question, error: api.Rejected) -> api.Answer:
        """A prompt that the service's filter stops has an answer, and it is none; the rest is an error."""
        said = error.message.lower()
        if any(word in said for word in FILTERED):
            return api.Answer(prompt=question.prompt.id, repeat=question.repeat, finish_reason="content_filter")
        if self.tuned and any(word in said for word in NEW):
            raise api.Transient(error.message, "a model that was just made may take a moment to be known") from error
        raise error
