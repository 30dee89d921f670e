"""What columns are expected to hold: a small suite, one line per column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.bounds import percent
from ftspec.builtin.checks.predicates import Expectation, Test, predicates, short

if TYPE_CHECKING:
    import pyarrow as pa

Side = Literal["train", "validation", "test", "prompt"]
SHOWN = 5
"""Rows per expectation whose value is shown: the first ones, however rows are cut into batches."""


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
        if not predicates(wanted) and not wanted.unique:
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


@api.check(rules=[expectations_rule], code=["ftspec.builtin.bounds", "ftspec.builtin.checks.predicates"])
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
    tests = {name: predicates(wanted) for name, wanted in columns.items()}

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
        [short(value) for value in rows.values(shown, name)],
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


COMPONENTS: dict[str, api.Component] = {expect.name: expect}
