"""Cleaning steps that say which columns a row has, what they are called, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Annotated[list[api.Column], Meta(description="Columns to look at; all of them when empty.")]
Scalar = str | int | float | bool | None


def _hidden(names: Iterable[str]) -> Iterator[api.Clash]:
    for name in names:
        if not name or rows.fault({name: None}):
            why = ": that is one of ftspec's own" if name else ""
            yield ("columns",), f"a column cannot be called '{name}'{why}"


def rename_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """New names are free ones, and differ."""
    names = list(options["columns"].values())
    yield from _hidden(names)
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield ("columns",), f"two columns would be called '{name}'"


@api.batch_step(rules=[rename_rule])
def rename(*, columns: Annotated[dict[api.Column, str], Meta(min_length=1)]) -> api.BatchStep:
    """Rename columns: `old: new`. Where a row has both, the old one replaces the other.

    So rows of several files come to one name: those that have only the new one keep it.
    """

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        named = {name: batch.column(name) for name in batch.schema.names if name not in columns}
        for old, new in columns.items():
            if old in batch.schema.names:
                renamed = batch.column(old)
                named[new] = _filled("", renamed, named[new]) if new in named else renamed
        return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))

    return step


def _filled(name: str, values: pa.Array, other: pa.Array) -> pa.Array:
    """The values of a column, and where there is none those of the other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.null_count in (0, len(values)):
        return other if values.null_count else values
    if values.type == other.type and not rows.is_json(values.type) and values.type != rows.MESSAGES:
        return pc.coalesce(values, other)
    batches = [pa.RecordBatch.from_arrays([each], names=[name]) for each in (values, other)]
    pairs = zip(*(rows.values(batch, name) for batch in batches), strict=True)
    return rows.cell(name, [second if first is None else first for first, second in pairs])


@api.batch_step
def select(*, columns: Annotated[list[api.Column], Meta(min_length=1)]) -> api.BatchStep:
    """Keep only these columns."""

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select([name for name in batch.schema.names if name in columns or name in rows.hidden(batch)])

    return step


def constant_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Names are free ones, and what is put into `messages` and `tools` is messages and tools."""
    yield from _hidden(options["columns"])
    if fault := rows.fault({name: value for name, value in options["columns"].items() if not rows.fault({name: None})}):
        yield ("columns",), fault


@api.batch_step(rules=[constant_rule])
def constant(*, columns: Annotated[dict[str, Any], Meta(min_length=1)], keep: bool = False) -> api.BatchStep:
    """Give every row the same value in a column: `name: value`. The value may be text, a number, a list or an object.

    A column that is there already is replaced; with `keep`, only where a row has none or null.
    """

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        for name, value in columns.items():
            batch = put(batch, name, _given(batch, name, value, keep))
        return batch

    return step


def _given(batch: pa.RecordBatch, name: str, value: Any, keep: bool) -> pa.Array:
    """The column's new values: one for all, or only where there is none."""
    same = rows.cell(name, [value]).take(rows.repeated(0, batch.num_rows))
    return _filled(name, batch.column(name), same) if keep and name in batch.schema.names else same


def map_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """One thing is done with values that the table does not know."""
    if options["default"] is not None and options["unknown"] != "keep":
        yield ("default",), f"unknown values cannot get a default and be treated as `unknown: {options['unknown']}`"
    yield from _hidden([options["into"]] if options["into"] else [])


@api.batch_step(name="map", rules=[map_rule])
def map_(
    *,
    column: api.Column,
    values: Annotated[dict[str, Scalar], Meta(min_length=1, description="What stands there: what shall stand there.")],
    default: Annotated[Scalar, Meta(description="For values that the table lacks, and for rows without one.")] = None,
    unknown: Annotated[
        Literal["keep", "null", "drop", "fail"],
        Meta(description="What happens to values that the table lacks, where there is no default."),
    ] = "keep",
    into: Annotated[str, Meta(description="The column that gets the result; the same one when empty.")] = "",
) -> api.BatchStep:
    """Replace a column's values by a table. In a column of messages, the table is about their roles: `human: user`.

    A value is looked up as text: 1 as `1`, true as `true`, exactly, upper and lower case apart. A row that has no value
    gets the default, or is dropped or failed as unknown ones are; otherwise it stays without.
    """

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        there = rows.column(batch, column)
        texts = rows.children(there)["role"] if there.type == rows.MESSAGES else rows.as_text(there)
        if default is None and unknown in ("drop", "fail"):
            lacking = _lacking(there, texts, values)
            if unknown == "fail":
                _fail(batch, lacking, column)
            batch = rows.drop(batch, lacking, f"unknown {column}")
        if there.type == rows.MESSAGES:
            made = rows.with_children(there, {"role": _texts(texts, values, default, unknown == "keep")})
        elif _all_texts(there, values, default):
            made = _texts(texts, values, default, unknown == "keep")
        else:
            made = _values(batch, column, texts, values, default, unknown == "keep")
        return put(batch, into or column, made)

    return step


def put(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """The batch with a column set: in its place, or as a new one at the end."""
    index = batch.schema.get_field_index(name)
    return batch.append_column(name, values) if index < 0 else batch.set_column(index, name, values)


def _lacking(there: pa.Array, texts: pa.Array, values: Mapping[str, Any]) -> pa.Array:
    """Which rows have a value, or a role, that the table does not know; or none."""
    import pyarrow.compute as pc

    lacking = pc.invert(pc.is_in(texts, value_set=rows.strings(list(values))))
    if there.type != rows.MESSAGES:
        return lacking
    of_rows = rows.parents(there).filter(lacking)
    indices = rows.integers(range(len(there))).cast(of_rows.type)
    return pc.or_(pc.is_in(indices, value_set=of_rows), pc.is_null(there))


def _fail(batch: pa.RecordBatch, lacking: pa.Array, column: str) -> None:
    bad = batch.filter(lacking)
    if bad.num_rows:
        shown = rows.as_text(rows.column(bad, column)).to_pylist()
        numbers = bad.column(rows.ROW).to_pylist()
        raise api.DataError([_unknown(column, text, row) for text, row in zip(shown, numbers, strict=True)])


def _unknown(column: str, text: str | None, row: int) -> api.Finding:
    """Without the value in the message, which is kept of rows that are set aside."""
    if text is None:
        return api.Finding(message=f"the row has no '{column}'", hint="say `default` or `unknown: drop`", row=row)
    hint = f"add {text[:60]!r} to `values`, or say `default` or `unknown: drop`"
    return api.Finding(message=f"the table does not know the value of '{column}'", hint=hint, row=row)


def _all_texts(there: pa.Array, values: Mapping[str, Scalar], default: Scalar) -> bool:
    import pyarrow as pa

    return there.type == pa.string() and all(
        each is None or isinstance(each, str) for each in (*values.values(), default)
    )


def _texts(texts: pa.Array, values: Mapping[str, Any], default: Any, keep: bool) -> pa.Array:
    """One look-up per different text: the table's own, or what there was, or the default."""
    import pyarrow.compute as pc

    coded = texts.dictionary_encode()
    found = [values.get(text, text if keep and default is None else default) for text in coded.dictionary.to_pylist()]
    made = rows.strings([None if each is None else str(each) for each in found]).take(coded.indices)
    return made if default is None else pc.if_else(pc.is_null(texts), rows.scalar(str(default)), made)


def _values(
    batch: pa.RecordBatch, column: str, texts: pa.Array, values: Mapping[str, Any], default: Any, keep: bool
) -> pa.Array:
    """The same where values are of any type."""
    there = rows.values(batch, column) if keep and default is None else [default] * batch.num_rows
    return rows.cell(column, [values.get(text, old) for text, old in zip(texts.to_pylist(), there, strict=True)])


@api.row_step
def flatten(*, columns: Annotated[list[api.Column], Meta(min_length=1)], separator: str = "_") -> api.RowStep:
    """Turn objects into columns of their own: `address: {city: Rome}` becomes `address_city: Rome`.

    Where a row has a column of that name already, what the object has replaces it.
    """

    def step(row: dict[str, Any]) -> dict[str, Any] | None:
        flat = {name: value for name, value in row.items() if name not in columns}
        for name in columns:
            if name in row:
                flat.update(_entries(name, row[name], separator))
        return flat

    return step


def _entries(name: str, value: Any, separator: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, entry in value.items():
        if entry is not None:
            flat.update(_entries(f"{name}{separator}{key}", entry, separator))
    return flat


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (rename, select, constant, map_, flatten)}
