"""What columns are expected to hold: a small suite, one line per column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.bounds import percent

if TYPE_CHECKING:
    import pyarrow as pa

Scalar = str | int | float | bool
Bound = float | int | str | None
Type = Literal["text", "integer", "number", "boolean", "list", "object", "messages"]
Side = Literal["train", "validation", "test", "prompt"]
Bounds = Annotated[list[Bound], Meta(min_length=2, max_length=2)]
SHOWN = 5
"""Rows per expectation whose value is shown: the first ones, however rows are cut into batches."""


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one column holds. Null and missing mean the same, and only `not_null` and `unique` look at them.

    Args:
        type: what kind of value. A cell of a CSV file is text, unless the source gives it a type.
        not_null: every row has a value.
        unique: no value stands twice; rows without one are left alone.
        in_set: one of these values; 1 and 1.0 are the same, 1 and true or "1" are not.
        matches: a pattern (RE2) that is found in the text; anchor it with ^ and $ for the whole.
        between: lowest and highest value, both allowed, null for an open end; numbers, or texts in their order (dates
            as ISO writes them).
        length: fewest and most characters of the text, or of all messages together.
        mostly: share of the rows with a value that have to hold it; `unique` always means every row.
    """

    type: Type | None = None
    not_null: bool = False
    unique: bool = False
    in_set: Annotated[list[Scalar], Meta(min_length=1)] | None = None
    matches: str | None = None
    between: Bounds | None = None
    length: Annotated[list[Annotated[int, Meta(ge=0)] | None], Meta(min_length=2, max_length=2)] | None = None
    mostly: Annotated[float, Meta(gt=0, le=1)] = 1.0


class Failed(NamedTuple):
    """Of a batch: how many rows were looked at, and the numbers of those that do not hold, with some values."""

    looked: int
    numbers: pa.Array
    values: list[str]


class Looked(NamedTuple):
    """A batch's part: `failed` by (column, expectation), and the `keys` of unique columns with their rows' numbers."""

    columns: tuple[str, ...]
    failed: dict[tuple[str, str], Failed]
    keys: dict[str, tuple[pa.Array, pa.Array]]


def expectations_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Something is expected of every column, patterns are RE2's, and bounds are in order and of one kind."""
    for name, wanted in options["columns"].items():
        wanted = msgspec.convert(wanted, Expectation) if isinstance(wanted, Mapping) else wanted
        if not _tests(wanted) and not wanted.unique:
            yield ("columns", name), f"nothing is expected of '{name}': say e.g. `not_null: true`"
        if wanted.matches is not None and (fault := rows.pattern_fault(wanted.matches)):
            yield ("columns", name, "matches"), f"not an RE2 pattern: {fault}"
        for key, bounds in (("between", wanted.between), ("length", wanted.length)):
            if bounds is not None and (fault := _bounds_fault(*bounds)):
                yield ("columns", name, key), fault


def _bounds_fault(low: Any, high: Any) -> str:
    if low is None and high is None:
        return "both ends are open: leave it out"
    if low is None or high is None:
        return ""
    if isinstance(low, str) != isinstance(high, str):
        return "the ends must both be numbers, or both texts"
    return "" if low <= high else f"{low} is above {high}: the lower end comes first"


@api.check(rules=[expectations_rule])
def expect(
    *,
    columns: Annotated[dict[str, Expectation], Meta(min_length=1)],
    sides: Annotated[list[Side], Meta(min_length=1, description="Rows that are looked at.")] = [
        "train",
        "validation",
        "test",
    ],
) -> api.Check:
    """Say what the columns hold that the cleaning leaves, before `format` makes messages of them.

    Each column's line names what is expected: `category: {not_null: true, in_set: [payment, delivery]}`. Rows that do
    not hold are named by file and line; a column that no row has is a finding too.
    """
    tests = {name: _tests(wanted) for name, wanted in columns.items()}

    def measure(batch: pa.RecordBatch) -> Looked:
        import pyarrow.compute as pc

        batch = batch.filter(pc.is_in(batch.column(rows.SIDE), value_set=rows.strings(sides)))
        failed = {
            (name, said): _failed(batch, name, said, test)
            for name, wanted in tests.items()
            for said, test in wanted.items()
        }
        keys = {name: _keys(batch, name) for name, wanted in columns.items() if wanted.unique}
        there = [name for name in rows.visible(batch) if batch.column(name).null_count < batch.num_rows]
        return Looked(tuple(there), failed, keys)

    def judge(measured: Iterable[Looked]) -> Iterator[api.Finding]:
        parts = list(measured)
        known = sorted({name for part in parts for name in part.columns})
        for name, wanted in columns.items():
            if name not in known:
                message, hint = f"no row has a column '{name}'", f"columns are {', '.join(map(repr, known))}"
                yield api.SpecFinding(message=message, hint=hint, path=("columns", name))
                continue
            for said in tests[name]:
                yield from _judged(name, said, [part.failed[name, said] for part in parts], wanted.mostly)
            if wanted.unique:
                yield from _repeated(name, [part.keys[name] for part in parts])

    return api.Check(measure, judge, before_format=True)


# ---- tests of one value

Test = Callable[["pa.Array"], "pa.Array"]
"""A column's values → whether each holds; null where there is none."""


def _tests(wanted: Expectation) -> dict[str, Test]:
    """What is tested of each value, by how a finding says that it does not hold."""
    found: dict[str, Test] = {}
    if wanted.not_null:
        found["is null"] = _valid
    if wanted.type:
        kind = wanted.type
        found[f"is not of type {kind}"] = lambda column: _of_type(column, kind)
    if wanted.in_set is not None:
        allowed = {_marked(value) for value in wanted.in_set}
        found[f"is none of {_listed(wanted.in_set)}"] = lambda column: _each(column, lambda v: _marked(v) in allowed)
    if wanted.matches is not None:
        pattern = wanted.matches
        found[f"does not match {pattern!r}"] = lambda column: _matching(column, pattern)
    if wanted.between is not None:
        low, high = wanted.between
        found[f"is not {_range(low, high)}"] = lambda column: _each(column, lambda v: _within(v, low, high))
    if wanted.length is not None:
        least, most = wanted.length
        found[f"has not {_range(least, most)} characters"] = lambda column: _long(column, least, most)
    return found


def _valid(column: pa.Array) -> pa.Array:
    return column.is_valid()


def _of_type(column: pa.Array, kind: Type) -> pa.Array:
    if column.type == rows.MESSAGES:
        return _same(column, kind in ("messages", "list"))
    return _each(column, lambda value: _is(value, kind))


def _is(value: Any, kind: Type) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds: dict[str, Any] = {"text": str, "integer": int, "number": (int, float), "list": list, "object": dict}
    return kind in kinds and isinstance(value, kinds[kind])


def _matching(column: pa.Array, pattern: str) -> pa.Array:
    import pyarrow.compute as pc

    return pc.match_substring_regex(rows.as_text(column), pattern)


def _long(column: pa.Array, least: int | None, most: int | None) -> pa.Array:
    import pyarrow.compute as pc

    size = pc.if_else(column.is_valid(), rows.lengths(column), rows.integers([None])[0])
    enough = pc.greater_equal(size, rows.scalar(least or 0))
    return enough if most is None else pc.and_(enough, pc.less_equal(size, rows.scalar(most)))


def _within(value: Any, low: Bound, high: Bound) -> bool:
    kind = str if isinstance(low, str) or isinstance(high, str) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return (low is None or value >= low) and (high is None or value <= high)  # type: ignore[operator]


def _marked(value: Any) -> tuple[str, Any]:
    """Equal exactly where the values are the same in JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", value
    return ("text", value) if isinstance(value, str) else ("json", rows.to_json(value))


def _each(column: pa.Array, test: Callable[[Any], bool]) -> pa.Array:
    """The test of every value; called once per distinct one where the column's type can tell them apart."""
    import pyarrow as pa

    if column.type == rows.MESSAGES or rows.is_json(column.type):
        batch = pa.RecordBatch.from_arrays([column], names=["column"])
        return rows.booleans([None if value is None else test(value) for value in rows.values(batch, "column")])
    coded = column.dictionary_encode()
    held = rows.booleans([test(value) for value in coded.dictionary.to_pylist()])
    return held.take(coded.indices)


def _same(column: pa.Array, held: bool) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(column.is_valid(), rows.scalar(held), rows.booleans([None])[0])


# ---- batches, and all of them


def _failed(batch: pa.RecordBatch, name: str, said: str, test: Test) -> Failed:
    import pyarrow.compute as pc

    column = rows.column(batch, name)
    held = test(column) if name in batch.schema.names else None
    if held is None:
        lacking = batch.num_rows if said == "is null" else 0
        return Failed(lacking, batch.column(rows.ROW).slice(0, lacking), ["null"] * min(SHOWN, lacking))
    wrong = pc.coalesce(pc.invert(held), rows.scalar(False))
    shown = batch.select([name]).filter(wrong).slice(0, SHOWN)
    return Failed(
        len(held) - held.null_count,
        batch.column(rows.ROW).filter(wrong),
        [_short(value) for value in rows.values(shown, name)],
    )


def _keys(batch: pa.RecordBatch, name: str) -> tuple[pa.Array, pa.Array]:
    import pyarrow.compute as pc

    keys = rows.fingerprints(batch.select([name]) if name in batch.schema.names else batch, [name])
    valid = pc.and_(keys.is_valid(), rows.column(batch, name).is_valid())
    return keys.filter(valid).cast("binary"), batch.column(rows.ROW).filter(valid)


def _judged(name: str, said: str, parts: list[Failed], mostly: float) -> Iterator[api.Finding]:
    """A finding per row that does not hold, or where some may not, one with the share and a few rows."""
    looked, wrong = sum(part.looked for part in parts), sum(len(part.numbers) for part in parts)
    if not wrong or (looked - wrong) / looked >= mostly:
        return
    message = f"column '{name}' {said}"
    if mostly < 1:
        share = (looked - wrong) / looked
        yield api.Finding(
            message=f"{message} in {wrong:,} of {looked:,} rows: {percent(share, mostly)} hold, "
            f"at least {percent(mostly, share)} must",
            hint="clean such rows, or expect less",
        )
    named = 0
    for part in parts:
        for index, number in enumerate(part.numbers.to_pylist()):
            if named >= SHOWN and mostly < 1:
                return
            value = part.values[index] if named < SHOWN else "null"
            hint = "mend the data, or drop such rows" if value == "null" else f"here it is {value}"
            yield api.Finding(message=message, hint=hint, row=number)
            named += 1


def _repeated(name: str, parts: list[tuple[pa.Array, pa.Array]]) -> Iterator[api.Finding]:
    """One finding per row whose value an earlier one has. Only values that repeat become Python objects."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not parts:
        return
    keys, numbers = (pa.concat_arrays(list(column)) for column in zip(*parts, strict=True))
    counted = keys.value_counts()
    twice = counted.field("values").filter(pc.greater(counted.field("counts"), rows.scalar(1)))
    suspect = pc.is_in(keys, value_set=twice)
    first: dict[bytes, int] = {}
    for key, number in zip(keys.filter(suspect).to_pylist(), numbers.filter(suspect).to_pylist(), strict=True):
        if first.setdefault(key, number) != number:
            yield api.Finding(
                message=f"column '{name}' has a value that stands twice",
                hint=f"{rows.mention(first[key])} has it first",
                row=number,
            )


def _range(low: Any, high: Any) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"between {low} and {high}"


def _listed(values: list[Scalar]) -> str:
    said = [_short(value) for value in values[:6]]
    return ", ".join(said) + (f" and {len(values) - 6} more" if len(values) > 6 else "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else "null" if value is None else rows.to_json(value)
    return (
        f"'{text[:40]}{'…' * (len(text) > 40)}'" if isinstance(value, str) else f"{text[:40]}{'…' * (len(text) > 40)}"
    )


COMPONENTS: dict[str, api.Component] = {expect.name: expect}
