"""Formatted rows as records, e.g. to write them in a provider's format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ftspec.common.messages import Example, Message
from ftspec.layout import chat, shapes
from ftspec.layout.chat import children, decode
from ftspec.layout.rowcolumns import ROW, column, values

if TYPE_CHECKING:
    import pyarrow as pa


def examples(batch: pa.RecordBatch) -> Iterator[Example]:
    """The formatted rows of a batch as records, e.g. to write them in a provider's format."""
    tools = chat.listed(column(batch, "tools"))
    numbers = column(batch, ROW).to_pylist()
    others = _others(batch)
    conversations = _conversations(batch.column("messages"))
    for index, (said, tool, row) in enumerate(zip(conversations, tools, numbers, strict=True)):
        more = {name: listed[index] for name, listed in others.items()} if others else {}
        number = -1 if row is None else row
        yield Example(messages=said or [], tools=None if tool is None else decode(tool), row=number, **more)


def _others(batch: pa.RecordBatch) -> dict[str, list[Any]]:
    """What rows of other shapes hold beside messages and tools; nothing where they are conversations."""
    names = set(batch.schema.names)
    found: dict[str, list[Any]] = {
        name: list(_conversations(batch.column(name))) for name in shapes.ANSWERS if name in names
    }
    return found | ({"item": values(batch, "item")} if "item" in names else {})


def _conversations(messages: pa.Array) -> Iterator[list[Message] | None]:
    """The messages of each row; None where there are none."""
    fields = children(messages)
    listed = [chat.listed(child) for child in fields.values()]
    if all(fields[name].null_count == len(fields[name]) for name in chat.FIELDS[2:]):
        flat = [Message(role=role or "", content=content) for role, content in zip(*listed[:2], strict=True)]
    else:
        flat = [_message(*values) for values in zip(*listed, strict=True)]
    end = 0
    for length in messages.value_lengths().to_pylist():
        start, end = end, end + (length or 0)
        yield None if length is None else flat[start:end]


def _message(
    role: str | None,
    content: str | None,
    parts: str | None,
    name: str | None,
    tool_calls: str | None,
    tool_call_id: str | None,
    weight: float | None,
    extra: str | None,
) -> Message:
    """`extra` is what the `format` check reports: nobody may be sent it."""
    return Message(
        role=role or "",
        content=content if parts is None else decode(parts),
        name=name,
        tool_calls=None if tool_calls is None else decode(tool_calls),
        tool_call_id=tool_call_id,
        weight=weight,
    )


def pair(example: Example) -> dict[str, str] | None:
    """The legacy `prompt`/`completion` shape of a one-turn example of plain text; None for any other.

    A system message stands before the prompt, as its own paragraph.
    """
    texts = [message.content for message in example.messages]
    roles = [message.role for message in example.messages]
    if roles not in (["user", "assistant"], ["system", "user", "assistant"]) or not all(
        isinstance(t, str) for t in texts
    ):
        return None
    return {"prompt": "\n\n".join(texts[:-1]), "completion": texts[-1]}
