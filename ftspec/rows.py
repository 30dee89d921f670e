"""How rows are laid out in Arrow record batches, and helpers that step authors need too.

Before `format` a row has the source's own columns. After it: `messages` (type MESSAGES), `tools` (JSON text or null); a
preference pair also has `chosen` and `rejected` (type MESSAGES), a reinforcement item `item` (an object as JSON).
A column is text, int64, float64, boolean, or `arrow.json` (JSON text) where the values of one batch differ in type or
are lists and objects; null and missing mean the same. `messages` and `tools` have their fixed types from the source on.

Hidden columns start with an underscore, travel with the row through every step and never reach a provider's file:

* `_row`   int64, the row's number over all sources in order, from 1; the ledger speaks of rows by it
* `_side`  string, "train", "validation", "test" or "prompt": decided from the source row's content, before cleaning
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import chat, shapes
from ftspec.arrays import (
    as_numpy,
    binaries,
    booleans,
    floats,
    from_numpy,
    integers,
    is_json,
    json_texts,
    part_of,
    repeated,
    scalar,
    strings,
)
from ftspec.canonical import KEY_BYTES, fingerprints
from ftspec.chat import (
    calls_text,
    children,
    decode,
    from_children,
    interleave,
    messages_type,
    parents,
    to_json,
    with_children,
)
from ftspec.chatlines import Conversations, Part, parts
from ftspec.messages import Example, Message
from ftspec.nested import map_nested
from ftspec.rowtexts import map_text_by_row
from ftspec.shapes import Fault, apart, conversation
from ftspec.textmaps import map_text
from ftspec.texts import as_text, contents, is_empty, lengths, pattern_fault

if TYPE_CHECKING:
    import pyarrow as pa

    MESSAGES: pa.DataType

__all__ = [
    "HIDDEN", "KEY_BYTES", "MESSAGES", "PLACE", "ROW", "SIDE", "Conversations", "Fault", "Part", "apart", "as_numpy",
    "as_text", "binaries", "booleans", "calls_text", "cell", "children", "column", "conform", "contents",
    "conversation", "drop", "examples", "fault", "fingerprints", "floats", "from_children", "from_dicts", "from_numpy",
    "hidden", "integers", "interleave", "is_empty", "is_json", "json_texts", "jsonable", "lengths", "map_nested",
    "map_text", "map_text_by_row", "mention", "messages_type", "pair", "parents", "part_of", "parts", "pattern_fault",
    "repeated", "scalar", "strings", "to_dicts", "to_json", "values", "visible", "with_children",
]  # fmt: skip

ROW = "_row"
SIDE = "_side"
REASON = "_reason"
"""Set by `drop`: why a row goes, null where it stays. Core takes the rows out and the column off after each step."""
BYTES = "bytes that are no text"
"""How a fault calls what a column of images, say, holds."""
PLACE = "_place"
"""Where a row stands among those that a global step gets: of batches that it looks at once more by a shuffle."""
HIDDEN = (ROW, SIDE)
LARGEST = 2**63


def __getattr__(name: str) -> Any:
    """MESSAGES is made when first asked for: this module is loaded where pyarrow must not be."""
    if name == "MESSAGES":
        return messages_type()
    raise AttributeError(name)


def visible(batch: pa.RecordBatch) -> list[str]:
    """Names of the columns that are the row's own."""
    return [name for name in batch.schema.names if not name.startswith("_")]


def filled(batch: pa.RecordBatch) -> list[str]:
    """Names of the row's own columns that hold a value in some row of the batch. Over all batches these are the same
    however rows were cut, where `visible` also names columns whose rows have all been dropped."""
    return [name for name in visible(batch) if batch.column(name).null_count < batch.num_rows]


def hidden(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The hidden columns by name, for a step that makes its rows anew."""
    return {name: batch.column(name) for name in batch.schema.names if name.startswith("_")}


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """The column, or all nulls where no row of this batch has it."""
    return batch.column(name) if name in batch.schema.names else repeated(None, batch.num_rows)


def values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """The column as Python values, JSON decoded; all None where no row of this batch has it."""
    return _listed(name, column(batch, name))


def drop(batch: pa.RecordBatch, mask: pa.Array, reason: str) -> pa.RecordBatch:
    """Mark the rows where `mask` is true to be dropped for `reason` (a few words), unless an earlier call did.

    A step may as well filter; then the ledger only knows that the step dropped them.
    """
    import pyarrow.compute as pc

    marks = repeated(None, batch.num_rows)
    if pc.any(mask).as_py():
        marks = pc.if_else(pc.coalesce(mask, scalar(False)), scalar(reason), strings([None])[0])
    if REASON not in batch.schema.names:
        return batch.append_column(REASON, marks)
    index = batch.schema.get_field_index(REASON)
    return batch.set_column(index, REASON, pc.coalesce(batch.column(index), marks))


def mention(row: int) -> str:
    """How a finding's message speaks of another row: core puts its file and line there."""
    return f"{{row {row}}}"


def fault(value: Any) -> str:
    """Why a decoded value is not a row; "" when it is one."""
    if not isinstance(value, Mapping):
        return "a row must be an object with named columns"
    for name in value:
        if name.startswith("_") and name in (*HIDDEN, REASON):
            return f"column '{name}' is one of ftspec's own: rename it"
    given = [value.get(name) for name in ("messages", "tools")]
    messages, tools = read = [_chat(each) for each in given]
    texts = [after for before, after in zip(given, read, strict=True) if after is not before]
    if any(map(chat.is_deep, [dict(value), *texts])):
        return f"it is {chat.DEEP}"
    return chat.fault(messages) or _tools_fault(tools)


def from_dicts(values: Sequence[Mapping[str, Any]], conversations: Iterable[str] = ()) -> pa.RecordBatch:
    """Rows (without `fault`) as a batch. A batch cannot say how many rows without any column it has: see `_row`.

    `conversations` are columns that are of type MESSAGES where all that they hold is messages.
    """
    import pyarrow as pa

    names = list(dict.fromkeys(name for value in values for name in value))
    arrays = [cell(name, [value.get(name) for value in values], name in conversations) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def to_dicts(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as they would stand in JSON, without hidden columns and nulls."""
    rows: list[dict[str, Any]] = [{} for _ in range(batch.num_rows)]
    for name in visible(batch):
        for row, value in zip(rows, values(batch, name), strict=True):
            if value is not None:
                row[name] = value
    return rows


def cell(name: str, values: Sequence[Any], conversations: bool = False) -> pa.Array:
    """The values of one column as the array that stands for them, with `conversations` as messages if they can."""
    if name == "messages" or (conversations and not any(map(chat.fault, values))):
        return chat.to_array([_chat(value) for value in values])
    if name == "tools":
        return strings([None if value is None else to_json(_chat(value)) for value in values])
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {str}:
        return strings(values)
    if kinds == {int} and all(value is None or -LARGEST <= value < LARGEST for value in values):
        return integers(values)
    if kinds == {float}:
        return floats([None if value != value else value for value in values])
    if kinds == {bool}:
        return booleans(values)
    return json_texts([None if value is None else to_json(value) for value in values])


def conform(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
    """Any batch in the layout above, and (index, fault) of rows that cannot be brought into it, which it lacks.

    Arrow holds what JSON cannot: text that is not UTF-8, dates that Python does not have.
    """
    try:
        batch.validate(full=True)
        return _conform(batch)
    except (OverflowError, ValueError):
        troubles = [_trouble(batch.slice(index, 1)) for index in range(batch.num_rows)]
    left = [index for index, trouble in enumerate(troubles) if not trouble]
    made, faults = _conform(batch.take(integers(left)))
    found = [(index, trouble) for index, trouble in enumerate(troubles) if trouble]
    return made, sorted([*found, *((left[index], reason) for index, reason in faults)])


def _conform(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
    if all(_conforms(name, batch.column(index)) for index, name in enumerate(batch.schema.names)):
        return batch, []
    plain = [_plain(name, batch.column(index)) for index, name in enumerate(batch.schema.names)]
    values = [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*plain, strict=True)]
    faults = [(index, reason) for index, value in enumerate(values) if (reason := fault(value))]
    bad = {index for index, _ in faults}
    return from_dicts([value for index, value in enumerate(values) if index not in bad]), faults


def _trouble(row: pa.RecordBatch) -> str:
    """What is wrong with the first column of a row that JSON cannot hold."""
    import pyarrow as pa

    for name, values in zip(row.schema.names, row.columns, strict=True):
        cell = pa.RecordBatch.from_arrays([values], names=[name])
        try:
            cell.validate(full=True)
            _conform(cell)
        except (OverflowError, ValueError) as error:
            if not isinstance(error, UnicodeDecodeError) and "UTF8" not in str(error):
                return f"column '{name}' holds a value that JSON has no text for: {error}"
            binary = "binary" in str(values.type)
            return f"column '{name}' holds {BYTES if binary else 'text that is not UTF-8'}"
    return ""


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


def _listed(name: str, values: pa.Array) -> list[Any]:
    if values.type == messages_type():
        return chat.to_lists(values)
    if is_json(values.type):
        return [None if text is None else decode(text) for text in values.storage.to_pylist()]
    listed: list[Any] = values.to_pylist()
    return [None if text is None else decode(text) for text in listed] if name == "tools" else listed


def _chat(value: Any) -> Any:
    """`messages` and `tools` also come as the JSON text of a list; what does not parse is left for `fault`."""
    if not isinstance(value, str):
        return value
    try:
        return decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def _tools_fault(value: Any) -> str:
    return "" if value is None or isinstance(value, list) else "'tools' must be a list of tools"


def _conforms(name: str, values: pa.Array) -> bool:
    import pyarrow as pa

    if name == "messages":
        return bool(values.type == messages_type())
    if name == "tools":
        given = values.drop_null()
        return values.type == pa.string() and all(isinstance(_chat(text), list) for text in given.to_pylist())
    return values.type in (pa.string(), pa.int64(), pa.float64(), pa.bool_()) or is_json(values.type)


def _plain(name: str, values: pa.Array) -> list[Any]:
    """Values that JSON knows, of any Arrow type: dates, times and decimals become text, bytes are read as UTF-8."""
    import pyarrow as pa

    if is_json(values.type):
        return _listed(name, values)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        # What pandas writes. Python's datetime ends at microseconds.
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False)
    return [jsonable(value) for value in values.to_pylist()]


def jsonable(value: Any) -> Any:
    """A value as JSON knows it: dates, times and decimals become text, bytes are read as UTF-8."""
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [jsonable(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
