"""A few of the rows that a step dropped or changed, as the ledger keeps them: {"row", "reason", "before", "after"}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ftspec import rows

if TYPE_CHECKING:
    import pyarrow as pa

Shown = Literal["both", "after", "none"]
"""Which texts may be kept: "after" is for the step that removes what must not be, "none" for every step before it."""
SAMPLES = 3
"""Rows per step and batch, dropped and changed ones each."""
CHARACTERS = 500
"""Of each text."""


def of_rows(shown: Shown, dropped: pa.RecordBatch, reason: str) -> list[dict[str, Any]]:
    """Dropped rows as the ledger keeps them: {"row", "reason", "before", "after"}; texts that are withheld are None."""
    numbers = dropped.column(rows.ROW).to_pylist()
    texts = _texts(shown == "both", dropped)
    return [_sample(number, reason, text, None) for number, text in zip(numbers, texts, strict=True)]


def of_dropped(shown: Shown, batch: pa.RecordBatch, dropped: pa.RecordBatch) -> list[dict[str, Any]]:
    """Samples of the first rows that went, each with its own reason."""
    first = dropped.slice(0, SAMPLES)
    found = [of_rows(shown, _numbered(batch, each["row"]), each["reason"]) for each in first.to_pylist()]
    return [each for group in found for each in group]


def _numbered(batch: pa.RecordBatch, number: int) -> pa.RecordBatch:
    """The row with this number, or none."""
    import pyarrow.compute as pc

    place = pc.index(batch.column(rows.ROW), rows.scalar(number)).as_py()
    return batch.slice(place, 1) if place >= 0 else batch.slice(0, 0)


def of_changed(shown: Shown, before: pa.RecordBatch, after: pa.RecordBatch, places: pa.Array) -> list[dict[str, Any]]:
    """Samples of the first rows that changed; `places` are those of all, in both batches."""
    return [
        _sample(old.column(rows.ROW)[0].as_py(), "changed", *texts)
        for old, new in ((each.slice(place, 1) for each in (before, after)) for place in places[:SAMPLES].to_pylist())
        for texts in zip(_texts(shown == "both", old), _texts(shown != "none", new), strict=True)
    ]


def _sample(number: int, reason: str, before: Any, after: Any) -> dict[str, Any]:
    return {"row": number, "reason": reason, "before": before, "after": after}


def _texts(shown: bool, batch: pa.RecordBatch) -> list[dict[str, Any] | None]:
    """The rows, long texts cut; None for each where texts are withheld."""
    return [rows.map_nested(row, _cut) for row in rows.to_dicts(batch)] if shown else [None] * batch.num_rows


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else text[:CHARACTERS] + "…"
