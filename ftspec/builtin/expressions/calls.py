"""What the functions of an expression do: to texts, to messages, and to one decoded JSON value."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ftspec import rows

if TYPE_CHECKING:
    import pyarrow as pa

NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"


def as_float(value: int | float) -> float:
    """The nearest float; infinite beyond their range."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def read_numbers(texts: pa.Array) -> pa.Array:
    """The number that each text is, spaces around it aside; null for any other text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.ascii_trim(texts, " ")
    fits = pc.match_substring_regex(trimmed, rf"\A{NUMBER}\z")
    return pc.if_else(fits, trimmed, rows.repeated(None, len(texts))).cast(pa.float64())


def read_number(value: Any) -> float | None:
    """The same of one decoded value."""
    found = re.fullmatch(NUMBER, value.strip(" "), re.ASCII) if isinstance(value, str) else None
    return float(found[0]) if found else None


def stripped(texts: pa.Array) -> pa.Array:
    """Without white space around them, as the step `strip` has it."""
    return rows.strings([None if text is None else text.strip() for text in texts.to_pylist()])


def words(texts: pa.Array) -> pa.Array:
    """How many parts each text has between runs of ASCII white space; 0 for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.coalesce(pc.count_substring_regex(texts, r"\S+").cast(pa.float64()), rows.scalar(0.0))


def inside(value: Any, key: str | float) -> Any:
    """A field of an object, an entry of a list (from its end when negative); None where there is none."""
    if isinstance(key, str):
        return value.get(key) if isinstance(value, Mapping) else None
    index = int(key)
    there = isinstance(value, list) and index == key and -len(value) <= index < len(value)
    return value[index] if there else None


def has_inside(value: Any, key: str | float) -> bool:
    """Whether it is of the kind that has such fields or entries: an object, or a list."""
    return isinstance(value, Mapping if isinstance(key, str) else list)


def may_hold(value: Any, wanted: Any) -> bool:
    """Whether it can be asked if the wanted value is in it."""
    return isinstance(value, list) or (isinstance(value, str) and isinstance(wanted, str))


def holds(value: Any, wanted: Any) -> bool | None:
    """Whether a list has the wanted entry, or a text that part."""
    if value is None:
        return None
    if isinstance(value, list):
        return any(type(each) is not bool and each == wanted for each in value)
    return wanted in value


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def differ(what: str, one: Any, other: Any) -> bool:
    """Whether two values of JSON cannot be compared: they are of different kinds, or have no order."""
    if one is None or other is None:
        return False
    return kind(one) != kind(other) or (what not in ("==", "!=") and kind(one) not in ("text", "number"))


def compare(what: str, one: Any, other: Any) -> bool | None:
    """The comparison of two values of one kind; None where one is missing."""
    if one is None or other is None:
        return None
    if kind(one) == "number":
        one, other = as_float(one), as_float(other)
    return OPERATORS[what](one, other)


def kind(value: Any) -> str:
    """Of a decoded value: text, number, truth, list or dict."""
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number" if isinstance(value, int | float) else type(value).__name__


def count(messages: pa.Array, role: str | None) -> pa.Array:
    """Messages per row, all or those of one role."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if role is None:
        lengths = messages.value_lengths()
    else:
        hits = _hits(messages, role)
        counted = rows.parents(messages).filter(hits).value_counts()
        places = pc.index_in(_indices(len(messages)), value_set=counted.field("values").cast(pa.int64()))
        lengths = counted.field("counts").take(places)
    return pc.coalesce(lengths.cast(pa.float64()), rows.scalar(0.0))


def tool_calls(messages: pa.Array) -> pa.Array:
    """Tool calls per row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = rows.children(messages)["tool_calls"]
    there = texts.is_valid()
    found = [0.0] * len(messages)
    rows_of = rows.parents(messages).filter(there).to_pylist()
    listed = rows.values(pa.RecordBatch.from_arrays([pc.drop_null(texts)], names=["tools"]), "tools")
    for row, made in zip(rows_of, listed, strict=True):
        found[row] += len(made)
    return rows.floats(found)


def roles(messages: pa.Array) -> pa.Array:
    """The roles of each row, one after the other, with spaces between: `system user assistant`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = rows.children(messages)
    blank = pa.nulls(len(fields["role"]), pa.string())
    listed = rows.as_text(rows.with_children(messages, {"content": fields["role"], "parts": blank}))
    return pc.replace_substring(listed, "\n", " ")


def said(messages: pa.Array, role: str | None = None, *, last: bool) -> pa.Array:
    """The text of each row's first or last message, of any or of one role; the empty one of a message without text.

    Null where there is no such message.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    of_rows = rows.parents(messages).cast(pa.int64())
    places = _indices(len(of_rows))
    if role is not None:
        hits = _hits(messages, role)
        of_rows, places = of_rows.filter(hits), places.filter(hits)
    if len(of_rows) == 0:
        return rows.repeated(None, len(messages))
    turns = pc.not_equal(of_rows.slice(1), of_rows.slice(0, len(of_rows) - 1))
    edge = rows.booleans([True])
    ends = pa.concat_arrays([turns, edge] if last else [edge, turns])
    of_rows, places = of_rows.filter(ends), places.filter(ends)
    wanted = places.take(pc.index_in(_indices(len(messages)), value_set=of_rows))
    return _texts(messages).take(wanted)


def _texts(messages: pa.Array) -> pa.Array:
    """The text of each flat message: its content, or the texts of its parts, one per line."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = rows.children(messages)
    parts = rows.values(pa.RecordBatch.from_arrays([fields["parts"]], names=["tools"]), "tools")
    joined = [None if each is None else "\n".join(_of_parts(each)) for each in parts]
    return pc.coalesce(fields["content"], rows.strings(joined), rows.scalar(""))


def _of_parts(parts: list[Any]) -> list[str]:
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return [text for text in texts if isinstance(text, str)]


def _hits(messages: pa.Array, role: str) -> pa.Array:
    import pyarrow.compute as pc

    return pc.coalesce(pc.equal(rows.children(messages)["role"], rows.scalar(role)), rows.scalar(False))


def _indices(count: int) -> pa.Array:
    return rows.integers(range(count))
