"""Requests and responses as providers' APIs have them, and logs keep them, read as OpenAI's messages and tools.

Each reader takes (request, response) as decoded JSON, the response None where there is none, and raises Fault for what
it cannot say in messages. A Fault quotes nothing of a row but words that the APIs themselves have: findings and
rejected.jsonl are read where rows may not be. What a model thinks before it answers is left out. See docs/sources.md
for the pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ftspec.layout import chat
from ftspec.layout.logparts import (
    THINKING,
    Made,
    Row,
    answer_of,
    call,
    conversation,
    first,
    listed,
    made,
    mapping,
    system_of,
    text_of,
    tool,
    turn,
    word,
)
from ftspec.layout.shapes import Conversation, Fault

PARTS = ("text", "image_url", "input_image", "input_audio", "file", "refusal")
OF_ANSWER = ("role", "content", "name", "tool_calls", "refusal", "function_call")
"""Keys of an answer that are kept, those too that no tuner takes: the `format` check names them."""


def openai(request: Row, response: Row | None) -> Made:
    """Chat completions: `messages` and `tools`, and the first choice's message."""
    messages = conversation(request, "messages")
    if others := {"system", "toolConfig", "contents"} & set(request):
        raise Fault(f"a request of OpenAI has no `{min(others)}`")
    if response is not None:
        answer: Any = response
        if "choices" in response:
            answer = first(response["choices"], "choices").get("message")
        if not isinstance(answer, Mapping) or answer.get("role") != "assistant" or answer.get("type") == "message":
            raise Fault("the response holds no message of the assistant")
        messages = [*messages, {key: answer[key] for key in OF_ANSWER if answer.get(key) is not None}]
    for number, at, part in _all_parts(messages):
        if not isinstance(part, Mapping) or not _among(part.get("type"), PARTS):
            what = f"of type {word(part.get('type'))}" if isinstance(part, Mapping) else chat.kind(part)
            raise Fault(f"part {at} of message {number} is not OpenAI's: it is {what}")
    functions = [{"type": "function", "function": each} for each in listed(request.get("functions"), "functions")]
    return made(messages, listed(request.get("tools"), "tools") or functions)


def anthropic(request: Row, response: Row | None) -> Made:
    """Messages: `system`, `messages` with blocks, `tools`; the response's `content`."""
    said = conversation(request, "messages")
    if response is not None:
        if not isinstance(response.get("content"), list):
            raise Fault("the response holds no list `content`")
        said = [*said, {"role": "assistant", "content": response["content"]}]
    messages: Conversation = system_of(text_of(request.get("system"), "system"))
    for message in said:
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant"):
            raise Fault(f"a message has role {word(role)}: it is user or assistant")
        messages += turn(role, [_anthropic_block(block) for block in _blocks(content)])
    tools = [
        tool(mapping(each, "tool"), mapping(each, "tool").get("input_schema"))
        for each in listed(request.get("tools"), "tools")
    ]
    return made(messages, tools)


def _anthropic_block(block: Row) -> Made:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        return {"text": block["text"]}
    if kind in THINKING:
        return {}
    if kind == "tool_use":
        return {"call": call(block.get("id"), block.get("name"), block.get("input"))}
    if kind == "tool_result":
        return {"answer": answer_of(block.get("tool_use_id"), text_of(block.get("content"), "tool_result") or "")}
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
        answer = first(response.get("candidates"), "candidates").get("content")
        contents = [*contents, {"role": "model", **mapping(answer, "content of the candidate")}]
    system = _either(request, "systemInstruction")
    parts = system.get("parts") if isinstance(system, Mapping) else system
    messages: Conversation = system_of(text_of([parts] if isinstance(parts, Mapping) else parts, "systemInstruction"))
    calls = _Calls()
    for content in contents:
        role = {"model": "assistant", "user": "user", "function": "user", "tool": "user"}.get(
            content.get("role", "user")
        )
        if role is None:
            raise Fault(f"a content has role {word(content.get('role'))}: it is user, model or function")
        blocks = [_gemini_part(mapping(part, "part"), calls) for part in listed(content.get("parts"), "parts")]
        messages += turn(role, blocks)
    declared = [
        mapping(function, "function declaration")
        for each in listed(request.get("tools"), "tools")
        for function in listed(_either(mapping(each, "tool"), "functionDeclarations"), "functionDeclarations")
    ]
    return made(messages, [tool(each, _parameters(each)) for each in declared])


def _parameters(declared: Row) -> Any:
    """Of a function: Gemini's own schema, or one that is JSON Schema already."""
    own = declared.get("parameters")
    return _either(declared, "parametersJsonSchema") if own is None else _lower(own)


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
        return {"answer": answer_of(identity, chat.to_json(answer.get("response")))}
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
        said = [*said, dict(mapping(mapping(output, "output").get("message"), "message of the output"))]
    system = request.get("system")
    if system is not None and not isinstance(system, list):
        raise Fault("`system` must be a list of blocks")
    messages: Conversation = system_of(text_of(system, "system", typed=False))
    for message in said:
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant") or not isinstance(content, list):
            raise Fault("a message must be of user or assistant, and its content a list of blocks")
        messages += turn(role, [_bedrock_block(mapping(block, "block")) for block in content])
    config = mapping(request.get("toolConfig") or {}, "toolConfig")
    tools = [mapping(each, "tool") for each in listed(config.get("tools"), "tools")]
    specs = [mapping(each["toolSpec"], "toolSpec") for each in tools if "toolSpec" in each]
    return made(
        messages, [tool(each, mapping(each.get("inputSchema") or {}, "inputSchema").get("json")) for each in specs]
    )


def _bedrock_block(block: Row) -> Made:
    if "type" in block or len(block) != 1:
        raise Fault("a block must have one key, which says what it is")
    kind, held = next(iter(block.items()))
    if kind == "text" and isinstance(held, str):
        return {"text": held}
    if kind in THINKING:
        return {}
    held = mapping(held, f"block {word(kind)}")
    if kind == "toolUse":
        return {"call": call(held.get("toolUseId"), held.get("name"), held.get("input"))}
    if kind == "toolResult":
        texts = [
            chat.to_json(each["json"]) if "json" in each else text_of([each], "toolResult", typed=False) or ""
            for each in (mapping(entry, "result") for entry in listed(held.get("content"), "content"))
        ]
        return {"answer": answer_of(held.get("toolUseId"), "\n\n".join(texts))}
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


def _blocks(content: Any) -> list[Row]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [mapping(each, "block") for each in listed(content, "content")]


def _all_parts(messages: Conversation) -> Iterator[tuple[int, int, Any]]:
    """(number of the message, number of the part, the part)."""
    for number, message in enumerate(messages, 1):
        if isinstance(message.get("content"), list):
            for at, part in enumerate(message["content"], 1):
                yield number, at, part


def _among(value: Any, words: Iterable[str]) -> bool:
    return isinstance(value, str) and value in words


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
