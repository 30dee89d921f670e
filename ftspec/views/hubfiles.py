"""Rows as Parquet files that Hugging Face's `datasets` loads, in the columns that TRL's trainers read.

    chat            messages (and tools)
    preference      prompt, chosen, rejected
    reinforcement   prompt, and what graders look at as JSON text in `item`

A message is {role, content}, and has `name`, `tool_calls`, `tool_call_id` and `weight` only in files where one is set:
`datasets` gives every message of a file the same keys. Arguments of tool calls are JSON text, tools
a list of JSON texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from ftspec import rows
from ftspec.common.errors import DataError, Finding
from ftspec.common.messages import Example, Message
from ftspec.layout.shapes import Shape

if TYPE_CHECKING:
    import pyarrow as pa

OPTIONAL = ("name", "tool_calls", "tool_call_id", "weight")
CONVERSATIONS: Mapping[Shape, Mapping[str, str]] = {
    "chat": {"messages": "messages"},
    "preference": {"messages": "prompt", "chosen": "chosen", "rejected": "rejected"},
    "reinforcement": {"messages": "prompt"},
}
MOST_FINDINGS = 100


def write(shape: Shape, batches: Callable[[], Iterable[pa.RecordBatch]], out: BinaryIO) -> int:
    """Write the rows of all batches, which are read twice; returns how many. Raises DataError for what has no place."""
    import pyarrow.parquet as pq

    keys, tools = _used(shape, batches())
    schema = _schema(shape, keys, tools)
    count = 0
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in batches():
            writer.write_batch(_columns(shape, batch, keys, schema))
            count += batch.num_rows
    return count


def _used(shape: Shape, batches: Iterable[pa.RecordBatch]) -> tuple[list[str], bool]:
    """Optional keys of messages that occur, and whether tools do. Raises DataError for parts that are no text."""
    keys: set[str] = set()
    tools, findings = False, []
    for batch in batches:
        tools = tools or rows.column(batch, "tools").null_count < batch.num_rows
        for name in CONVERSATIONS[shape]:
            fields = rows.children(batch.column(name))
            keys |= {key for key in OPTIONAL if fields[key].null_count < len(fields[key])}
            if fields["parts"].null_count < len(fields["parts"]):
                findings += _parts(batch, name)
    if findings:
        raise DataError(findings[:MOST_FINDINGS], len(findings))
    return [key for key in OPTIONAL if key in keys], tools


def _parts(batch: pa.RecordBatch, name: str) -> list[Finding]:
    """A finding per row with a content of parts other than text."""
    message = "a message holds parts other than text, which has no place beside texts in one column"
    return [
        Finding(message=message, hint="drop the row in `cleaning`", row=example.row)
        for example in rows.examples(batch)
        if any(_text(each) is None and each.content is not None for each in getattr(example, name) or ())
    ]


def _text(message: Message) -> str | None:
    content = message.content
    if content is None or isinstance(content, str):
        return content
    if all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        return "".join(str(part.get("text", "")) for part in content)
    return None


def _schema(shape: Shape, keys: list[str], tools: bool) -> pa.Schema:
    import pyarrow as pa

    function = pa.struct([("name", pa.string()), ("arguments", pa.string())])
    call = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", function)])
    kinds = {"tool_calls": pa.list_(call), "weight": pa.float64()}
    message = pa.struct(
        [("role", pa.string()), ("content", pa.string()), *((key, kinds.get(key, pa.string())) for key in keys)]
    )
    fields = [(name, pa.list_(message)) for name in CONVERSATIONS[shape].values()]
    more = [("tools", pa.list_(pa.string()))] if tools else []
    return pa.schema([*fields, *more, *([("item", pa.string())] if shape == "reinforcement" else [])])


def _columns(shape: Shape, batch: pa.RecordBatch, keys: list[str], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    listed: list[dict[str, Any]] = [_row(shape, example, keys) for example in rows.examples(batch)]
    arrays = [pa.array([row.get(field.name) for row in listed], field.type, from_pandas=False) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _row(shape: Shape, example: Example, keys: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        column: [_message(each, keys) for each in getattr(example, name) or ()]
        for name, column in CONVERSATIONS[shape].items()
    }
    row["tools"] = [rows.to_json(tool) for tool in example.tools] if example.tools else None
    row["item"] = rows.to_json(example.item or {})
    return row


def _message(message: Message, keys: list[str]) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": _text(message)}
    given = msgspec.to_builtins(message)
    said |= {key: given.get(key) for key in keys}
    if said.get("tool_calls"):
        said["tool_calls"] = [_call(call) for call in said["tool_calls"]]
    return said


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    inner = call.get("function") or {}
    arguments = inner.get("arguments")
    text = arguments if isinstance(arguments, str) or arguments is None else rows.to_json(arguments)
    return {
        "id": call.get("id"),
        "type": call.get("type", "function"),
        "function": {"name": inner.get("name"), "arguments": text},
    }
