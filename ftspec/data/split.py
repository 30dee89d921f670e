"""Which rows train, which validate, which test: decided by a hash of the row as its source holds it.

So a row never changes sides when others come or go, when its file is reordered or reformatted, or when a cleaning step
is edited; only the seed moves it. Test takes the lowest hashes and validation the highest: growing one share takes
rows from training, never from the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftspec import rows
from ftspec.common.errors import Finding
from ftspec.spec import Split

if TYPE_CHECKING:
    import pyarrow as pa


def side_of_source(split: Split, identity: str) -> str | None:
    """The side that a whole source is on because the split names it; None when its rows are divided."""
    if identity and split.test == identity:
        return "test"
    return "validation" if identity and split.validation == identity else None


def assign(batch: pa.RecordBatch, split: Split) -> tuple[pa.RecordBatch, list[Finding]]:
    """Fill in `_side` where it is null; a Finding for each row that has nothing to be split by."""
    import pyarrow.compute as pc

    test, validation = (share if isinstance(share, float | int) else 0.0 for share in (split.test, split.validation))
    index = batch.schema.get_field_index(rows.SIDE)
    given = batch.column(index)
    if not (test or validation) or given.null_count == 0:
        return batch.set_column(index, rows.SIDE, pc.coalesce(given, rows.scalar("train"))), []
    keys = _keys(batch, split)
    sides = rows.strings([_side(key, test, validation) for key in keys.to_pylist()])
    undecided = pc.and_(pc.is_null(keys), pc.is_null(given)) if split.by else rows.repeated(False, batch.num_rows)
    numbers = batch.column(rows.ROW).filter(undecided).to_pylist()
    message = f"the row has no '{split.by}', by which rows are split"
    hint = "drop such rows, or split by content"
    if split.by and split.by not in batch.schema.names:
        hint = f"columns are {', '.join(map(repr, sorted(rows.visible(batch))))}"
    found = [Finding(message=message, hint=hint, row=number) for number in numbers]
    return batch.set_column(index, rows.SIDE, pc.coalesce(given, sides)), found


def _keys(batch: pa.RecordBatch, split: Split) -> pa.Array:
    if split.by and split.by not in batch.schema.names:
        return rows.binaries([None] * batch.num_rows)
    return rows.fingerprints(batch, [split.by] if split.by else [], f"split {split.seed}")


def _side(key: bytes | None, test: float, validation: float) -> str:
    """A row without a key trains: it has no content, or is reported anyway."""
    if key is None:
        return "train"
    chance = int.from_bytes(key[:8], "big") / 2**64
    if chance < test:
        return "test"
    return "validation" if chance >= 1 - validation else "train"
