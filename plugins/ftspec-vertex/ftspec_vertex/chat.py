"""Answers of Gemini models: the base by its name, a tuned one by its endpoint."""

from __future__ import annotations

import time
from typing import Any

from ftspec import api, hosted
from ftspec_vertex import contents
from ftspec_vertex.google import Google, calling

REASONS = {"STOP": "stop", "MAX_TOKENS": "length"}


class GeminiModel:
    """A RemoteModel over the SDK's asynchronous client."""

    def __init__(self, google: Google, model: str, limits: api.RateLimits) -> None:
        self.google, self.model, self.limits = google, model, limits

    async def ask(self, question: api.Question, generation: api.Generation) -> api.Answer:
        """One call, no retry."""
        started = time.monotonic()
        sent = body(question, generation)
        client = self.google.genai()
        with calling():
            said = await client.aio.models.generate_content(model=self.model, **sent)
        return answer(question, said, time.monotonic() - started)

    async def close(self) -> None:
        """The SDK's connections belong to the client, which is the provider's."""
        await self.google.genai().aio.aclose()
        self.google._genai = None


def body(question: api.Question, generation: api.Generation) -> dict[str, Any]:
    """Everything of a call but the model. Raises Rejected for what cannot be asked."""
    if question.prompt.tools:
        raise api.Rejected("the prompt has tools, which this plugin cannot send to Vertex AI")
    try:
        said = contents.system_and_turns(question.prompt.messages, asked=True)
    except hosted.Unfit as fault:
        raise api.Rejected(str(fault), fault.hint) from fault
    config: dict[str, Any] = {
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "max_output_tokens": generation.max_tokens,
        "seed": question.seed,
    }
    if generation.stop:
        config["stop_sequences"] = list(generation.stop)
    if "systemInstruction" in said:
        config["system_instruction"] = said["systemInstruction"]
    return {"contents": said["contents"], "config": config}


def answer(question: api.Question, said: Any, seconds: float) -> api.Answer:
    """The answer in what the model said. Raises Ambiguous where there is none."""
    if not said.candidates:
        raise hosted.unreadable(said.prompt_feedback or "no candidates")
    candidate, usage = said.candidates[0], said.usage_metadata
    parts = (candidate.content.parts if candidate.content else None) or []
    reason = str(getattr(candidate.finish_reason, "value", candidate.finish_reason or ""))
    return api.Answer(
        prompt=question.prompt.id,
        repeat=question.repeat,
        text="".join(part.text or "" for part in parts if not part.thought),
        finish_reason=REASONS.get(reason, reason.lower()),
        prompt_tokens=usage.prompt_token_count if usage else None,
        completion_tokens=usage.candidates_token_count if usage else None,
        seconds=seconds,
    )
