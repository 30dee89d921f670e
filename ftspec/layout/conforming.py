"""Into the layout of ftspec.rows, from Python's values and Arrow batches of any types; or why that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec.layout import chat
from ftspec.layout.arrays import booleans, floats, integers, is_json, json_texts, strings
from ftspec.layout.chat import decode, messages_type, to_json
from ftspec.layout.rowcolumns import BYTES, OWN, listed

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST = 2**63
CONVERSATION = ("messages", "tools")
"""Columns that have their type from the source on, whatever is in them."""


def fault(value: Any) -> str:
    """Why a decoded value is not a row; "" when it is one."""
    if not isinstance(value, Mapping):
        return "a row must be an object with named columns"
    for name in value:
        if name in OWN:
            return f"column '{name}' is one of ftspec's own: rename it"
    given = [value.get(name) for name in ("messages", "tools")]
    messages, tools = read = [_chat(each) for each in given]
    texts = [after for before, after in zip(given, read, strict=True) if after is not before]
    if any(map(chat.is_deep, [dict(value), *texts])):
        return f"it is {chat.DEEP}"
    return chat.fault(messages) or _tools_fault(tools)


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


def from_dicts(values: Sequence[Mapping[str, Any]], conversations: Iterable[str] = ()) -> pa.RecordBatch:
    """Rows (without `fault`) as a batch. A batch cannot say how many rows without any column it has: see `_row`.

    `conversations` are columns that are of type MESSAGES where all that they hold is messages.
    """
    import pyarrow as pa

    names = list(dict.fromkeys(name for value in values for name in value))
    arrays = [cell(name, [value.get(name) for value in values], name in conversations) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def cell(name: str, values: Sequence[Any], conversations: bool = False) -> pa.Array:
    """The values of one column as the array that stands for them, with `conversations` as messages if they can."""
    if name == "messages" or (conversations and not any(map(chat.fault, values))):
        return chat.to_array([_chat(value) for value in values])
    if name == "tools":
        read = [_chat(value) for value in values]
        return strings([None if value is None else to_json(value) for value in read])
    kinds = {type(value) for value in values} - {type(None)}
    if float in kinds:
        values = [None if isinstance(value, float) and value - value != 0 else value for value in values]
    if kinds <= {str}:
        return strings(values)
    if kinds == {int} and all(value is None or -LARGEST <= value < LARGEST for value in values):
        return integers(values)
    if kinds == {float}:
        return floats(values)
    if kinds == {bool}:
        return booleans(values)
    return json_texts([None if value is None else to_json(value) for value in values])


def conform(batch: pa.RecordBatch, *, checked: bool = False) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
    """Any batch in the layout above, and (index, fault) of rows that cannot be brought into it, which it lacks.

    Arrow holds what JSON cannot: text that is not UTF-8 (unless the batch has been `checked`), dates that Python does
    not have. NaN and infinite numbers become null.
    """
    try:
        if not checked:
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
        return _finite(batch), []
    plain = [_plain(name, batch.column(index)) for index, name in enumerate(batch.schema.names)]
    values = [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*plain, strict=True)]
    faults = [(index, reason) for index, value in enumerate(values) if (reason := fault(value))]
    bad = {index for index, _ in faults}
    return from_dicts([value for index, value in enumerate(values) if index not in bad]), faults


def settled(name: str, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """A column `messages` or `tools` in the layout above, made of whatever a step has put there, and what is wrong with
    which of its values, by index; these are null."""
    plain = _plain("", values)
    faults = {at: reason for at, value in enumerate(plain) if (reason := fault({name: value}))}
    return cell(name, [None if at in faults else value for at, value in enumerate(plain)]), faults


def _finite(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with nulls for NaN and infinity: JSON has no such numbers, so another step would lose them later."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for index, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        if column.type == pa.float64():
            sound = pc.is_finite(column)
            if pc.all(sound).as_py() is False:
                batch = batch.set_column(index, name, pc.if_else(sound, column, floats([None])[0]))
    return batch


def _conforms(name: str, values: pa.Array) -> bool:
    import pyarrow as pa

    if name == "messages":
        return bool(values.type == messages_type())
    if name == "tools":
        given = values.drop_null()
        return values.type == pa.string() and all(isinstance(_chat(text), list) for text in given.to_pylist())
    return values.type in (pa.string(), pa.int64(), pa.float64(), pa.bool_()) or is_json(values.type)


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


def _plain(name: str, values: pa.Array) -> list[Any]:
    """Values that JSON knows, of any Arrow type: dates, times and decimals become text, bytes are read as UTF-8."""
    import pyarrow as pa

    if is_json(values.type) or values.type == messages_type():
        return listed(name, values)
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
