"""The texts of a row, wherever they stand: in text columns, in JSON columns, in messages and in tool calls.

Arrow does the work on whole columns; Python sees only the values that need it. No function here depends on how rows
were cut into batches: a value that one batch holds as a number and another as JSON text means the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ftspec.layout import chat
from ftspec.layout.arrays import flags, integers, is_json, scalar, strings
from ftspec.layout.chat import decode, to_json

if TYPE_CHECKING:
    import pyarrow as pa


def as_text(column: pa.Array) -> pa.Array:
    """A column as texts: texts as they are, messages by their contents (one per line), other values as JSON."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.string():
        return column
    if column.type == chat.messages_type():
        said = pc.coalesce(contents(column), scalar(""))
        return pc.binary_join(_listed(column, said), scalar("\n"))
    return _other_as_text(column)


def _other_as_text(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if is_json(column.type):
        return strings([_unquoted(text) for text in column.storage.to_pylist()])
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    return strings([None if value is None else to_json(value) for value in column.to_pylist()])


def lengths(column: pa.Array, *, of_bytes: bool = False) -> pa.Array:
    """Characters per row, or bytes of UTF-8: of the text, or of all contents of the messages."""
    import pyarrow.compute as pc

    measure = pc.binary_length if of_bytes else pc.utf8_length
    if column.type == chat.messages_type():
        return _summed(column, pc.coalesce(measure(contents(column)), scalar(0)))
    return pc.coalesce(measure(as_text(column)), scalar(0))


def _summed(messages: pa.Array, values: pa.Array) -> pa.Array:
    """The sum of flat values, one per message, over each row's messages."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = chat.compact(messages).offsets
    running = pa.concat_arrays([integers([0]), pc.cumulative_sum(values.cast(pa.int64()))]).take(ends)
    return pc.subtract(running.slice(1), running.slice(0, len(messages)))


def is_empty(column: pa.Array) -> pa.Array:
    """Whether a row has nothing there: null, only white space, or messages of which one says and calls nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == chat.messages_type():
        return _has_silent_message(column)
    if column.type == pa.string() or is_json(column.type):
        return _is_blank(as_text(column))
    return pc.is_null(column)


def _is_blank(texts: pa.Array) -> pa.Array:
    """Whether a text is null or has nothing but white space."""
    import pyarrow.compute as pc

    return pc.coalesce(pc.or_(pc.utf8_is_space(texts), pc.equal(pc.binary_length(texts), scalar(0))), scalar(True))


PLAIN = re.compile(
    r"(?:\(\?[is]+\))?(?:[^\\(){}\[\]*+?]|\\[dDwWsSbBnrt]|\\[^\w\s]|\((?!\?)|\(\?:|\)|\[\^?(?:[^\\\[\]&|~-]|\\[dws]|\\[^\w\s]"
    r"|-(?!-))+\]|[*+?]\??(?![*+?{])|\{\d{1,2}(?:,\d{0,2})?\}(?![*+?{]))*"
)
"""Patterns that RE2 reads as Python does."""


def pattern_fault(pattern: str) -> str:
    """Why this is no pattern of RE2, "" when it is one. Arrow is loaded, and asked, for those that are not plain."""
    if PLAIN.fullmatch(pattern):
        try:
            re.compile(pattern)
        except re.error:
            pass  # RE2 says it in its own words
        else:
            return ""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(strings([""]), pattern)
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return ""


def contents(messages: pa.Array) -> pa.Array:
    """The text of each flat message; the texts of its parts, one per line, where it has parts."""
    import pyarrow.compute as pc

    fields = chat.children(messages)
    if fields["parts"].null_count == len(fields["parts"]):
        return fields["content"]
    joined = strings([None if text is None else _text_of_parts(decode(text)) for text in fields["parts"].to_pylist()])
    return pc.coalesce(fields["content"], joined)


def _text_of_parts(parts: list[Any]) -> str:
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


def _has_silent_message(messages: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    fields = chat.children(messages)
    silent = pc.and_(pc.is_null(fields["parts"]), pc.is_null(fields["tool_calls"]))
    some = any_message(messages, pc.and_(_is_blank(fields["content"]), silent))
    none = pc.equal(pc.coalesce(messages.value_lengths(), scalar(0)), scalar(0))
    return pc.or_(some, none)


def any_message(messages: pa.Array, mask: pa.Array) -> pa.Array:
    """Whether a row has a message for which `mask`, one value per flat message, is true."""
    found = bytearray(len(messages))
    for row in chat.parents(messages).filter(mask).to_pylist():
        found[row] = 1
    return flags(found)


def _listed(messages: pa.Array, values: pa.Array) -> pa.Array:
    """Flat values, one per message, as one list per row."""
    import pyarrow as pa

    whole = chat.compact(messages)
    return pa.Array.from_buffers(pa.list_(pa.string()), len(whole), whole.buffers()[:2], children=[values])


def _unquoted(text: str | None) -> str | None:
    return decode(text) if text is not None and text.startswith('"') else text
