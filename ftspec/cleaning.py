"""One cleaning step, or the format, on one batch: run it, hold it to its contract, and see what it did.

What it did is told in terms of rows: which went and why, which changed, and a few of each to show.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from ftspec import formatted, rows
from ftspec.alike import differ
from ftspec.arrays import undictionaried, without
from ftspec.errors import DataError, Finding, PluginError
from ftspec.items import build, culprit, guarded
from ftspec.registry import Registry
from ftspec.rowcolumns import filled
from ftspec.shapes import COLUMNS
from ftspec.spec import Item
from ftspec.steps import Text
from ftspec.textmaps import Change, mapped
from ftspec.tuner import Tuner

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLES = 3
"""Rows per step and batch of which the ledger may keep a sample, dropped and changed ones each."""

SAMPLE_CHARACTERS = 500


class Made(NamedTuple):
    """What a step made of a batch: the rows that it leaves, what it found, and the places of those that it changed, of
    a step that leaves all and knows them."""

    batch: pa.RecordBatch
    findings: list[Finding]
    changed: pa.Array | None = None


Runner = Callable[["pa.RecordBatch"], Made]
"""A step of whatever level as a function of batches."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a segment: where it counts (`index` of the run's StepCounts), and which texts the ledger may keep.

    "after" is for the step that removes what must not be kept, and "none" for every step before it.
    """

    item: Item
    index: int
    shown: Literal["both", "after", "none"] = "both"
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
    """Columns row and reason."""
    samples: list[dict[str, Any]]
    columns: tuple[str, ...]
    findings: list[Finding] = []


def runner(item: Item, registry: Registry, folder: Path, tuner: Tuner | None = None, learned: Any = None) -> Runner:
    """The item's step, built; `learned` is for a screen."""
    component = registry.get(item.kind, item.name)
    step = build(item, registry, folder, tuner)
    if component.level == "text":
        return _over_texts(step, component.convert(item.options)["columns"], component.private)
    if component.level == "row":
        return lambda batch: _run_rows(item, step, batch)
    who = culprit(item, registry)
    return partial(_run_batch, who, partial(step.step, learned) if component.level == "screen" else step)


def _run_batch(who: str, step: Any, batch: pa.RecordBatch) -> Made:
    _, after, found = _tried(who, step, batch)
    return Made(after, found)


def _tried(who: str, step: Any, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch, list[Finding]]:
    """(rows that the step took, what it made of them, what it said of the others).

    A step that raises DataError runs again on the rows that it said nothing of, until it raises none. Raises
    PluginError for one that names only rows that it was not given: it would be run on the same rows for ever.
    """
    found: list[Finding] = []
    while True:
        try:
            return batch, step(batch), found
        except DataError as error:
            found += error.findings
            numbers = [finding.row for finding in error.findings if finding.row]
            if not numbers:
                raise DataError(found) from error
            rest = keep(batch, rows.integers(numbers), invert=True)
            if rest.num_rows == batch.num_rows:
                message = f"{who} found fault with row {numbers[0]}, which it was not given"
                raise PluginError(message, "a finding's `row` is the number in the hidden column `_row`") from error
            batch = rest


def _over_texts(step: Text, columns: list[str], private: bool) -> Runner:
    """What a private step removes must not stay as a key or a number either."""
    of_row = step.of_row
    if of_row is not None:
        where: dict[str, Any] = {"prefilter": step.prefilter, "columns": columns, "nested": step.nested}
        return lambda batch: Made(rows.map_text_by_row(batch, lambda row: of_row(), **where, whole=private), [])
    change = Change(step.function, step.prefilter, step.beyond_ascii, step.arrays, private)

    def over_texts(batch: pa.RecordBatch) -> Made:
        after, changed = mapped(batch, change, columns, step.nested)
        return Made(after, [], changed)

    return over_texts


def _run_rows(item: Item, step: Any, batch: pa.RecordBatch) -> Made:
    """Rows to dicts and back. A row on which the step raises is dropped, and reported unless `on_error` is skip."""
    numbers = batch.column(rows.ROW).to_pylist()
    after: list[dict[str, Any]] = []
    reasons: list[str | None] = []
    found: list[Finding] = []
    for number, row in zip(numbers, rows.to_dicts(batch), strict=True):
        kept, reason = _run_row(step, row)
        after.append(kept)
        reasons.append(reason)
        if reason and reason != DROPPED and item.on_error == "fail":
            found.append(Finding(message=f"step '{item.name}': {reason}", row=number))
    said = [name for name in rows.visible(batch) if batch.schema.field(name).type == rows.messages_type()]
    return Made(_with_columns(after, said, {**rows.hidden(batch), rows.REASON: rows.strings(reasons)}), found)


DROPPED = "dropped"


def _run_row(step: Any, row: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    try:
        after = step(row)
    except DataError as error:
        return {}, error.findings[0].message
    except Exception as error:
        return {}, f"failed on this row: {type(error).__name__}{_raised_at(error)}"
    if after is None:
        return {}, DROPPED
    reason = rows.fault(after)
    return ({}, reason) if reason else (after, None)


def _raised_at(error: Exception) -> str:
    """Where in the step's own file, as " at steps.py:5". What the error says is not told: it may quote the row."""
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__)]
    theirs = [frame for frame, _ in frames if not str(frame.f_globals.get("__name__")).startswith("ftspec.")]
    lines = [line for frame, line in frames if theirs and frame.f_code.co_filename == theirs[0].f_code.co_filename]
    return f" at {PurePath(theirs[0].f_code.co_filename).name}:{lines[-1]}" if lines else ""


def _with_columns(values: list[dict[str, Any]], said: list[str], hidden: dict[str, pa.Array]) -> pa.RecordBatch:
    """Rows as a batch again; `said` are the columns that held conversations."""
    import pyarrow as pa

    made = rows.from_dicts(values, said)
    named = {**dict(zip(made.schema.names, made.columns, strict=True)), **hidden}
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def run_step(stage: Stage, registry: Registry, step: Runner, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Done]:
    """Apply one step, and see what it did."""
    started = time.perf_counter()
    with guarded(stage.item, registry):
        made, found, changed = step(batch)
    verify(culprit(stage.item, registry), batch, made)
    made = undictionaried(made)
    dropped = gone(batch, made)
    before = batch if made.num_rows == batch.num_rows else keep(batch, made.column(rows.ROW))
    places = changes(before, made) if changed is None else changed
    after = staying(made)
    seconds = time.perf_counter() - started
    shown = _first_dropped(stage, batch, dropped) + _changed_samples(stage, before, made, places)
    names, count = tuple(filled(batch)), len(places)
    return after, Done(stage.index, batch.num_rows, after.num_rows, count, seconds, dropped, shown, names, found)


def run_format(
    stage: Stage, registry: Registry, formatter: Any, batch: pa.RecordBatch
) -> tuple[pa.RecordBatch, pa.RecordBatch, Done]:
    """(rows that could be formatted, the same formatted, what was done); rows that could not are found or skipped."""
    started = time.perf_counter()
    with guarded(stage.item, registry):
        before, after, found = _tried(culprit(stage.item, registry), formatter, batch)
    verify(culprit(stage.item, registry), before, after, same=True)
    after = staying(undictionaried(after))
    shape = registry.get("format", stage.item.name).data or "chat"
    formatted.verify(culprit(stage.item, registry), after, shape)
    after = after.select([name for name in after.schema.names if name not in formatted.ONLY or name in COLUMNS[shape]])
    dropped = _dropped([(finding.row or 0, finding.message) for finding in found])
    seconds = time.perf_counter() - started
    findings = found if stage.item.on_error == "fail" else []
    names = tuple(filled(batch))
    samples = _first_dropped(stage, batch, dropped)
    return (
        before,
        after,
        Done(stage.index, batch.num_rows, after.num_rows, 0, seconds, dropped, samples, names, findings),
    )


def verify(who: str, before: pa.RecordBatch, after: pa.RecordBatch, *, same: bool = False) -> None:
    """Raise PluginError unless `after` is an ordered subset of the rows by `_row`; with `same`, it must be all."""
    import pyarrow as pa

    if not isinstance(after, pa.RecordBatch):
        raise PluginError(f"{who} must return a RecordBatch, not {type(after).__name__}")
    if not {rows.ROW, rows.SIDE} <= set(after.schema.names):
        raise PluginError(f"{who} lost the hidden columns: keep every column whose name starts with '_'")
    _verify_order(who, before.column(rows.ROW), after.column(rows.ROW), same)


def gone(before: pa.RecordBatch, after: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that are missing or have a reason to go, and why, in the order of the batch."""
    import pyarrow as pa
    import pyarrow.compute as pc

    why = rows.column(after, rows.REASON)
    if after.num_rows == before.num_rows and why.null_count == len(why):
        return _dropped([])
    numbers = before.column(rows.ROW)
    if after.num_rows < before.num_rows:
        places = pc.index_in(numbers, value_set=after.column(rows.ROW))
        missing = pc.if_else(places.is_null(), rows.scalar(DROPPED), rows.strings([None])[0])
        why = pc.coalesce(why.take(places), missing)
    return pa.RecordBatch.from_arrays([numbers, why], names=["row", "reason"]).filter(why.is_valid())


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


def keep(batch: pa.RecordBatch, numbers: pa.Array, *, invert: bool = False) -> pa.RecordBatch:
    """The rows of the batch that have (or with `invert`: do not have) these numbers."""
    import pyarrow.compute as pc

    mask = pc.is_in(batch.column(rows.ROW), value_set=numbers)
    return batch.filter(pc.invert(mask) if invert else mask)


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
    import pyarrow as pa

    numbers, reasons = zip(*listed, strict=True) if listed else ((), ())
    return pa.RecordBatch.from_arrays([rows.integers(numbers), rows.strings(reasons)], names=["row", "reason"])


def samples(stage: Stage, dropped: pa.RecordBatch, reason: str) -> list[dict[str, Any]]:
    """Dropped rows as the ledger keeps them: {"row", "reason", "before", "after"}; texts that are withheld are None."""
    numbers = dropped.column(rows.ROW).to_pylist()
    texts = _texts(stage.shown == "both", dropped)
    return [_sample(number, reason, text, None) for number, text in zip(numbers, texts, strict=True)]


def _first_dropped(stage: Stage, batch: pa.RecordBatch, dropped: pa.RecordBatch) -> list[dict[str, Any]]:
    """Samples of the first rows that went, each with its own reason."""
    first = dropped.slice(0, SAMPLES)
    found = [
        samples(stage, _numbered(batch, number), reason)
        for number, reason in zip(*(column.to_pylist() for column in first.columns), strict=True)
    ]
    return [each for group in found for each in group]


def _numbered(batch: pa.RecordBatch, number: int) -> pa.RecordBatch:
    """The row with this number, or none."""
    import pyarrow.compute as pc

    place = pc.index(batch.column(rows.ROW), rows.scalar(number)).as_py()
    return batch.slice(place, 1) if place >= 0 else batch.slice(0, 0)


def _changed_samples(
    stage: Stage, before: pa.RecordBatch, after: pa.RecordBatch, places: pa.Array
) -> list[dict[str, Any]]:
    return [
        _sample(old.column(rows.ROW)[0].as_py(), "changed", *texts)
        for old, new in ((each.slice(place, 1) for each in (before, after)) for place in places[:SAMPLES].to_pylist())
        for texts in zip(_texts(stage.shown == "both", old), _texts(stage.shown != "none", new), strict=True)
    ]


def _sample(number: int, reason: str, before: Any, after: Any) -> dict[str, Any]:
    return {"row": number, "reason": reason, "before": before, "after": after}


def _texts(shown: bool, batch: pa.RecordBatch) -> list[dict[str, Any] | None]:
    """The rows, long texts cut; None for each where texts are withheld."""
    return [rows.map_nested(row, _cut) for row in rows.to_dicts(batch)] if shown else [None] * batch.num_rows


def _cut(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARACTERS else text[:SAMPLE_CHARACTERS] + "…"
