"""What messages and tools are made of, whichever provider's log they come from: turns, calls, answers of tools, texts.

Everything here raises Fault for what it cannot say in messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ftspec.layout import chat
from ftspec.layout.shapes import Conversation, Fault

Row = Mapping[str, Any]
Made = dict[str, Any]
THINKING = ("thinking", "redacted_thinking", "reasoningContent", "cachePoint")
WORDS = {
    "system", "developer", "user", "assistant", "tool", "function", "model",
    "text", "image", "document", "video", "audio", "file", "refusal", "thinking",
    "image_url", "input_text", "output_text", "input_image", "input_audio", "input_file",
    "tool_use", "tool_result", "search_result", "server_tool_use", "web_search_tool_result",
    "code_execution_tool_result", "mcp_tool_use", "mcp_tool_result", "container_upload",
    "toolUse", "toolResult", "guardContent", "cachePoint", "reasoningContent", "citationsContent", "searchResult",
    "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult",
    "videoMetadata",
}  # fmt: skip
"""Roles and types that the APIs have: a Fault may name them."""


def conversation(request: Row, name: str) -> Conversation:
    """The request's messages (contents, in Gemini's words). Raises Fault."""
    value = request.get(name)
    if not isinstance(value, list) or not value:
        raise Fault(f"there is no list `{name}`")
    return [dict(mapping(each, "message")) for each in value]


def turn(role: str, blocks: Iterable[Made]) -> Conversation:
    """The messages that one turn is: answers of tools come first, then what is said, with its calls."""
    blocks = list(blocks)
    answers: Conversation = [block["answer"] for block in blocks if "answer" in block]
    calls = [block["call"] for block in blocks if "call" in block]
    texts = [block["text"] for block in blocks if "text" in block]
    if any("image" in block for block in blocks):
        content: Any = [_part(block) for block in blocks if "text" in block or "image" in block]
    else:
        content = ("" if role == "assistant" else "\n\n").join(texts) if texts else None
    if content is None and not calls:
        return answers
    said: Made = {"role": role}
    said |= {"content": content} if content is not None else {}
    return [*answers, said | ({"tool_calls": calls} if calls else {})]


def _part(block: Made) -> Made:
    if "image" in block:
        return {"type": "image_url", "image_url": {"url": block["image"]}}
    return {"type": "text", "text": block["text"]}


def made(messages: Conversation, tools: Sequence[Any]) -> Made:
    """A row's messages, with its tools where there are any."""
    return {"messages": messages} | ({"tools": list(tools)} if tools else {})


def system_of(text: str | None) -> Conversation:
    """The system message, where there is one."""
    return [{"role": "system", "content": text}] if text else []


def text_of(value: Any, name: str, typed: bool = True) -> str | None:
    """Text, or the texts of blocks, each a paragraph of its own. Raises Fault for what is not text."""
    if value is None or isinstance(value, str):
        return value
    blocks = [mapping(each, f"block of `{name}`") for each in listed(value, name)]
    blocks = [each for each in blocks if not set(THINKING) & set(each)]
    if not all(isinstance(each.get("text"), str) and (typed or "type" not in each) for each in blocks):
        raise Fault(f"`{name}` holds something that is not text")
    return "\n\n".join(each["text"] for each in blocks) if blocks else None


def word(value: Any) -> str:
    """How a Fault speaks of a role or a type: its name if it is one of an API, else only what kind of value it is."""
    if isinstance(value, str):
        return f"'{value}'" if value in WORDS else "(a text that no API has there)"
    return f"({chat.kind(value)})"


def call(identity: Any, name: Any, arguments: Any) -> Made:
    """A call in OpenAI's shape. Raises Fault for one without id or name."""
    if not isinstance(identity, str) or not isinstance(name, str):
        raise Fault("a call has no id or no name")
    text = arguments if isinstance(arguments, str) else chat.to_json({} if arguments is None else arguments)
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": text}}


def parsed(text: str) -> Any:
    """What a text is the JSON of. Raises Fault where it is none."""
    try:
        value = chat.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise Fault("a text that must be JSON is none") from None
    if chat.is_deep(value):
        raise Fault(f"a text that is JSON is {chat.DEEP}")
    return value


def answer_of(identity: Any, text: str) -> Made:
    """A tool's answer to a call, as a message."""
    if not isinstance(identity, str):
        raise Fault("a tool's answer has no id")
    return {"role": "tool", "tool_call_id": identity, "content": text}


def tool(declared: Row, parameters: Any) -> Made:
    """A function in OpenAI's shape; `parameters` is its JSON Schema."""
    if not isinstance(declared.get("name"), str) or (parameters is not None and not isinstance(parameters, Mapping)):
        raise Fault("a tool that is no function with a name and parameters")
    said = {"name": declared["name"], "description": declared.get("description"), "parameters": parameters}
    return {"type": "function", "function": {key: value for key, value in said.items() if value is not None}}


def first(value: Any, name: str) -> Row:
    """The first entry of a list that must have one."""
    if not isinstance(value, list) or not value:
        raise Fault(f"there is no list `{name}`")
    return mapping(value[0], name)


def listed(value: Any, name: str) -> list[Any]:
    """A list, empty where there is none."""
    if value is not None and not isinstance(value, list):
        raise Fault(f"`{name}` must be a list")
    return value or []


def mapping(value: Any, name: str) -> Row:
    """An object."""
    if not isinstance(value, Mapping):
        raise Fault(f"a {name} must be an object")
    return value
