"""Rows that need no format: those that are in a shape which is known, brought into the columns of formatted rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftspec import rows
from ftspec.common.errors import PluginError
from ftspec.layout import chat, dialects, shapes
from ftspec.layout.shapes import Shape

if TYPE_CHECKING:
    import pyarrow as pa

CONVERSATIONS = ("messages", *shapes.ANSWERS)
ONLY = (*shapes.ANSWERS, "item")
"""Columns of some shapes and not of all: in rows of another they are nobody's."""


def read(batch: pa.RecordBatch, shape: Shape) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
    """The batch with the columns of the shape made of what its rows hold, and (index, fault) of rows that it lacks,
    because they hold something else. Every other column stays; conversations need nothing done."""
    if shapes.is_read(batch, shape):
        return batch, []
    own = [name for name in shapes.READ[shape] if name in batch.schema.names]
    made, faults = _converted({name: rows.values(batch, name) for name in own}, batch.num_rows, shape)
    bad = {index for index, _ in faults}
    if bad:
        batch = batch.filter(rows.booleans([index not in bad for index in range(batch.num_rows)]))
    names = list(dict.fromkeys([*_conversations(shape), *(name for row in made for name in row)]))
    columns = {name: batch.column(name) for name in batch.schema.names if name not in own}
    columns |= {name: _column(name, [row.get(name) for row in made]) for name in names}
    return _batch(columns), faults


BLOCKS = (
    r'"type":\s*"(tool_use|tool_result|thinking|redacted_thinking|image)"|'
    r'\{\s*"(text|toolUse|toolResult|image|reasoningContent|cachePoint)":'
)
"""What the parts of a message are searched for: whether they may be of another provider's shape than OpenAI's."""


def read_dialects(batch: pa.RecordBatch, read_as: str) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
    """The batch with `messages` and `tools` made of other shapes of conversations (see dialects), and (index,
    fault) of rows that it lacks, because they are not of the shape that `read_as` names. Made row by row."""
    wanted = _in_dialect(batch) if read_as == "auto" else list(range(batch.num_rows))
    if read_as == "none" or not wanted:
        return batch, []
    told_by = [name for name in batch.schema.names if name in (*dialects.COLUMNS, *dialects.MEDIA)]
    values = {name: rows.values(batch, name) for name in told_by}
    columns = {name: list(values.get(name, [None] * batch.num_rows)) for name in (*told_by, "messages", "tools")}
    faults: list[tuple[int, str]] = []
    changed = False
    for index in wanted:
        row = {name: column[index] for name, column in values.items() if column[index] is not None}
        try:
            found = dialects.told(row) if read_as == "auto" else dialects.read(row, read_as)
        except shapes.Fault as fault:
            faults.append((index, f"the row cannot be read as {read_as}: {fault}"))
            continue
        changed = changed or found is not None
        for name in found[1] if found else ():
            if name in columns:
                columns[name][index] = None
        for name, value in (found[0] if found else {}).items():
            columns[name][index] = value
    return _replaced(batch, columns if changed else {}, {index for index, _ in faults}), faults


def _replaced(batch: pa.RecordBatch, columns: dict[str, list[Any]], bad: set[int]) -> pa.RecordBatch:
    """The batch with other values in some columns (none of those that hold nothing), without the bad rows."""
    named = {name: batch.column(name) for name in batch.schema.names}
    for name, values in columns.items():
        named.pop(name, None)
        if any(value is not None for value in values):
            named[name] = rows.cell(name, values)
    made = _batch(named)
    return made.filter(rows.booleans([index not in bad for index in range(batch.num_rows)])) if bad else made


def _in_dialect(batch: pa.RecordBatch) -> list[int]:
    """Rows that may be of another shape: those without messages, and those that have something else besides."""
    import pyarrow.compute as pc

    names = batch.schema.names
    marks = [name for name in dialects.MARKS if name in names]
    if "messages" not in names:
        return list(range(batch.num_rows)) if marks else []
    messages = batch.column("messages")
    found = set(pc.indices_nonzero(messages.is_null()).to_pylist()) if marks else set()
    for name in marks:
        if rows.is_json(batch.column(name).type):
            found |= set(pc.indices_nonzero(batch.column(name).is_valid()).to_pylist())
    parts = chat.children(messages)["parts"]
    if parts.null_count < len(parts):
        hits = pc.coalesce(pc.match_substring_regex(parts, BLOCKS), rows.scalar(False))
        found |= set(chat.parents(messages).filter(hits).to_pylist())
    return sorted(found)


def _converted(
    values: dict[str, list[Any]], count: int, shape: Shape
) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    made, faults = [], []
    convert = shapes.pair if shape == "preference" else shapes.item
    for index in range(count):
        row = {name: column[index] for name, column in values.items() if column[index] is not None}
        try:
            made.append(convert(row))
        except shapes.Fault as fault:
            faults.append((index, str(fault)))
    return made, faults


def as_shape(batch: pa.RecordBatch, shape: Shape) -> pa.RecordBatch:
    """Rows that were `read` as if a format had made them: the columns of their shape, and the hidden ones."""
    columns = {name: _made(batch, name) for name in shapes.COLUMNS[shape]}
    return _batch({**columns, **rows.hidden(batch)})


def _made(batch: pa.RecordBatch, name: str) -> pa.Array:
    import pyarrow as pa

    if name == "item":
        return items(batch)
    if name in CONVERSATIONS and name not in batch.schema.names:
        return pa.nulls(batch.num_rows, rows.messages_type())
    return rows.column(batch, name)


def items(batch: pa.RecordBatch) -> pa.Array:
    """What graders of a reinforcement item look at: every column but its messages and tools, as JSON."""
    left_out = ("messages", "tools")
    kept = ({name: row[name] for name in sorted(row) if name not in left_out} for row in rows.to_dicts(batch))
    return rows.json_texts([rows.to_json(row) for row in kept])


def verify(who: str, batch: pa.RecordBatch, shape: Shape) -> None:
    """Raise PluginError unless a format has made every column of its shape, each of its type."""
    for name in (*_conversations(shape), *(("item",) if shape == "reinforcement" else ())):
        wanted = "JSON" if name == "item" else "rows.MESSAGES"
        made = batch.schema.field(name).type if name in batch.schema.names else None
        if made is None or not (rows.is_json(made) if name == "item" else made == rows.messages_type()):
            raise PluginError(f"{who} must make a column `{name}` of type {wanted}")


def _conversations(shape: Shape) -> list[str]:
    return [name for name in shapes.COLUMNS[shape] if name in CONVERSATIONS]


def _column(name: str, values: list[Any]) -> pa.Array:
    return chat.to_array(values) if name in CONVERSATIONS else rows.cell(name, values)


def _batch(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
