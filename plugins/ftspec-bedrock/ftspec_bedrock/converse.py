"""Chat through bedrock-runtime's Converse: messages there and back, and a RemoteModel over boto3's threads."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ftspec import api, hosted
from ftspec_bedrock.aws import MANY, Aws, calling

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

STOPS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
STOPS |= {"guardrail_intervened": "content_filter", "content_filtered": "content_filter"}


class ConverseModel:
    """One model that answers. boto3 blocks, so each call in flight has a thread."""

    def __init__(self, aws: Aws, model: str, limits: api.RateLimits) -> None:
        self.aws, self.model, self.limits = aws, model, limits
        self._threads: ThreadPoolExecutor | None = None

    async def ask(self, question: api.Question, generation: api.Generation) -> api.Answer:
        """One call, no retry."""
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        if self._threads is None:
            self._threads = ThreadPoolExecutor(min(MANY, self.limits.concurrency))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask, question, generation)

    async def close(self) -> None:
        """Leave the threads to end by themselves."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _ask(self, question: api.Question, generation: api.Generation) -> api.Answer:
        started = time.monotonic()
        client = self.aws.client("bedrock-runtime")
        with calling():
            said = client.converse(modelId=self.model, **body(question, generation))
        return answer(question, said, time.monotonic() - started)


def body(question: api.Question, generation: api.Generation) -> dict[str, Any]:
    """Everything of a Converse call but the model. Raises Rejected for what cannot be asked. It knows no seed."""
    prompt = question.prompt
    config: dict[str, Any] = {"maxTokens": generation.max_tokens, "temperature": generation.temperature}
    if generation.top_p != 1:
        config["topP"] = generation.top_p
    if generation.stop:
        config["stopSequences"] = list(generation.stop)
    try:
        system = [{"text": hosted.text_of(m)} for m in prompt.messages if m.role in {"system", "developer"}]
        turns = [_turn(m) for m in prompt.messages if m.role not in {"system", "developer"}]
    except hosted.Unfit as fault:
        raise api.Rejected(str(fault), fault.hint) from fault
    wanted: dict[str, Any] = {"messages": _joined(turns), "inferenceConfig": config}
    if system:
        wanted["system"] = system
    if prompt.tools:
        wanted["toolConfig"] = {"tools": [_tool(tool["function"]) for tool in prompt.tools if "function" in tool]}
    return wanted


def answer(question: api.Question, said: Mapping[str, Any], seconds: float) -> api.Answer:
    """The answer in what Converse said. Raises Ambiguous where there is none."""
    try:
        parts = said["output"]["message"]["content"]
        usage = said.get("usage") or {}
        calls = [_call(part["toolUse"]) for part in parts if "toolUse" in part]
        return api.Answer(
            prompt=question.prompt.id,
            repeat=question.repeat,
            text="".join(part.get("text", "") for part in parts),
            tool_calls=calls or None,
            finish_reason=STOPS.get(said.get("stopReason", ""), said.get("stopReason", "")),
            prompt_tokens=usage.get("inputTokens"),
            completion_tokens=usage.get("outputTokens"),
            seconds=seconds,
        )
    except (KeyError, TypeError, AttributeError) as fault:
        raise hosted.unreadable(said) from fault


def _turn(message: api.Message) -> dict[str, Any]:
    text = hosted.text_of(message)
    if message.role == "tool":
        result = {"toolUseId": message.tool_call_id or "", "content": [{"text": text}]}
        return {"role": "user", "content": [{"toolResult": result}]}
    content: list[dict[str, Any]] = [{"text": text}] if text else []
    for call in message.tool_calls or []:
        function = call["function"]
        given = function.get("arguments") or {}
        arguments = json.loads(given) if isinstance(given, str) else given
        content.append({"toolUse": {"toolUseId": call["id"], "name": function["name"], "input": arguments}})
    return {"role": message.role, "content": content}


def _joined(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns of one role after another become one: results of several tools have to stand together."""
    joined: list[dict[str, Any]] = []
    for turn in turns:
        if joined and joined[-1]["role"] == turn["role"]:
            joined[-1]["content"] += turn["content"]
        else:
            joined.append(turn)
    return joined


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"json": function.get("parameters") or {"type": "object", "properties": {}}}
    described = {"description": function["description"]} if function.get("description") else {}
    return {"toolSpec": {"name": function["name"], **described, "inputSchema": schema}}


def _call(use: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": use["name"], "arguments": json.dumps(use.get("input") or {})}
    return {"id": use["toolUseId"], "type": "function", "function": function}
