"""One cleaning step, or the format, on one batch: run it, hold it to its contract, and see what it did.

What it did is told in terms of rows: which went and why, which changed, and a few of each to show (`samples`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ftspec import rows
from ftspec.common.errors import Finding, PluginError
from ftspec.data import formatted
from ftspec.data.samples import Shown, of_changed, of_dropped
from ftspec.data.stepping import DROPPED, Runner, tried
from ftspec.items import culprit, guarded
from ftspec.layout.alike import differ
from ftspec.layout.arrays import undictionaried, without
from ftspec.layout.conforming import CONVERSATION, settled
from ftspec.layout.rowcolumns import filled, having
from ftspec.layout.shapes import COLUMNS
from ftspec.registry import Registry
from ftspec.spec import Item

if TYPE_CHECKING:
    import pyarrow as pa


DROPPED_ONES = ["row", "reason", "failed"]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a segment: where it counts (`index` of the run's StepCounts), and which texts the ledger may keep."""

    item: Item
    index: int
    shown: Shown = "both"
    learned: Any = None
    """What a screen has learned of the rows that it compares with."""


class Done(NamedTuple):
    """What one step did to one batch."""

    step: int
    rows_in: int
    rows_out: int
    changed: int
    seconds: float
    dropped: pa.RecordBatch
    """Columns row, reason and failed: whether the step could not do with the row, or says that it goes."""
    samples: list[dict[str, Any]]
    columns: tuple[str, ...]
    findings: list[Finding] = []


def run_step(stage: Stage, registry: Registry, step: Runner, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Done]:
    """Apply one step, and see what it did."""
    started = time.perf_counter()
    with guarded(stage.item, registry):
        made, found, changed, why = step(batch)
    verify(culprit(stage.item, registry), batch, made)
    made, odd = conversing(batch, undictionaried(made))
    if odd and stage.item.on_error == "fail":
        found = [*found, *(Finding(message=f"step '{stage.item.name}': {odd[row]}", row=row) for row in odd)]
    dropped = gone(batch, made, {**why, **odd})
    before = batch if made.num_rows == batch.num_rows else having(batch, made.column(rows.ROW))
    places = changes(before, made) if changed is None else changed
    after = staying(made)
    seconds = time.perf_counter() - started
    shown = of_dropped(stage.shown, batch, dropped) + of_changed(stage.shown, before, made, places)
    names, count = tuple(filled(batch)), len(places)
    return after, Done(stage.index, batch.num_rows, after.num_rows, count, seconds, dropped, shown, names, found)


def run_format(
    stage: Stage, registry: Registry, formatter: Any, batch: pa.RecordBatch
) -> tuple[pa.RecordBatch, pa.RecordBatch, Done]:
    """(rows that could be formatted, the same formatted, what was done); rows that could not are found or skipped."""
    started = time.perf_counter()
    with guarded(stage.item, registry):
        before, after, found = tried(culprit(stage.item, registry), formatter, batch)
    verify(culprit(stage.item, registry), before, after, same=True)
    after = staying(undictionaried(after))
    shape = registry.get("format", stage.item.name).data or "chat"
    formatted.verify(culprit(stage.item, registry), after, shape)
    after = after.select([name for name in after.schema.names if name not in formatted.ONLY or name in COLUMNS[shape]])
    dropped = _dropped([(finding.row or 0, finding.message) for finding in found])
    seconds = time.perf_counter() - started
    findings = found if stage.item.on_error == "fail" else []
    names = tuple(filled(batch))
    shown = of_dropped(stage.shown, batch, dropped)
    return (
        before,
        after,
        Done(stage.index, batch.num_rows, after.num_rows, 0, seconds, dropped, shown, names, findings),
    )


def verify(who: str, before: pa.RecordBatch, after: pa.RecordBatch, *, same: bool = False) -> None:
    """Raise PluginError unless `after` is an ordered subset of the rows by `_row`; with `same`, it must be all."""
    import pyarrow as pa

    if not isinstance(after, pa.RecordBatch):
        raise PluginError(f"{who} must return a RecordBatch, not {type(after).__name__}")
    if not {rows.ROW, rows.SIDE} <= set(after.schema.names):
        raise PluginError(f"{who} lost the hidden columns: keep those that `rows.hidden` gives")
    _verify_order(who, before.column(rows.ROW), after.column(rows.ROW), same)


def conversing(before: pa.RecordBatch, after: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, str]]:
    """`after` with `messages` and `tools` in their types, where a step has put other values there (`rename` of a column
    of lists, say), and by number the rows that it lacks, because these are none."""
    odd: dict[int, str] = {}
    for name in CONVERSATION:
        if name in after.schema.names and _is_other(name, rows.column(before, name), after.column(name)):
            column, faults = settled(name, after.column(name))
            numbers = after.column(rows.ROW)
            after = after.set_column(after.schema.get_field_index(name), name, column)
            if faults:
                odd |= {numbers[at].as_py(): fault for at, fault in faults.items()}
                after = having(after, rows.integers(list(odd)), invert=True)
    return after, odd


def _is_other(name: str, before: pa.Array, after: pa.Array) -> bool:
    """Whether a step has put other values there, but for messages in their own type."""
    return not (name == "messages" and after.type == rows.messages_type()) and not after.equals(before)


def gone(before: pa.RecordBatch, after: pa.RecordBatch, told: Mapping[int, str]) -> pa.RecordBatch:
    """Rows that are missing or have a reason to go, and why, in the order of the batch; `told` is why some are missing,
    by number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    why = rows.column(after, rows.REASON)
    if after.num_rows == before.num_rows and why.null_count == len(why):
        return _dropped([])
    numbers = before.column(rows.ROW)
    if after.num_rows < before.num_rows:
        places = pc.index_in(numbers, value_set=after.column(rows.ROW))
        reasons = [told.get(number, DROPPED) for number in numbers.to_pylist()] if told else []
        missing = rows.strings(reasons) if told else rows.repeated(DROPPED, len(numbers))
        missing = pc.if_else(places.is_null(), missing, rows.strings([None])[0])
        why = pc.coalesce(why.take(places), missing)
    failed = pc.is_in(numbers, value_set=rows.integers(list(told)))
    return pa.RecordBatch.from_arrays([numbers, why, failed], names=DROPPED_ONES).filter(why.is_valid())


def staying(after: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that have no reason to go."""
    if rows.REASON not in after.schema.names:
        return after
    reasons = after.column(rows.REASON)
    after = after.drop_columns([rows.REASON])
    return after if reasons.null_count == len(reasons) else without(after, reasons.is_valid())


def _verify_order(who: str, before: pa.Array, after: pa.Array, same: bool) -> None:
    """Positions must rise: numbers do not, once rows were sorted."""
    import pyarrow.compute as pc

    if after.equals(before):
        return
    places = pc.index_in(after, value_set=before)
    rising = pc.all(pc.less(places.slice(0, max(0, len(places) - 1)), places.slice(1))).as_py()
    if same or rising is False or places.null_count:
        raise PluginError(f"{who} must return {'every row' if same else 'some of the rows'} it gets, in their order")


def changes(before: pa.RecordBatch, after: pa.RecordBatch) -> pa.Array:
    """Of the same rows before and after: the places of those that stay and whose values differ."""
    import pyarrow.compute as pc

    mask = None
    for name in sorted({*rows.visible(before), *rows.visible(after)}):
        differs = differ(rows.column(before, name), rows.column(after, name))
        if differs is not None:
            mask = differs if mask is None else pc.or_(mask, differs)
    if mask is None:
        return rows.integers([])
    if rows.REASON in after.schema.names:
        mask = pc.and_(mask, after.column(rows.REASON).is_null())
    return pc.indices_nonzero(mask)


def _dropped(listed: list[tuple[int, str]]) -> pa.RecordBatch:
    """Rows that failed, and why."""
    import pyarrow as pa

    numbers, reasons = zip(*listed, strict=True) if listed else ((), ())
    columns = [rows.integers(numbers), rows.strings(reasons), rows.booleans([True] * len(listed))]
    return pa.RecordBatch.from_arrays(columns, names=DROPPED_ONES)
