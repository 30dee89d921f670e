"""Chat in the shape that OpenAI's `/chat/completions` made common, asked through an SDK's client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ftspec import api
from ftspec.hosted.failures import Hints, calling, unreadable
from ftspec.hosted.lines import chat_message


def chat_body(model: str, question: api.Question, generation: api.Generation) -> dict[str, Any]:
    """The body of one call to `/chat/completions`."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [chat_message(message) for message in question.prompt.messages],
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "max_tokens": generation.max_tokens,
        "seed": question.seed,
    }
    if generation.stop:
        body["stop"] = list(generation.stop)
    if question.prompt.tools:
        body["tools"] = question.prompt.tools
    return body


def chat_answer(question: api.Question, said: Any, seconds: float) -> api.Answer:
    """The answer in what `/chat/completions` said; a refusal is one too. Raises Ambiguous where there is none."""
    try:
        choice = said["choices"][0]
        message, usage = choice["message"], said.get("usage") or {}
        refusal = message.get("refusal")
        return api.Answer(
            prompt=question.prompt.id,
            repeat=question.repeat,
            text=str(refusal) if refusal else message.get("content") or "",
            tool_calls=message.get("tool_calls") or None,
            finish_reason="refusal" if refusal else choice.get("finish_reason") or "",
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            seconds=seconds,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as fault:
        raise unreadable(said) from fault


class ChatModel:
    """A RemoteModel behind the asynchronous client of an SDK that Stainless generated.

    Args:
        connect: makes the client, without retries; called in the loop that asks.
        path: of chat completions, below the client's base URL.
    """

    def __init__(
        self, sdk: Any, connect: Callable[[], Any], path: str, model: str, hints: Hints, limits: api.RateLimits
    ) -> None:
        self.sdk, self.connect, self.path = sdk, connect, path
        self.model, self.hints, self.limits = model, hints, limits
        self._client: Any = None

    async def ask(self, question: api.Question, generation: api.Generation) -> api.Answer:
        """One call. The plain `post` of the SDK: its typed call costs three times the CPU."""
        if self._client is None:
            self._client = self.connect()
        started = time.monotonic()
        with calling(self.sdk, self.hints):
            body = chat_body(self.model, question, generation)
            said = await self._client.post(self.path, body=body, cast_to=object)
        return chat_answer(question, said, time.monotonic() - started)

    async def close(self) -> None:
        """Let go of the client's connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None
