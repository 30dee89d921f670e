"""Characters and tokens of rows, which are counted only where a bound by bytes does not decide already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa


def counted_columns(batch: pa.RecordBatch) -> list[str]:
    """Conversations where there are any; else columns that hold text in some batch: all but numbers and booleans."""
    import pyarrow as pa

    if "messages" in batch.schema.names:
        return [name for name in rows.visible(batch) if batch.schema.field(name).type == rows.MESSAGES]
    return [name for name in rows.visible(batch) if batch.schema.field(name).type == pa.string()]


def characters(columns: list[str], least: int, most: int | None) -> Callable[[pa.RecordBatch], pa.Array]:
    """Characters per row, over all columns; bytes of one that cannot have fewer than `least` or more than `most`."""

    def sizes(batch: pa.RecordBatch) -> pa.Array:
        import pyarrow.compute as pc

        said = [rows.column(batch, name) for name in columns or counted_columns(batch)]
        total = _total(said, batch.num_rows, of_bytes=True)
        # A character has one byte to four.
        unsure = pc.less(total, rows.scalar(4 * least))
        if most is not None:
            unsure = pc.or_(unsure, pc.greater(total, rows.scalar(most)))
        if count := unsure.true_count:
            exact = _total([column.filter(unsure) for column in said], count, of_bytes=False)
            total = pc.replace_with_mask(total, unsure, exact)
        return total

    return sizes


def _total(columns: list[pa.Array], count: int, *, of_bytes: bool) -> pa.Array:
    import pyarrow.compute as pc

    total = rows.repeated(0, count)
    for column in columns:
        total = pc.add(total, rows.lengths(column, of_bytes=of_bytes))
    return total


def tokens(
    tokenizer: api.Tokenizer, columns: list[str], least: int, most: int | None
) -> Callable[[pa.RecordBatch], pa.Array]:
    """Tokens per row; of one that cannot have more than `most`, where no row can be too short, perhaps a bound."""
    frame = _frame(tokenizer)
    limit = most if most is not None and least == 0 else -1

    def sizes(batch: pa.RecordBatch) -> pa.Array:
        if not columns and "messages" in batch.schema.names:
            return _of_conversations(tokenizer, batch, limit, frame)
        return _of_texts(tokenizer, [rows.column(batch, name) for name in columns or counted_columns(batch)], limit)

    return sizes


def _of_texts(tokenizer: api.Tokenizer, columns: list[pa.Array], limit: int) -> pa.Array:
    texts = [rows.as_text(column) for column in columns]
    count = len(texts[0]) if texts else 0
    made = [0] * count
    bounds = _bytes(texts, count)
    for index, size in enumerate(bounds):
        made[index] = int(size * tokenizer.per_byte) + len(texts)
    suspects = [index for index, bound in enumerate(made) if bound > limit]
    for index in suspects:
        made[index] = 0
    for column in texts:
        said = [text or "" for text in column.take(rows.integers(suspects)).to_pylist()]
        for index, number in zip(suspects, tokenizer.counts(said), strict=True):
            made[index] += number
    return rows.integers(made)


def _of_conversations(
    tokenizer: api.Tokenizer, batch: pa.RecordBatch, limit: int, frame: tuple[int, int] | None
) -> pa.Array:
    """As training sees them; by their texts alone where the model cannot take a row, which the tuner refuses later."""
    import pyarrow.compute as pc

    names = [name for name in counted_columns(batch) if name in ("messages", "chosen", "rejected")]
    columns = [batch.column(name) for name in names]
    bounds = [-1] * batch.num_rows if frame is None else _bounds(tokenizer, batch, columns, frame)
    suspects = [index for index, bound in enumerate(bounds) if not 0 <= bound <= limit]
    some = batch.take(rows.integers(suspects))
    alone: list[int] | None = None
    for place, (index, example) in enumerate(zip(suspects, rows.examples(some), strict=True)):
        counted = tokenizer.row(example) if example.messages else (0, 0)
        if counted is None:
            there = [pc.take(each, rows.integers(suspects)) for each in columns]
            alone = alone or _of_texts(tokenizer, there, -1).to_pylist()
        bounds[index] = alone[place] if counted is None and alone else counted[0] if counted else 0
    return rows.integers(bounds)


def _bounds(
    tokenizer: api.Tokenizer, batch: pa.RecordBatch, columns: list[pa.Array], frame: tuple[int, int]
) -> list[int]:
    """Most tokens that a row can have; -1 where it has tools, calls or parts, of which a template may make anything."""
    start, each = frame
    bytes_of = _bytes([rows.as_text(column) for column in columns], batch.num_rows)
    bounds = [int(size * tokenizer.per_byte) + 2 * start for size in bytes_of]
    for column in columns:
        for index, number in enumerate(column.value_lengths().to_pylist()):
            bounds[index] += 2 * each * (number or 0)
        fields = rows.children(column)
        odd = {name: fields[name].is_valid() for name in ("tool_calls", "parts", "name", "tool_call_id", "extra")}
        for mask in odd.values():
            for index in rows.parents(column).filter(mask).to_pylist():
                bounds[index] = -1
    tools = rows.column(batch, "tools").is_valid().to_pylist()
    return [-1 if has_tools else bound for has_tools, bound in zip(tools, bounds, strict=True)]


def _frame(tokenizer: api.Tokenizer) -> tuple[int, int] | None:
    """What the template adds: (tokens of a short row, those of one more message); None where it takes no such row."""
    short = [api.Message(role="user", content="a"), api.Message(role="assistant", content="a")]
    one, two = tokenizer.row(api.Example(messages=short)), tokenizer.row(api.Example(messages=short * 2))
    return None if one is None or two is None else (one[0], two[0] - one[0])


def _bytes(texts: list[pa.Array], count: int) -> list[int]:
    import pyarrow.compute as pc

    total = [0] * count
    for column in texts:
        for index, size in enumerate(pc.binary_length(column).to_pylist()):
            total[index] += size or 0
    return total
