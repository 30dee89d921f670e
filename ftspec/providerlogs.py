"""Requests and responses as providers' APIs have them, and logs keep them, read as OpenAI's messages and tools.

Each reader takes (request, response) as decoded JSON, the response None where there is none, and raises Fault for what
it cannot say in messages. A Fault quotes nothing of a row but words that the APIs themselves have: findings and
rejected.jsonl are read where rows may not be. What a model thinks before it answers is left out. See docs/sources.md
for the pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ftspec import chat
from ftspec.shapes import Conversation, Fault

Row = Mapping[str, Any]
Made = dict[str, Any]
THINKING = ("thinking", "redacted_thinking", "reasoningContent", "cachePoint")
PARTS = ("text", "image_url", "input_image", "input_audio", "file", "refusal")
OF_ANSWER = ("role", "content", "name", "tool_calls", "refusal", "function_call")
"""Keys of an answer that are kept, those too that no tuner takes: the `format` check names them."""
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


def openai(request: Row, response: Row | None) -> Made:
    """Chat completions: `messages` and `tools`, and the first choice's message."""
    messages = conversation(request, "messages")
    if others := {"system", "toolConfig", "contents"} & set(request):
        raise Fault(f"a request of OpenAI has no `{min(others)}`")
    if response is not None:
        answer: Any = response
        if "choices" in response:
            answer = _first(response["choices"], "choices").get("message")
        if not isinstance(answer, Mapping) or answer.get("role") != "assistant" or answer.get("type") == "message":
            raise Fault("the response holds no message of the assistant")
        messages = [*messages, {key: answer[key] for key in OF_ANSWER if answer.get(key) is not None}]
    for number, at, part in _all_parts(messages):
        if not isinstance(part, Mapping) or not _among(part.get("type"), PARTS):
            what = f"of type {word(part.get('type'))}" if isinstance(part, Mapping) else chat.kind(part)
            raise Fault(f"part {at} of message {number} is not OpenAI's: it is {what}")
    functions = [{"type": "function", "function": each} for each in _list(request.get("functions"), "functions")]
    return _made(messages, _list(request.get("tools"), "tools") or functions)


def anthropic(request: Row, response: Row | None) -> Made:
    """Messages: `system`, `messages` with blocks, `tools`; the response's `content`."""
    said = conversation(request, "messages")
    if response is not None:
        if not isinstance(response.get("content"), list):
            raise Fault("the response holds no list `content`")
        said = [*said, {"role": "assistant", "content": response["content"]}]
    messages: Conversation = _system(_text_of(request.get("system"), "system"))
    for message in said:
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant"):
            raise Fault(f"a message has role {word(role)}: it is user or assistant")
        messages += _turn(role, [_anthropic_block(block) for block in _blocks(content)])
    tools = [
        _tool(_mapping(each, "tool"), _mapping(each, "tool").get("input_schema"))
        for each in _list(request.get("tools"), "tools")
    ]
    return _made(messages, tools)


def _anthropic_block(block: Row) -> Made:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return {"text": block["text"]}
    if kind in THINKING:
        return {}
    if kind == "tool_use":
        return {"call": call(block.get("id"), block.get("name"), block.get("input"))}
    if kind == "tool_result":
        return {"answer": _answer(block.get("tool_use_id"), _text_of(block.get("content"), "tool_result") or "")}
    source = block.get("source")
    if kind == "image" and isinstance(source, Mapping):
        if source.get("type") == "url" and isinstance(source.get("url"), str):
            return {"image": source["url"]}
        if source.get("type") == "base64":
            return {"image": f"data:{source.get('media_type')};base64,{source.get('data')}"}
    raise Fault(f"a block of type {word(kind)} that messages have no room for")


def gemini(request: Row, response: Row | None) -> Made:
    """generateContent of Gemini and Vertex: `systemInstruction`, `contents` with parts, `tools`; the first candidate.

    Names may be written in snake case, as the SDK does.
    """
    contents = conversation(request, "contents")
    if response is not None:
        answer = _first(response.get("candidates"), "candidates").get("content")
        contents = [*contents, {"role": "model", **_mapping(answer, "content of the candidate")}]
    system = _either(request, "systemInstruction")
    parts = system.get("parts") if isinstance(system, Mapping) else system
    messages: Conversation = _system(_text_of([parts] if isinstance(parts, Mapping) else parts, "systemInstruction"))
    calls = _Calls()
    for content in contents:
        role = {"model": "assistant", "user": "user", "function": "user", "tool": "user"}.get(
            content.get("role", "user")
        )
        if role is None:
            raise Fault(f"a content has role {word(content.get('role'))}: it is user, model or function")
        blocks = [_gemini_part(_mapping(part, "part"), calls) for part in _list(content.get("parts"), "parts")]
        messages += _turn(role, blocks)
    declared = [
        _mapping(function, "function declaration")
        for tool in _list(request.get("tools"), "tools")
        for function in _list(_either(_mapping(tool, "tool"), "functionDeclarations"), "functionDeclarations")
    ]
    return _made(messages, [_tool(each, _lower(each.get("parameters"))) for each in declared])


def _gemini_part(part: Row, calls: _Calls) -> Made:
    if part.get("thought") is True:
        return {}
    if isinstance(part.get("text"), str):
        return {"text": part["text"]}
    asked, answer = _either(part, "functionCall"), _either(part, "functionResponse")
    if isinstance(asked, Mapping):
        return {
            "call": call(calls.made(asked.get("id"), asked.get("name")), asked.get("name"), asked.get("args") or {})
        }
    if isinstance(answer, Mapping):
        identity = calls.answered(answer.get("id"), answer.get("name"))
        return {"answer": _answer(identity, chat.to_json(answer.get("response")))}
    inline, file = _either(part, "inlineData"), _either(part, "fileData")
    held = inline if isinstance(inline, Mapping) else file if isinstance(file, Mapping) else {}
    kind = str(_either(held, "mimeType"))
    if kind.startswith("image/"):
        return {"image": f"data:{kind};base64,{held.get('data')}" if held is inline else str(_either(held, "fileUri"))}
    raise Fault(f"a part that messages have no room for: {', '.join(map(word, part)) or 'it is empty'}")


def bedrock(request: Row, response: Row | None) -> Made:
    """Converse, and the tuning files of schema bedrock-conversation-2024: every content is a list of untyped blocks."""
    said = conversation(request, "messages")
    if response is not None:
        output = response.get("output", response)
        said = [*said, dict(_mapping(_mapping(output, "output").get("message"), "message of the output"))]
    system = request.get("system")
    if system is not None and not isinstance(system, list):
        raise Fault("`system` must be a list of blocks")
    messages: Conversation = _system(_text_of(system, "system", typed=False))
    for message in said:
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant") or not isinstance(content, list):
            raise Fault("a message must be of user or assistant, and its content a list of blocks")
        messages += _turn(role, [_bedrock_block(_mapping(block, "block")) for block in content])
    config = _mapping(request.get("toolConfig") or {}, "toolConfig")
    listed = [_mapping(each, "tool") for each in _list(config.get("tools"), "tools")]
    specs = [_mapping(each["toolSpec"], "toolSpec") for each in listed if "toolSpec" in each]
    return _made(
        messages, [_tool(each, _mapping(each.get("inputSchema") or {}, "inputSchema").get("json")) for each in specs]
    )


def _bedrock_block(block: Row) -> Made:
    if "type" in block or len(block) != 1:
        raise Fault("a block must have one key, which says what it is")
    kind, held = next(iter(block.items()))
    if kind == "text" and isinstance(held, str):
        return {"text": held}
    if kind in THINKING:
        return {}
    held = _mapping(held, f"block {word(kind)}")
    if kind == "toolUse":
        return {"call": call(held.get("toolUseId"), held.get("name"), held.get("input"))}
    if kind == "toolResult":
        texts = [
            chat.to_json(each["json"]) if "json" in each else _text_of([each], "toolResult", typed=False) or ""
            for each in (_mapping(entry, "result") for entry in _list(held.get("content"), "content"))
        ]
        return {"answer": _answer(held.get("toolUseId"), "\n\n".join(texts))}
    source = held.get("source")
    if kind == "image" and isinstance(source, Mapping) and isinstance(source.get("bytes"), str):
        return {"image": f"data:image/{held.get('format')};base64,{source['bytes']}"}
    raise Fault(f"a block {word(kind)} that messages have no room for")


class _Calls:
    """Ids for calls of an API that may have none: an answer is of the first open call of its name."""

    def __init__(self) -> None:
        self.count = 0
        self.open: list[tuple[str, Any]] = []

    def made(self, identity: Any, name: Any) -> str:
        self.count += 1
        self.open.append((identity if isinstance(identity, str) else f"call_{self.count}", name))
        return self.open[-1][0]

    def answered(self, identity: Any, name: Any) -> str:
        for at, (known, called) in enumerate(self.open):
            if known == identity or (identity is None and called == name):
                return self.open.pop(at)[0]
        raise Fault("a response to a function that was not called")


def conversation(request: Row, name: str) -> Conversation:
    """The request's messages (contents, in Gemini's words). Raises Fault."""
    value = request.get(name)
    if not isinstance(value, list) or not value:
        raise Fault(f"there is no list `{name}`")
    return [dict(_mapping(each, "message")) for each in value]


def _turn(role: str, blocks: Iterable[Made]) -> Conversation:
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


def _made(messages: Conversation, tools: Sequence[Any]) -> Made:
    return {"messages": messages} | ({"tools": list(tools)} if tools else {})


def _system(text: str | None) -> Conversation:
    return [{"role": "system", "content": text}] if text else []


def _text_of(value: Any, name: str, typed: bool = True) -> str | None:
    """Text, or the texts of blocks, each a paragraph of its own. Raises Fault for what is not text."""
    if value is None or isinstance(value, str):
        return value
    blocks = [_mapping(each, f"block of `{name}`") for each in _list(value, name)]
    blocks = [each for each in blocks if not set(THINKING) & set(each)]
    if not all(isinstance(each.get("text"), str) and (typed or "type" not in each) for each in blocks):
        raise Fault(f"`{name}` holds something that is not text")
    return "\n\n".join(each["text"] for each in blocks) if blocks else None


def _blocks(content: Any) -> list[Row]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_mapping(each, "block") for each in _list(content, "content")]


def _all_parts(messages: Conversation) -> Iterator[tuple[int, int, Any]]:
    """(number of the message, number of the part, the part)."""
    for number, message in enumerate(messages, 1):
        if isinstance(message.get("content"), list):
            for at, part in enumerate(message["content"], 1):
                yield number, at, part


def _among(value: Any, words: Iterable[str]) -> bool:
    return isinstance(value, str) and value in words


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


def _answer(identity: Any, text: str) -> Made:
    if not isinstance(identity, str):
        raise Fault("a tool's answer has no id")
    return {"role": "tool", "tool_call_id": identity, "content": text}


def _tool(declared: Row, parameters: Any) -> Made:
    if not isinstance(declared.get("name"), str) or (parameters is not None and not isinstance(parameters, Mapping)):
        raise Fault("a tool that is no function with a name and parameters")
    said = {"name": declared["name"], "description": declared.get("description"), "parameters": parameters}
    return {"type": "function", "function": {key: value for key, value in said.items() if value is not None}}


def _lower(schema: Any) -> Any:
    """A schema of Gemini as JSON Schema: its types are in capitals."""
    if isinstance(schema, list):
        return [_lower(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    kind = schema.get("type")
    made = {key: _lower(value) for key, value in schema.items()}
    return made | ({"type": kind.lower()} if isinstance(kind, str) else {})


def _either(value: Row, name: str) -> Any:
    """The value in camel case or in snake case."""
    snake = "".join(f"_{each.lower()}" if each.isupper() else each for each in name)
    return value.get(name, value.get(snake))


def _first(value: Any, name: str) -> Row:
    if not isinstance(value, list) or not value:
        raise Fault(f"there is no list `{name}`")
    return _mapping(value[0], name)


def _list(value: Any, name: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise Fault(f"`{name}` must be a list")
    return value or []


def _mapping(value: Any, name: str) -> Row:
    if not isinstance(value, Mapping):
        raise Fault(f"a {name} must be an object")
    return value
