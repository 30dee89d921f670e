"""What runs on Ray's workers: unpack the work and an item, do it, pack what came of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa


MULTIPLIER = 0x9E3779B97F4A7C15
"""2**64 over the golden ratio: Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, 6.4)."""

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
        return _results([_packed(lambda item: unpickled(work)(item), item) for item in items])

    return map_items


def applied(work: bytes, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """What the work makes of a batch, and its bytes."""
    made = unpickled(work)(batch)
    return made, made.nbytes


def split(parts: int, *batches: pa.RecordBatch) -> list[pa.RecordBatch]:
    """The rows of each part, by their key."""
    import numpy as np
    import pyarrow as pa

    whole = pa.concat_batches(batches)
    which = rows.as_numpy(part_of(whole.column("key"), parts))
    order = np.argsort(which, kind="stable")
    ordered = which[order]
    bounds = [int(np.searchsorted(ordered, part)) for part in range(parts + 1)]
    return [whole.take(rows.from_numpy(order[start:end])) for start, end in pairwise(bounds)]


def together(work: bytes, counts: list[int], *batches: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """What the work makes of a part, whose first counts[0] batches belong to the first input, and so on."""
    import pyarrow as pa

    waiting = iter(batches)
    made = unpickled(work)([pa.concat_batches(list(islice(waiting, count))) for count in counts])
    return made, made.nbytes


class InOrder:
    """A reduction, on the rows of a part in the order of their places."""

    def __init__(self, work: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        self.work = work

    def __call__(self, part: list[pa.RecordBatch]) -> pa.RecordBatch:
        import pyarrow as pa

        (batch,) = part
        if not batch.num_rows:
            nothing = batch.column("row")
            return pa.RecordBatch.from_arrays([nothing, nothing], names=["row", "because"])
        return self.work(batch.sort_by("place"))


def part_of(keys: pa.Array, parts: int) -> pa.Array:
    """Of each key the number of its part. Integers, which may be many, are spread by their lower and upper bits."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_integer(keys.type):
        return rows.part_of(keys, parts)
    numbers = rows.as_numpy(keys.fill_null(0)).astype(np.uint64) * np.uint64(MULTIPLIER)
    return rows.from_numpy(((numbers >> np.uint64(32)) % np.uint64(parts)).astype(np.int64))


def packed_item(item: Any) -> pa.Table:
    return _table("item", [pickle.dumps(item, protocol=5)])


def unpacked(result: bytes) -> Any:
    """The result; raises what stands in its place."""
    found = pickle.loads(result)  # noqa: S301
    if isinstance(found, Raised):
        raise found.error
    return found


def _packed(work: Callable[[Any], Any], item: Any) -> bytes:
    try:
        found = work(item)
    except Exception as error:
        found = Raised(_of_this_machine(error))
    return pickle.dumps(found, protocol=5)


def _of_this_machine(error: Exception) -> Exception:
    """A file that is not here is on the driver's machine, where it was looked at before: say where it lacks."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, FileNotFoundError):
        cause = cause.__cause__
    if cause is None:
        return error
    import ray

    message = f"there is no '{cause.filename}' on {ray.util.get_node_ip_address()}"
    return api.FtspecError(message, "a file that a step names has to be on every machine of the cluster, at this path")


def _results(packed: list[bytes]) -> pa.Table:
    return _table("result", packed)


def _table(name: str, values: list[bytes]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_arrays([rows.binaries(values).cast(pa.large_binary())], names=[name])
