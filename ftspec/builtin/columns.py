"""Cleaning steps that say which columns a row has, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from ftspec import api

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Annotated[list[api.Column], Meta(description="Columns to look at; all of them when empty.")]


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


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (rename, select, flatten)}
