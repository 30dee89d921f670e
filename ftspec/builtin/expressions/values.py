"""What parts of an expression come to over a batch: values of a kind, and values of one kind as those of another.

Numbers are 64-bit floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import rows
from ftspec.builtin.expressions import calls

if TYPE_CHECKING:
    import pyarrow as pa

CALLED = {
    "text": "a text", "number": "a number", "truth": "true or false", "messages": "messages",
    "list": "a list", "dict": "an object",
}  # fmt: skip


class Value(msgspec.Struct, frozen=True):
    """One value per row. `kind` is text, number (float64), truth, messages, json (a Python list), or null (nothing).

    `column` is where it stands as it is in a column.
    """

    kind: str
    data: Any
    column: pa.Array | None = None

    def called(self, at: int) -> str:
        """What the value of a row is, in words."""
        return CALLED[calls.kind(self.data[at]) if self.kind == "json" else self.kind]

    def listed(self) -> list[Any]:
        """The values in Python."""
        held: list[Any] = self.data if self.kind == "json" else self.data.to_pylist()
        return held


def as_kind(value: Value, kind: str, count: int) -> tuple[pa.Array, pa.Array | None]:
    """(the values of this kind, where there is a value of another kind; None where there is none)."""
    if value.kind == kind:
        return value.data, None
    if value.kind == "json":
        fits = FITS[kind]
        made = [each if fits(each) else None for each in value.data]
        bad = [each is not None and not fits(each) for each in value.data]
        return BUILD[kind](made), rows.booleans(bad)
    return nothing(kind, count), None if value.kind == "null" else there(value, count)


def there(value: Value, count: int) -> pa.Array:
    """Where there is a value."""
    if value.kind == "json":
        return rows.booleans([each is not None for each in value.data])
    return value.data.is_valid() if value.kind != "null" else rows.repeated(False, count)


def is_number(value: Any) -> bool:
    """A number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


FITS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "number": is_number,
    "truth": lambda value: isinstance(value, bool),
}
BUILD: dict[str, Callable[[list[Any]], Any]] = {
    "text": rows.strings,
    "number": lambda values: rows.floats([None if each is None else calls.as_float(each) for each in values]),
    "truth": rows.booleans,
}


def nothing(kind: str, count: int) -> pa.Array:
    """No value of this kind in any row."""
    return BUILD[kind]([None] * count)


def as_text(value: Value, count: int) -> pa.Array:
    """Texts as they are, other values as JSON."""
    if value.column is not None:
        return rows.as_text(value.column)
    if value.kind == "null":
        return rows.repeated(None, count)
    return rows.as_text(rows.cell("", value.data) if value.kind == "json" else value.data)
