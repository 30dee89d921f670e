"""A row as Bedrock's models read it, one JSON object a line."""

from __future__ import annotations

from typing import Any

from ftspec import api, hosted
from ftspec_bedrock.options import family

SCHEMA = "bedrock-conversation-2024"
DROP = f"{hosted.DROP}, or tune another model"


def line(model: str, example: api.Example) -> dict[str, Any]:
    """The line of one example. Raises Unfit for what the model would refuse."""
    known = family(model)
    shape = known.lines if known else "conversation"
    system, turns = _turns(example)
    if shape == "pair":
        return _pair(system, turns)
    if shape == "messages":
        said: dict[str, Any] = {"messages": [{"role": role, "content": text} for role, text in turns]}
        return {"system": system, **said} if system else said
    content = [{"role": role, "content": [{"text": text}]} for role, text in turns]
    started: dict[str, Any] = {"schemaVersion": SCHEMA}
    return {**started, **({"system": [{"text": system}]} if system else {}), "messages": content}


def _turns(example: api.Example) -> tuple[str, list[tuple[str, str]]]:
    """The system's text, and (role, text) of turns that take turns: first the user, last the assistant."""
    if example.tools or any(message.tool_calls or message.role == "tool" for message in example.messages):
        raise hosted.Unfit("the row has tools, which Bedrock does not train on", DROP)
    if any(message.role == "assistant" and message.weight == 0 for message in example.messages):
        raise hosted.Unfit("an assistant message has weight 0, and Bedrock trains on every one", hosted.DROP)
    system = [hosted.text_of(message) for message in example.messages if message.role in {"system", "developer"}]
    turns = [(m.role, hosted.text_of(m)) for m in example.messages if m.role not in {"system", "developer"}]
    wanted = ["user", "assistant"] * (len(turns) // 2)
    if not turns or [role for role, _ in turns] != wanted:
        raise hosted.Unfit(
            "turns must be user, assistant, user, assistant ...", "bring the row into that order, or drop it"
        )
    if any(not text.strip() for _, text in turns):
        raise hosted.Unfit("a message is empty", hosted.DROP)
    return "\n\n".join(filter(None, system)), turns


def _pair(system: str, turns: list[tuple[str, str]]) -> dict[str, Any]:
    if len(turns) != 2:
        raise hosted.Unfit("this model trains on one question and one answer, and the row has more turns", DROP)
    prompt = "\n\n".join(filter(None, [system, turns[0][1]]))
    return {"prompt": prompt, "completion": turns[1][1]}
