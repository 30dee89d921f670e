"""A batch's columns: the row's own, the hidden ones, and their values in Python. See ftspec.rows for the layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec.layout import chat
from ftspec.layout.arrays import is_json, repeated, scalar, strings
from ftspec.layout.chat import decode, messages_type

if TYPE_CHECKING:
    import pyarrow as pa

ROW = "_row"
SIDE = "_side"
REASON = "_reason"
"""Set by `drop`: why a row goes, null where it stays. Core takes the rows out and the column off after each step."""
BYTES = "bytes that are no text"
"""How a fault calls what a column of images, say, holds."""
PLACE = "_place"
"""Where a row stands among those that a global step gets: of batches that it looks at once more by a shuffle."""
HIDDEN = (ROW, SIDE)
OWN = frozenset({ROW, SIDE, REASON, PLACE})
"""Names that no column of a row can have. All others can, `_id` and `_source` of databases' exports among them."""


def visible(batch: pa.RecordBatch) -> list[str]:
    """Names of the columns that are the row's own."""
    return [name for name in batch.schema.names if name not in OWN]


def filled(batch: pa.RecordBatch) -> list[str]:
    """Names of the row's own columns that hold a value in some row of the batch. Over all batches these are the same
    however rows were cut, where `visible` also names columns whose rows have all been dropped."""
    return [name for name in visible(batch) if batch.column(name).null_count < batch.num_rows]


def hidden(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The hidden columns by name, for a step that makes its rows anew."""
    return {name: batch.column(name) for name in batch.schema.names if name in OWN}


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """The column, or all nulls where no row of this batch has it."""
    index = batch.schema.get_field_index(name)  # the list of all names takes long where there are thousands
    return repeated(None, batch.num_rows) if index < 0 else batch.column(index)


def values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """The column as Python values, JSON decoded; all None where no row of this batch has it."""
    return listed(name, column(batch, name))


def listed(name: str, values: pa.Array) -> list[Any]:
    """The cells of the column of this name as Python values: messages as lists of dicts, JSON decoded, null as None."""
    if values.type == messages_type():
        return chat.to_lists(values)
    if is_json(values.type):
        return [None if text is None else decode(text) for text in values.storage.to_pylist()]
    listed: list[Any] = values.to_pylist()
    return [None if text is None else decode(text) for text in listed] if name == "tools" else listed


def to_dicts(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as they would stand in JSON, without hidden columns and nulls."""
    rows: list[dict[str, Any]] = [{} for _ in range(batch.num_rows)]
    for name in visible(batch):
        for row, value in zip(rows, values(batch, name), strict=True):
            if value is not None:
                row[name] = value
    return rows


def having(batch: pa.RecordBatch, numbers: pa.Array, *, invert: bool = False) -> pa.RecordBatch:
    """The rows of the batch that have (or with `invert`: do not have) these numbers."""
    import pyarrow.compute as pc

    mask = pc.is_in(batch.column(ROW), value_set=numbers)
    return batch.filter(pc.invert(mask) if invert else mask)


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
