"""Cleaning steps of all four levels: text, batch, row and global. They work on columns and on `messages` alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.redact import redact

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Annotated[list[api.Column], Meta(description="Columns to look at; all of them when empty.")]
Fraction = Annotated[float, Meta(gt=0, le=1)]
SPACE = r"[\s\x0b\x1c-\x1f\x85\pZ]"


@api.text_step
def strip() -> api.Text:
    """Remove white space around every text. Texts inside tool calls and other JSON stay as they are."""
    return api.Text(str.strip, prefilter=rf"^{SPACE}|{SPACE}\z", nested=False)


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
        for name in columns or _texts(batch):
            total = pc.add(total, rows.lengths(rows.column(batch, name)))
        batch = rows.drop(batch, pc.less(total, rows.scalar(min)), f"under {min} characters")
        return batch if max is None else rows.drop(batch, pc.greater(total, rows.scalar(max)), f"over {max} characters")

    return step


def _texts(batch: pa.RecordBatch) -> list[str]:
    """Conversations where there are any; else columns that hold text in some batch: all but numbers and booleans."""
    import pyarrow as pa

    if "messages" in batch.schema.names:
        return [name for name in rows.visible(batch) if batch.schema.field(name).type == rows.MESSAGES]
    return [name for name in rows.visible(batch) if batch.schema.field(name).type == pa.string()]


@api.batch_step
def rename(*, columns: Annotated[dict[api.Column, str], Meta(min_length=1)]) -> api.BatchStep:
    """Rename columns: `old: new`. A column that already has the new name is replaced."""

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        new = {columns[name]: batch.column(name) for name in batch.schema.names if name in columns}
        old = {name: batch.column(name) for name in batch.schema.names if name not in columns and name not in new}
        named = {**old, **new}
        return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))

    return step


@api.batch_step
def select(*, columns: Annotated[list[api.Column], Meta(min_length=1)]) -> api.BatchStep:
    """Keep only these columns."""

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select([name for name in batch.schema.names if name in columns or name.startswith("_")])

    return step


@api.row_step
def flatten(*, columns: Annotated[list[api.Column], Meta(min_length=1)], separator: str = "_") -> api.RowStep:
    """Turn objects into columns of their own: `address: {city: Rome}` becomes `address_city: Rome`."""

    def step(row: dict[str, Any]) -> dict[str, Any] | None:
        flat: dict[str, Any] = {}
        for name, value in row.items():
            flat.update(_entries(name, value, separator) if name in columns else {name: value})
        return flat

    return step


def _entries(name: str, value: Any, separator: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, entry in value.items():
        flat.update(_entries(f"{name}{separator}{key}", entry, separator))
    return flat


@api.global_step
def dedupe(*, columns: Columns = []) -> api.GlobalStep:
    """Drop rows that are equal to an earlier one, in `columns` or as a whole. A row that has none of them is kept."""
    return api.GlobalStep(
        keys=lambda batch: rows.fingerprints(batch, columns), reduce=_all_but_first, reason="duplicate"
    )


def _all_but_first(keys: pa.Array, numbers: pa.Array) -> api.Dropped:
    """Keys get codes in order of appearance, so a code is new exactly where the running maximum rises."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given = pc.is_valid(keys)
    numbers = numbers.filter(given)
    codes = keys.filter(given).dictionary_encode().indices
    if len(codes) == 0:
        return api.Dropped(numbers, numbers)
    highest = pc.cumulative_max(codes)
    risen = pc.not_equal(highest.slice(1), highest.slice(0, len(highest) - 1))
    first = numbers.filter(pa.concat_arrays([rows.booleans([True]), risen]))
    because = first.take(codes)
    again = pc.not_equal(because, numbers)
    return api.Dropped(numbers.filter(again), because.filter(again))


def sample_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Either a share or a number."""
    if (options["fraction"] is None) == (options["count"] is None):
        yield (), "say either `fraction` or `count`"


@api.global_step(rules=[sample_rule])
def sample(
    *, fraction: Fraction | None = None, count: Annotated[int, Meta(ge=1)] | None = None, seed: int = 0
) -> api.GlobalStep:
    """Keep a random share or number of rows, in their order.

    Chance is a hash of `seed` and the row's content: the same rows are kept wherever they stand, and with `fraction`
    whatever other rows there are.
    """

    def keys(batch: pa.RecordBatch) -> pa.Array:
        import pyarrow.compute as pc

        return pc.coalesce(rows.fingerprints(batch, salt=f"sample {seed}"), rows.binaries([bytes(16)])[0])

    def reduce(keys: pa.Array, numbers: pa.Array) -> api.Dropped:
        dropped = _above(keys, numbers, fraction) if fraction is not None else _after(keys, numbers, count or 0)
        return api.Dropped(dropped, dropped)

    return api.GlobalStep(keys, reduce, scope="all", reason="not sampled")


def _above(keys: pa.Array, numbers: pa.Array, fraction: float) -> pa.Array:
    """Rows whose hash, as a number between 0 and 1, is not below the fraction."""
    import pyarrow.compute as pc

    if fraction >= 1:
        return numbers.slice(0, 0)
    bound = rows.binaries([int(fraction * 2**64).to_bytes(8, "big") + bytes(8)])[0]
    return numbers.filter(pc.greater_equal(keys, bound))


def _after(keys: pa.Array, numbers: pa.Array, count: int) -> pa.Array:
    """All rows but the `count` with the smallest hashes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.RecordBatch.from_arrays([keys, numbers], names=["key", "row"])
    order = pc.sort_indices(table, sort_keys=[("key", "ascending"), ("row", "ascending")])
    dropped = numbers.take(order.slice(count))
    return dropped.take(pc.sort_indices(dropped))


COMPONENTS: dict[str, api.Component] = {
    each.name: each for each in (strip, drop_empty, length, rename, select, flatten, redact, dedupe, sample)
}
