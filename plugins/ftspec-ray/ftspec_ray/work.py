"""What runs on Ray's workers: unpack the work and an item, do it, pack what came of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec import rows

if TYPE_CHECKING:
    import pyarrow as pa


Tables = Callable[["pa.Table"], "pa.Table"]


class Raised(NamedTuple):
    """An exception in a result's place: the driver raises it."""

    error: Exception


@lru_cache(maxsize=8)
def unpickled(work: bytes) -> Any:
    """A worker builds the steps of its work once, not for every batch."""
    return pickle.loads(work)  # noqa: S301  # what the driver packed


def mapped(work: bytes) -> Tables:
    """Of a table with one packed `item` per row, one packed `result` per row."""

    def map_items(table: pa.Table) -> pa.Table:
        items = (pickle.loads(item.as_buffer()) for item in table.column("item"))  # noqa: S301
        return _results([_packed(unpickled(work), item) for item in items])

    return map_items


def reduced(work: bytes) -> Tables:
    """Of the keys of one part, with their rows and places, the packed result of a reduction."""

    def reduce_part(table: pa.Table) -> pa.Table:
        part = table.sort_by("place").select(["key", "row", "place"]).combine_chunks()
        return _results([_packed(unpickled(work), batch) for batch in part.to_batches()])

    return reduce_part


def packed_item(item: Any) -> pa.Table:
    return _table("item", [pickle.dumps(item, protocol=5)])


def unpacked(result: bytes) -> Any:
    """The result; raises what stands in its place."""
    found = pickle.loads(result)  # noqa: S301
    if isinstance(found, Raised):
        raise found.error
    return found


def with_part(keys: pa.RecordBatch, parts: int) -> pa.RecordBatch:
    """The batch with the number of each key's part."""
    return keys.append_column("part", rows.part_of(keys.column("key"), parts))


def _packed(work: Callable[[Any], Any], item: Any) -> bytes:
    try:
        found = work(item)
    except Exception as error:
        found = Raised(error)
    return pickle.dumps(found, protocol=5)


def _results(packed: list[bytes]) -> pa.Table:
    return _table("result", packed)


def _table(name: str, values: list[bytes]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_arrays([rows.binaries(values).cast(pa.large_binary())], names=[name])
