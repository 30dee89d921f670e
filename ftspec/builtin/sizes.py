"""How long a row may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.columns import Columns

if TYPE_CHECKING:
    import pyarrow as pa


def length_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """The smallest length must not be above the largest."""
    if options["max"] is not None and options["min"] > options["max"]:
        yield ("min",), f"min ({options['min']}) is above max ({options['max']}): every row would be dropped"


@api.batch_step(rules=[length_rule])
def length(
    *, columns: Columns = [], min: Annotated[int, Meta(ge=0)] = 0, max: Annotated[int, Meta(ge=1)] | None = None
) -> api.BatchStep:
    """Drop rows with fewer than `min` or more than `max` characters, over all `columns` together.

    Without `columns`, the contents of `messages` count (and of the answers of a preference pair), or every text column
    of rows that have none.
    """
    import pyarrow.compute as pc

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        total = rows.repeated(0, batch.num_rows)
        for name in columns or counted_columns(batch):
            total = pc.add(total, rows.lengths(rows.column(batch, name)))
        batch = rows.drop(batch, pc.less(total, rows.scalar(min)), f"under {min} characters")
        return batch if max is None else rows.drop(batch, pc.greater(total, rows.scalar(max)), f"over {max} characters")

    return step


def counted_columns(batch: pa.RecordBatch) -> list[str]:
    """Conversations where there are any; else columns that hold text in some batch: all but numbers and booleans."""
    import pyarrow as pa

    if "messages" in batch.schema.names:
        return [name for name in rows.visible(batch) if batch.schema.field(name).type == rows.MESSAGES]
    return [name for name in rows.visible(batch) if batch.schema.field(name).type == pa.string()]


COMPONENTS: dict[str, api.Component] = {"length": length}
