"""Messages as Gemini's `contents`: rows of a file, prompts, answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftspec import api, hosted

ROLES = {"user": "user", "assistant": "model"}
DROP = "drop the row in `cleaning`"


def line(method: str, example: api.Example) -> dict[str, Any]:
    """The line of one example. Raises Unfit for what Vertex AI would refuse."""
    if example.tools:
        raise hosted.Unfit("the row has tools, which this plugin cannot write for Vertex AI", DROP)
    if any(message.role == "assistant" and message.weight == 0 for message in example.messages):
        raise hosted.Unfit("an assistant message has weight 0, and Vertex AI trains on every one", DROP)
    said = system_and_turns(example.messages)
    if method == "dpo":
        sides = ((1, example.chosen), (0, example.rejected))
        return {**said, "completions": [{"score": score, "completion": _side(side)} for score, side in sides]}
    if said["contents"][-1]["role"] != "model":
        raise hosted.Unfit("the last message is not the assistant's", DROP)
    return said


def system_and_turns(messages: Sequence[api.Message]) -> dict[str, Any]:
    """`systemInstruction`, where there is one, and `contents`."""
    system = [hosted.text_of(message) for message in messages if message.role in {"system", "developer"}]
    turns = [_turn(message) for message in messages if message.role not in {"system", "developer"}]
    if not turns:
        raise hosted.Unfit("there is nothing but a system message", DROP)
    instruction = {"role": "system", "parts": [{"text": "\n\n".join(system)}]}
    return {**({"systemInstruction": instruction} if system else {}), "contents": turns}


def _turn(message: api.Message) -> dict[str, Any]:
    if message.role not in ROLES or message.tool_calls:
        raise hosted.Unfit("only texts of user and assistant can be sent, and no tool calls", DROP)
    text = hosted.text_of(message)
    if not text:
        raise hosted.Unfit("a message is empty", DROP)
    return {"role": ROLES[message.role], "parts": [{"text": text}]}


def _side(side: Sequence[api.Message] | None) -> dict[str, Any]:
    if not side or len(side) != 1 or side[0].role != "assistant":
        raise hosted.Unfit("each side of a pair must be one message of the assistant", DROP)
    return _turn(side[0])
