"""Conversations in the shapes that files and logs have them in, as columns `messages` and `tools`: a row at a time.

A row that fits no shape, or more than one, stays as it is: nothing is guessed. Pages of the shapes: docs/sources.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ftspec.layout import logparts, providerlogs
from ftspec.layout.logparts import Made, Row
from ftspec.layout.shapes import Conversation, Fault

ROLES = {
    "system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant",
    "function_call": "call", "tool_call": "call",
    "observation": "tool", "tool": "tool", "function": "tool", "function_response": "tool", "tool_response": "tool",
}  # fmt: skip
"""Who speaks in ShareGPT's shape, by the names that data sets give them."""
MEDIA = ("images", "image", "videos", "audios")
ALPACA = ("instruction", "input", "output", "system", "history")
REQUESTS = ("request", "params", "body", "input")
RESPONSES = ("response", "result", "output")
INSIDE = ("body", "inputBodyJson", "outputBodyJson", "message")
FLAT = {
    "openai": ("messages", "tools", "functions", "choices"),
    "anthropic": ("messages", "tools", "system", "content"),
    "gemini": ("contents", "tools", "systemInstruction", "system_instruction", "candidates"),
    "bedrock": ("messages", "system", "toolConfig", "output", "schemaVersion"),
}
"""Columns that a request and its response are made of where they are not in an envelope."""
ENVELOPE = (*REQUESTS, *RESPONSES)
COLUMNS = tuple(
    dict.fromkeys(["conversations", *ALPACA, *ENVELOPE, *(name for names in FLAT.values() for name in names)])
)
"""Every column that a shape may use up."""
AS_JSON = ("conversations", "request", "params", "body", "response", "result")
"""Columns that tables and databases hold as JSON text; none that a text of its own may stand in by design."""
MARKS = ("conversations", "instruction", "contents", "choices", "content", *ENVELOPE)
"""A batch that has none of these holds no such row, but for blocks within its messages."""

Read = tuple[Made, tuple[str, ...]]
"""The row's `messages` and `tools`, and the columns that they were made of."""


def read(row: Row, name: str) -> Read:
    """A row (without nulls) of the shape of that name. Raises Fault for any other."""
    if any(row.get(each) for each in MEDIA):
        raise Fault("images, videos or audio beside the conversation are not read")
    return READERS[name](_opened(row))


def told(row: Row) -> Read | None:
    """The row in the shape that it fits; None where that is none, or several that read it differently."""
    found: list[Read] = []
    for name in READERS:
        try:
            if _marked(row, name):
                found.append(read(row, name))
        except Fault:
            continue
    return found[0] if found and all(each[0] == found[0][0] for each in found) else None


def _opened(row: Row) -> Row:
    """The row with what is the JSON of a list or an object as that, unless it has messages that could be meant."""
    texts = {name: row[name] for name in AS_JSON if isinstance(row.get(name), str) and "messages" not in row}
    values = {}
    for name, text in texts.items():
        if text.lstrip()[:1] in ("[", "{"):
            with suppress(Fault):
                values[name] = logparts.parsed(text)
    return {**row, **values} if values else row


def _marked(row: Row, name: str) -> bool:
    """Whether something besides OpenAI's own messages says that the row is of the shape."""
    if "messages" not in row or name not in FLAT:
        return True
    if name == "openai":
        last = row["messages"][-1] if isinstance(row["messages"], list) and row["messages"] else {}
        return "choices" in row and last.get("role") != "assistant"
    blocks = [
        block
        for message in row["messages"]
        if isinstance(message.get("content"), list)
        for block in message["content"]
        if isinstance(block, Mapping)
    ]
    if name == "bedrock":
        return any("type" not in block for block in blocks)
    return "content" in row or any(
        block.get("type") in ("tool_use", "tool_result", "thinking") or "source" in block for block in blocks
    )


def sharegpt(row: Row) -> Read:
    """`conversations` of {from, value} or {role, content}; `system` and `tools` may stand beside it."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise Fault("there is no list `conversations`")
    system = row.get("system")
    if system is not None and not isinstance(system, str):
        raise Fault("`system` must be text")
    messages: Conversation = [{"role": "system", "content": system}] if system else []
    waiting: list[str] = []
    made = 0
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, Mapping):
            raise Fault(f"turn {number} must be an object with `from` and `value`")
        message, calls = _turn(turn, number, waiting, made)
        waiting += calls
        made += len(calls)
        messages.append(message)
    tools = [_function(each) for each in _tools(row.get("tools"))]
    return {"messages": messages} | ({"tools": tools} if tools else {}), ("conversations", "system", "tools")


def _turn(turn: Row, number: int, waiting: list[str], made: int) -> tuple[dict[str, Any], list[str]]:
    """One turn as a message, and the ids of the calls that it makes; `waiting` are those without an answer."""
    speaker = turn.get("from", turn.get("role"))
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise Fault(f"turn {number} is of nobody that is known: known are {', '.join(ROLES)}")
    if "from" not in turn and role != "call":
        return {**turn, "role": role}, []
    value = turn.get("value", turn.get("content"))
    if not isinstance(value, str):
        raise Fault(f"turn {number} has no text `value`")
    if role == "call":
        calls = _calls(value, number, made)
        return {"role": "assistant", "tool_calls": calls}, [each["id"] for each in calls]
    if role == "tool":
        if not waiting:
            raise Fault(f"turn {number} answers a call that no turn before it makes")
        return {"role": "tool", "tool_call_id": waiting.pop(0), "content": value}, []
    weight = turn.get("weight")
    more = {"weight": weight} if role == "assistant" and weight is not None else {}
    return {"role": role, "content": value, **more}, []


def _calls(text: str, number: int, made: int) -> list[dict[str, Any]]:
    """The calls of a `function_call` turn: one as JSON, or a list of them."""
    value = logparts.parsed(text)
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(each, Mapping) for each in listed):
        raise Fault(f"turn {number} is no call: its value must be JSON with name and arguments")
    return [
        logparts.call(f"call_{at}", each.get("name"), each.get("arguments", each.get("parameters")))
        for at, each in enumerate(listed, made + 1)
    ]


def _tools(value: Any) -> list[Any]:
    value = logparts.parsed(value) if isinstance(value, str) and value.strip() else value or []
    if not isinstance(value, list):
        raise Fault("`tools` must be a list of tools")
    return value


def _function(tool: Any) -> Any:
    bare = isinstance(tool, Mapping) and "function" not in tool and "name" in tool
    return {"type": "function", "function": tool} if bare else tool


def alpaca(row: Row) -> Read:
    """`instruction`, `input` (a line of its own beneath it), `output`; `system`, and `history` of [asked, answered]."""
    texts = {name: row.get(name, "") for name in ("instruction", "input", "output", "system")}
    if "instruction" not in row or "output" not in row or not all(isinstance(text, str) for text in texts.values()):
        raise Fault("`instruction` and `output` must be there, and they, `input` and `system` be text")
    messages: Conversation = [{"role": "system", "content": texts["system"]}] if texts["system"] else []
    history = row.get("history", [])
    if not isinstance(history, list):
        raise Fault("`history` must be a list of [asked, answered]")
    asked = "\n".join(text for text in (texts["instruction"], texts["input"]) if text)
    for pair in [*history, [asked, texts["output"]]]:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Fault("`history` must be a list of [asked, answered]")
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return {"messages": messages}, ALPACA


def _log(name: str, convert: Callable[[Row, Row | None], Made]) -> Callable[[Row], Read]:
    """A reader of requests and responses, in an envelope or as the row's own columns."""

    def read_log(row: Row) -> Read:
        request, used = _request(row)
        response, answered = _response(row, name)
        own = FLAT[name] if request is row else ()
        return convert(request, response), tuple(dict.fromkeys([*used, *answered, *own]))

    return read_log


def _request(row: Row) -> tuple[Row, tuple[str, ...]]:
    own = "messages" in row or "contents" in row
    for name in REQUESTS:
        value = row.get(name)
        if own and isinstance(value, Mapping) and {"messages", "contents"} & set(_inner(value)):
            raise Fault(f"there are two conversations: in `{name}`, and beside it")
        if own:
            continue
        if isinstance(value, list) and name == "input":
            return {"messages": value}, (name,)
        if isinstance(value, Mapping):
            return _inner(value), (name,)
    return row, ()


def _response(row: Row, name: str) -> tuple[Row | None, tuple[str, ...]]:
    for key in RESPONSES:
        value = row.get(key)
        if isinstance(value, Mapping):
            inner = _inner(value)
            # Converse names the answer `output.message`: it is in the row itself where there is no envelope.
            return ({"output": value} if name == "bedrock" and "message" in value else inner), (key,)
    flat = {"openai": "choices", "anthropic": "content", "gemini": "candidates", "bedrock": ""}[name]
    if flat in row:
        return {flat: row[flat]}, (flat,)
    return None, ()


def _inner(value: Row) -> Row:
    """What an envelope holds: some have another within."""
    held: Row | None = value
    while held is not None:
        value = held
        held = next((value[name] for name in INSIDE if isinstance(value.get(name), Mapping)), None)
    return value


READERS: dict[str, Callable[[Row], Read]] = {
    "sharegpt": sharegpt,
    "alpaca": alpaca,
    "openai": _log("openai", providerlogs.openai),
    "anthropic": _log("anthropic", providerlogs.anthropic),
    "gemini": _log("gemini", providerlogs.gemini),
    "bedrock": _log("bedrock", providerlogs.bedrock),
}
READ_AS = ("auto", "none", *READERS)
