"""What one value of a column is expected to be, and the tests of that over a column."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ftspec import rows

if TYPE_CHECKING:
    import pyarrow as pa

Scalar = str | int | float | bool
Bound = float | int | str | None
Type = Literal["text", "integer", "number", "boolean", "list", "object", "messages"]
Bounds = Annotated[list[Bound], Meta(min_length=2, max_length=2)]

Test = Callable[["pa.Array"], "pa.Array"]
"""A column's values → whether each holds; null where there is none."""


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


def predicates(wanted: Expectation) -> dict[str, Test]:
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


def _range(low: Any, high: Any) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"between {low} and {high}"


def _listed(values: list[Scalar]) -> str:
    said = [short(value) for value in values[:6]]
    return ", ".join(said) + (f" and {len(values) - 6} more" if len(values) > 6 else "")


def short(value: Any) -> str:
    text = value if isinstance(value, str) else "null" if value is None else rows.to_json(value)
    return (
        f"'{text[:40]}{'…' * (len(text) > 40)}'" if isinstance(value, str) else f"{text[:40]}{'…' * (len(text) > 40)}"
    )
