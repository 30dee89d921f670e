"""What is wrong with the messages of one formatted row, in words: the `format` check asks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ftspec import rows

ROLES = ("system", "developer", "user", "assistant", "tool")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
KEYS = "role, content, name, tool_calls, tool_call_id, weight"
Messages = Sequence[Mapping[str, Any]]


def row_problems(row: Mapping[str, Any], shape: str, answered: bool) -> Iterator[str]:
    """Everything that is wrong with one row of the shape. With `answered` it must hold what is learned from."""
    messages = row.get("messages")
    if not messages:
        yield _NONE[shape] if messages is None else "the list of messages is empty"
        return
    open_calls: set[str] = set()
    yield from _messages_problems(messages, open_calls, "message")
    if shape == "preference":
        yield from _pair_problems(row, messages, open_calls, answered)
    elif shape == "reinforcement":
        yield from _asked_problems(messages, answered)
    else:
        yield from _end_problems(messages, answered)
    yield from _tools_problems(row.get("tools"))


def empty_answers(row: Mapping[str, Any]) -> Iterator[str]:
    """What is no fault to a tuner, and hardly meant: answers to be learned that say nothing. OpenAI's cookbook counts
    them as missing content."""
    for name, place in (("messages", "message"), ("chosen", "chosen message")):
        for number, message in enumerate(row.get(name) or (), 1):
            learned = message.get("role") == "assistant" and message.get("weight") != 0
            if learned and message.get("content") == "" and not message.get("tool_calls"):
                yield f"{place} {number} is an empty answer, which the model would learn to give"


_NONE = {
    "chat": "the row has no messages: a `format` makes them of its columns, or `read_as` at its source names the shape "
    "that they have",
    "preference": "the row has no prompt: neither a column for it, nor a beginning that both answers share",
    "reinforcement": "the row has no messages: a `format` makes them of its columns",
}


def _messages_problems(messages: Messages, open_calls: set[str], place: str) -> Iterator[str]:
    """`open_calls` are calls that have not been answered, and become those after the messages."""
    for number, message in enumerate(messages, 1):
        yield from (f"{place} {number} {problem}" for problem in _message_problems(message))
        yield from (f"{place} {number} {problem}" for problem in _call_problems(message, open_calls))


def _pair_problems(row: Mapping[str, Any], prompt: Messages, open_calls: set[str], answered: bool) -> Iterator[str]:
    """Both answers go on from the prompt, and end with the assistant. An evaluation prompt may be a conversation."""
    answers = {name: row.get(name) for name in ("chosen", "rejected")}
    if not answered and not any(answers.values()):
        return
    if prompt[-1].get("role") == "assistant":
        yield "the prompt ends with the assistant: the answers must go on from what it is asked"
    for name, answer in answers.items():
        if not answer:
            if answered:
                yield f"the row has no {name} answer"
            continue
        yield from _messages_problems(answer, set(open_calls), f"{name} message")
        if answer[0].get("role") != "assistant":
            yield f"the {name} answer does not begin with the assistant"
        elif answer[-1].get("role") != "assistant":
            yield f"the {name} answer does not end with the assistant"


def _asked_problems(messages: Messages, answered: bool) -> Iterator[str]:
    role = messages[-1].get("role")
    if answered and role not in ("user", "tool"):
        said = "the assistant's" if role == "assistant" else f"of role {_quoted(role)}"
        yield f"the last message is {said}: an item ends with the user, and the model answers"


def _end_problems(messages: Messages, answered: bool) -> Iterator[str]:
    if not answered:
        return
    if not any(message.get("role") == "assistant" for message in messages):
        yield "no message of the assistant: there is nothing to learn"
    elif messages[-1].get("role") != "assistant":
        yield "the last message is not the assistant's"
    elif all(message.get("weight") == 0 for message in messages if message.get("role") == "assistant"):
        yield "every message of the assistant has weight 0: there is nothing to learn"


def _message_problems(message: Mapping[str, Any]) -> Iterator[str]:
    unknown = [key for key in message if key not in KEYS.split(", ")]
    if unknown:
        yield f"has unknown key{'s'[: len(unknown) != 1]} {', '.join(map(_quoted, unknown))}; keys are {KEYS}"
    role = message.get("role")
    if role is None:
        yield "has no role"
    elif role not in ROLES:
        yield f"has unknown role {_quoted(role)}; roles are {', '.join(ROLES)}"
    yield from _content_problems(message)
    name = message.get("name")
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
        yield f"has name {_quoted(name)}: 1 to 64 letters, digits, '_' or '-' are allowed"
    weight = message.get("weight")
    if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
        yield f"has weight {_quoted(weight)}: only 0 and 1 are allowed"
    elif weight is not None and role != "assistant":
        yield "has a weight: only the assistant's messages are trained on"


def _content_problems(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if content is None or content == []:
        if not message.get("tool_calls"):
            yield "has no content"
    elif isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                yield "has a part without a type"
            elif part["type"] == "text" and not isinstance(part.get("text"), str):
                yield "has a text part without text"
    elif not isinstance(content, str):
        yield "has a content that is neither text nor a list of parts"


def _call_problems(message: Mapping[str, Any], open_calls: set[str]) -> Iterator[str]:
    """`open_calls` holds the ids of calls made so far and not yet answered."""
    role, calls = message.get("role"), message.get("tool_calls")
    if role != "tool" and open_calls and message.get("role") == "assistant":
        yield f"comes before call {_quoted(min(open_calls))} was answered by a tool message"
        open_calls.clear()
    if calls is not None and role != "assistant":
        yield "has tool_calls: only the assistant calls tools"
    elif calls is not None:
        yield from _calls_problems(calls, open_calls)
    answer = message.get("tool_call_id")
    if role == "tool" and answer is None:
        yield "is a tool's answer without tool_call_id"
    elif role == "tool" and answer not in open_calls:
        yield f"answers call {_quoted(answer)}, which no earlier message makes"
    elif answer is not None and role != "tool":
        yield "has a tool_call_id: only tool messages answer calls"
    open_calls.discard(answer or "")


def _calls_problems(calls: Any, open_calls: set[str]) -> Iterator[str]:
    if not isinstance(calls, list) or not calls:
        yield "has tool_calls that are not a list with calls"
        return
    for call in calls:
        problem = _call_problem(call)
        if problem:
            yield problem
        if isinstance(call, Mapping) and isinstance(call.get("id"), str):
            if call["id"] in open_calls:
                yield f"makes two calls with id {_quoted(call['id'])}"
            open_calls.add(call["id"])


def _call_problem(call: Any) -> str:
    if not isinstance(call, Mapping) or not isinstance(call.get("id"), str):
        return "has a tool call without an id"
    inner = call.get("function")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        return "has a tool call without a function name"
    if not _is_object(inner.get("arguments")):
        return f"calls {_quoted(inner['name'])} with arguments that are not a JSON object"
    return ""


def _is_object(arguments: Any) -> bool:
    if not isinstance(arguments, str):
        return isinstance(arguments, Mapping)
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _tools_problems(tools: Any) -> Iterator[str]:
    for number, tool in enumerate(tools or (), 1):
        inner = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
            yield f"tool {number} has no function with a name"


def _quoted(value: Any) -> str:
    """A value from the data, short enough to be shown."""
    text = value if isinstance(value, str) else rows.to_json(value)
    return f"'{text[:40]}{'…' * (len(text) > 40)}'"
