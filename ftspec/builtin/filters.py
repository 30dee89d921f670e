"""Cleaning steps that drop rows one by one, for what stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftspec import api, rows
from ftspec.builtin.columns import Columns

if TYPE_CHECKING:
    import pyarrow as pa


@api.batch_step
def drop_empty(*, columns: Columns = []) -> api.BatchStep:
    """Drop rows in which one of `columns` is missing, null or blank; without `columns`, rows where all are.

    Messages are empty when there is none, or when one of them has neither content nor tool calls.
    """
    import pyarrow.compute as pc

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        empty = [rows.is_empty(rows.column(batch, name)) for name in columns or rows.visible(batch)]
        mask = rows.repeated(not columns, batch.num_rows)
        for each in empty:
            mask = pc.or_(mask, each) if columns else pc.and_(mask, each)
        return rows.drop(batch, mask, "empty")

    return step


COMPONENTS: dict[str, api.Component] = {"drop_empty": drop_empty}
