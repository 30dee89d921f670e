"""Chat messages in Arrow: one fixed type, whatever the JSON looked like.

What JSON does not keep uniform lives in JSON-text children, so that no block of a file can change the type:
`parts` (content that is a list of parts; then `content` is null), `tool_calls`, and `extra`, which keeps every key that
a message should not have or whose value has the wrong type, for the `format` check to report. No writer writes it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec.layout.arrays import floats, strings

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS = ("role", "content", "parts", "name", "tool_calls", "tool_call_id", "weight", "extra")
TEXT_KEYS = ("role", "content", "name", "tool_call_id")
LIST_KEYS = {"content": "parts", "tool_calls": "tool_calls"}

DEEPEST = 350
"""Levels of lists and objects in a row. What walks through values calls itself for each, and Python allows 1,000 calls
in one another, of which a run needs some itself and a level up to two."""
DEEP = f"nested more than {DEEPEST} levels deep"

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


def to_json(value: Any) -> str:
    """Compact JSON text; keys keep their order, non-ASCII characters stay as they are."""
    return encode(value).decode()


def calls_text(calls: Sequence[Mapping[str, Any]]) -> str:
    """Tool calls as JSON text that can be compared: names and decoded arguments, keys sorted, ids left out."""
    return msgspec.json.encode([_canonical_call(call) for call in calls], order="sorted").decode()


def _canonical_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call's name and arguments: its id is the model's own choice, and arguments may be an object or its text."""
    inner = call.get("function", call)
    arguments = inner.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, RecursionError):
            return {"name": inner.get("name"), "arguments": arguments}
    return {"name": inner.get("name"), "arguments": arguments}


@cache
def messages_type() -> pa.DataType:
    """list<struct<role, content, parts, name, tool_calls, tool_call_id: string, weight: double, extra: string>>"""
    import pyarrow as pa

    return pa.list_(pa.struct(list(_field_types().items())))


def _field_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {name: pa.float64() if name == "weight" else pa.string() for name in FIELDS}


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than DEEPEST in a value; a level at a time, so that any depth can be
    asked about."""
    level: list[Any] = [[value]]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list, tuple))
        ]
        if not level:
            return False
    return True


def fault(value: Any) -> str:
    """Why a value cannot stand in a `messages` column; "" when it can."""
    if value is None:
        return ""
    if not isinstance(value, list):
        return f"'messages' must be a list of messages, not {kind(value)}"
    for number, message in enumerate(value, 1):
        if not isinstance(message, Mapping):
            return f"message {number} must be an object with a role and a content, not {kind(message)}"
    return ""


def to_array(rows: Sequence[Sequence[Mapping[str, Any]] | None]) -> pa.Array:
    """Messages of every row as an array of `messages_type()`; None is null. Values must be without `fault`."""
    import pyarrow as pa

    flat = [_split(message) for row in rows if row is not None for message in row]
    columns = list(zip(*flat, strict=True)) if flat else [()] * len(FIELDS)
    children = [(floats if name == "weight" else strings)(column) for name, column in zip(FIELDS, columns, strict=True)]
    offsets = array("i", bytes(4))
    for row in rows:
        offsets.append(offsets[-1] + len(row or ()))
    values = pa.StructArray.from_arrays(children, fields=list(messages_type().value_type))
    validity = strings([None if row is None else "" for row in rows]).buffers()[0] if None in rows else None
    return pa.Array.from_buffers(messages_type(), len(rows), [validity, pa.py_buffer(offsets)], children=[values])


def interleave(roles: Sequence[str], contents: Sequence[pa.Array]) -> pa.Array:
    """Messages of rows that all have the same roles: `contents[i]` holds one text per row for `roles[i]`."""
    import pyarrow as pa

    rows, turns = len(contents[0]), len(roles)
    order = array("q", [turn * rows + row for row in range(rows) for turn in range(turns)])
    indices = pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)])
    given = {"role": strings(list(roles) * rows), "content": pa.concat_arrays(contents).take(indices)}
    empty = {name: pa.nulls(len(order), field) for name, field in _field_types().items()}
    values = pa.StructArray.from_arrays(list({**empty, **given}.values()), fields=list(messages_type().value_type))
    offsets = array("i", range(0, rows * turns + 1, turns))
    return pa.Array.from_buffers(messages_type(), rows, [None, pa.py_buffer(offsets)], children=[values])


def to_lists(messages: pa.Array) -> list[list[dict[str, Any]] | None]:
    """The messages of every row as they would stand in JSON: only keys that have a value."""
    flat = _joined(children(messages))
    lengths = messages.value_lengths().to_pylist()
    return [None if length is None else [next(flat) for _ in range(length)] for length in lengths]


def children(messages: pa.Array) -> dict[str, pa.Array]:
    """The flat children: one value per message, over all rows."""
    values = messages.flatten()
    return {name: values.field(index) for index, name in enumerate(FIELDS)}


def listed(child: pa.Array) -> list[Any]:
    """An array as Python values; nothing is looked at where all are null, as most children of messages are."""
    return child.to_pylist() if child.null_count < len(child) else [None] * len(child)


def with_children(messages: pa.Array, changed: Mapping[str, pa.Array]) -> pa.Array:
    """The same messages with some flat children replaced; row boundaries are re-used."""
    if not changed:
        return messages
    messages = compact(messages)
    return from_children(messages, {**children(messages), **changed})


def from_children(lists: pa.Array, given: Mapping[str, pa.Array]) -> pa.Array:
    """Messages of flat children, null where none are given, with the boundaries of `lists`, which start at zero."""
    import pyarrow as pa

    count = len(next(iter(given.values()), lists.values))
    made = [given[name] if name in given else pa.nulls(count, kind) for name, kind in _field_types().items()]
    values = pa.StructArray.from_arrays(made, fields=list(messages_type().value_type))
    return pa.Array.from_buffers(messages_type(), len(lists), lists.buffers()[:2], children=[values])


def compact(messages: pa.Array) -> pa.Array:
    """The same messages with offsets that start at zero and cover exactly their values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = messages.flatten()
    if messages.offset == 0 and len(messages.values) == len(values) and messages.offsets[0].as_py() == 0:
        return messages
    zero = _int32(array("i", [0]))
    offsets = pa.concat_arrays([zero, pc.cumulative_sum(pc.coalesce(messages.value_lengths(), zero[0]))])
    validity = pc.is_valid(messages).buffers()[1] if messages.null_count else None
    return pa.Array.from_buffers(messages_type(), len(messages), [validity, offsets.buffers()[1]], children=[values])


def parents(messages: pa.Array) -> pa.Array:
    """For each flat message, the index of its row."""
    import pyarrow.compute as pc

    return pc.list_parent_indices(messages)


def _split(message: Mapping[str, Any]) -> tuple[Any, ...]:
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in message.items():
        if value is None:
            continue
        if key in TEXT_KEYS and isinstance(value, str):
            known[key] = value
        elif key in LIST_KEYS and isinstance(value, list):
            known[LIST_KEYS[key]] = to_json(value)
        elif key == "weight" and isinstance(value, int | float) and not isinstance(value, bool):
            known[key] = float(value)
        else:
            extra[key] = value
    if extra:
        known["extra"] = to_json(extra)
    return tuple(map(known.get, FIELDS))


def _joined(flat: Mapping[str, pa.Array]) -> Iterator[dict[str, Any]]:
    for values in zip(*(listed(flat[name]) for name in FIELDS), strict=True):
        yield _message(zip(FIELDS, values, strict=True))


def _message(fields: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for name, value in fields:
        if value is None:
            continue
        if name == "parts":
            message["content"] = decode(value)
        elif name == "extra":
            message.update(decode(value))
        else:
            message[name] = decode(value) if name == "tool_calls" else value
    return message


def _int32(values: array[int]) -> pa.Array:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(values)])


def kind(value: Any) -> str:
    """What a decoded value is, in words."""
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
