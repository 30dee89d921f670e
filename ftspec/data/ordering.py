"""Rows in a new order, with memory for a few of them only: written into buckets on disk by place, sorted one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec import rows
from ftspec.data.spool import Spool
from ftspec.layout.arrays import integers, scalar

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 4096
"""Rows per batch that come out: how the rows came in makes no difference to what is cut where."""
BUCKET_BYTES = 32 << 20
"""About so much is sorted at a time, and gathered before it is written."""


class Sorter:
    """Takes batches with the place of each row, and gives the rows in the order of places.

    Args:
        count: how many rows there will be, at places 0 to count - 1.
        bytes: what they hold together, about.
    """

    def __init__(self, folder: Path, count: int, bytes: int) -> None:
        buckets = bytes // BUCKET_BYTES + 1
        self.bucket_rows = max(BATCH_ROWS, -(-count // buckets // BATCH_ROWS) * BATCH_ROWS)
        self.spool = Spool(folder)
        self.inside: dict[int, list[int]] = {}
        """Indices of the spool's batches that belong to a bucket."""
        self.waiting: list[pa.RecordBatch] = []
        self.held = 0

    def add(self, batch: pa.RecordBatch, places: pa.Array) -> None:
        self.waiting.append(batch.append_column(rows.PLACE, places))
        self.held += batch.nbytes
        if self.held >= BUCKET_BYTES:
            self._flush()

    def read(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order, once."""
        self._flush()
        for bucket in sorted(self.inside):
            together = in_order(of_one_schema([self.spool.batch(index) for index in self.inside[bucket]]), rows.PLACE)
            together = together.drop_columns([rows.PLACE])
            for start in range(0, together.num_rows, BATCH_ROWS):
                yield together.slice(start, BATCH_ROWS)
        self.spool.close()

    def _flush(self) -> None:
        for _, group in groupby(self.waiting, key=lambda batch: batch.schema):
            together = in_order(list(group), rows.PLACE)
            start = 0
            while start < together.num_rows:
                bucket = together.column(rows.PLACE)[start].as_py() // self.bucket_rows
                length = _below(together.column(rows.PLACE), (bucket + 1) * self.bucket_rows) - start
                self.inside.setdefault(bucket, []).append(self.spool.write(together.slice(start, length)))
                start += length
        self.waiting, self.held = [], 0


def in_order(batches: Sequence[pa.RecordBatch], name: str) -> pa.RecordBatch:
    """Batches of one schema as one, in ascending order of a column."""
    import pyarrow as pa

    return pa.concat_batches(batches).sort_by(name)


def of_one_schema(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The batches with the columns of all of them, each of one type: JSON where they differ."""
    schemas = [batch.schema for batch in batches]
    if all(schema.equals(schemas[0]) for schema in schemas):
        return list(batches)
    names = list(dict.fromkeys(name for schema in schemas for name in schema.names))
    types = {name: _one_type(name, schemas) for name in names}
    return [_with_types(batch, types) for batch in batches]


def _one_type(name: str, schemas: Sequence[pa.Schema]) -> pa.DataType:
    import pyarrow as pa

    found = {schema.field(name).type for schema in schemas if name in schema.names} - {pa.null()}
    return found.pop() if len(found) == 1 else pa.json_(pa.utf8()) if found else pa.null()


def _with_types(batch: pa.RecordBatch, types: dict[str, pa.DataType]) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [_typed(batch, name, wanted) for name, wanted in types.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(types))


def _typed(batch: pa.RecordBatch, name: str, wanted: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, wanted)
    column = batch.column(name)
    if column.type == wanted:
        return column
    if column.type == pa.null():
        return pa.nulls(batch.num_rows, wanted)
    texts = [None if value is None else rows.to_json(value) for value in rows.values(batch, name)]
    return rows.json_texts(texts)


def _below(places: pa.Array, bound: int) -> int:
    """How many of the rising places are below the bound."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.less(places, scalar(bound))).as_py())


def inverse(order: pa.Array) -> tuple[pa.Array, pa.Array]:
    """(positions, places): of row numbers in a new order, the positions rising, and the place of each in the order."""
    import pyarrow.compute as pc

    places = pc.sort_indices(order)
    return order.take(places), places.cast(integers([]).type)
